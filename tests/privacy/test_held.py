"""Secret sums where silos lack columns: a row moves the marginals that its silo holds and pays for.

Every silo answers all marginals of a phase, those that it lacks with noise alone. So of one silo's
person so many move as the phase's ``held`` says at most, and that is what is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.maps.silo_map import parse_map
from silosynth.client.source import open_table
from silosynth.common.accounting import GaussianCost, cks_epsilon, pld_epsilon, rho_units
from silosynth.common.certificate import certify_plan, check_certificate, plain_words
from silosynth.common.errors import InvalidPlan
from silosynth.common.messages import Refusal, Release, Request
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.schema import parse_schema
from silosynth.server.methods import Question
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from silosynth.simulations.run_files import RunResult
from tests.client.gateway.test_gateway_maps import LACKING, use_map
from tests.client.gateway.test_gateway_sums import Sum, plan_of_two, sum_of

NAMES = ("x", "y", "a", "b", "c")
SIZES = {"north": 60, "south": 40, "west": 20}
LACKS = {"north": ("b", "c"), "south": ("a", "c"), "west": ("a", "b")}
SCHEMA = parse_schema(
    {
        "name": "parts",
        "source": "public",
        "attributes": [
            *(
                {"name": n, "kind": "categorical", "categories": ["0", "1", "2"], "other": False}
                for n in NAMES[:-1]
            ),
            {"name": "c", "kind": "integer", "minimum": 0, "maximum": 999, "source": "public"},
        ],
    }
)
MAPS = {
    silo: parse_map({"version": 1, "columns": dict.fromkeys(columns, "absent")})
    for silo, columns in LACKS.items()
}


def table(silo: str, *, without: int | None = None) -> pa.Table:
    """Return a silo's rows, or all but one of them."""
    random = np.random.default_rng(len(silo))
    columns = {n: random.integers(0, 3, SIZES[silo]).astype(str) for n in NAMES[:-1]}
    columns["c"] = random.integers(0, 1000, SIZES[silo])
    kept = np.arange(SIZES[silo]) != without
    return pa.table({n: v[kept] for n, v in columns.items() if n not in LACKS[silo]})


def made_plan(method: str = "aim", epsilon: float = 20.0, **changes: Any) -> Plan:
    return new_plan(
        SCHEMA,
        epsilon=epsilon,
        delta=1e-6,
        silos=tuple(SIZES),
        method=method,
        lacks=LACKS,
        plan_id="p",
        trust="shared",
        **changes,
    )


@pytest.fixture(scope="module")
def ended() -> RunResult:
    tables = {silo: table(silo) for silo in SIZES}
    return simulate(made_plan(), schema=SCHEMA, silos=tables, maps=MAPS, engine="local")


def counted(ended: RunResult, question: Question, *, phase: Any, silo: str, rows: pa.Table) -> Any:
    """Return what a silo's gateway makes of a question before it adds noise."""
    request = question.request(plan=ended.state.plan, phase=phase, silo=silo)
    schema = SCHEMA if ended.state.values is None else ended.state.values.schema
    schema = SCHEMA if request.edges is None else schema
    source = open_table(rows, schema=SCHEMA, silo_map=MAPS[silo])
    domains = {n: g.domain(schema.domain) for n, g in request.groupings().items()}
    trees = ended.state.plan.values or {}
    cells = [
        trees[c[0]].closer(request.leaves[c[0]], level=level).cells
        if request.leaves is not None
        else trees[c[0]].asked()[level]
        if phase.value == "values"
        else domains[level].size(c)
        for c, level in request.queries
    ]
    return ask_rows(
        Asked(
            rows=source.recode(schema),
            schema=schema,
            plan=ended.state.plan,
            request=request,
            rows_per_person=1,
            plan_digest=ended.state.plan.digest,
            cells=tuple(cells),
            lacks=MAPS[silo].absent,
        )
    )


def test_no_row_moves_more_marginals_of_a_sum_than_its_silo_pays_for(ended: RunResult) -> None:
    plan, phases = ended.state.plan, 0
    for name, question in ended.state.asked.items():
        phase = plan.phase(name)
        for silo in SIZES:
            paid = plan.paid([q.clique for q in question.queries], silo=silo)
            whole = counted(ended, question, phase=name, silo=silo, rows=table(silo))
            for row in range(0, SIZES[silo], 7):
                rest = table(silo, without=row)
                less = counted(ended, question, phase=name, silo=silo, rows=rest)
                moved = [int(((w - v) ** 2).sum()) for w, v in zip(whole, less, strict=True)]
                assert max(moved) <= 1
                assert sum(moved) <= paid <= phase.paid
        phases += phase.held is not None
    # The 1-ways and the coarse pairs are asked always; what noise hides is asked of nobody after.
    assert phases >= 2, "the test asks nothing of which a silo holds a part"


def test_a_silo_is_charged_for_what_its_rows_can_move_in_a_sum(ended: RunResult) -> None:
    plan = ended.state.plan
    for name, question in ended.state.asked.items():
        phase = plan.phase(name)
        answers = ended.state.releases[name]
        for silo in SIZES:
            held = sum(not set(q.clique) & set(LACKS[silo]) for q in question.queries)
            cost = GaussianCost(sigma2=phase.sigma2, count=max(held, 1), shares=3)
            receipt = answers[silo].receipt
            assert receipt.cost_units == rho_units(cost.rho), (name, silo)
            assert receipt.sum is not None
            assert receipt.sum.alone_units == rho_units(cost.alone.rho)
            assert len(receipt.cells) == len(question.queries)


@pytest.mark.parametrize("method", ["independent", "mst", "aim", "mixture", "copula", "fixed"])
def test_the_noise_of_a_sum_is_that_of_what_one_silo_holds(method: str) -> None:
    """Each silo holds three of five columns, and three pairs of seven that somebody holds."""
    listed: dict[str, Any] = {"workload": [("x", "a"), ("x", "b"), ("y", "b")]}
    changes = listed if method == "fixed" else {}
    plan = made_plan(method, 1.0, **changes)
    wanted = {
        "one-way": (5, 3),
        "coarse": (7, 3),
        "tree": (4, 2),
        "round-1": (3, 1),
        "round-2": (6, 2),
        "workload": (3, 2),
    }
    own = new_plan(
        SCHEMA,
        epsilon=1.0,
        delta=1e-6,
        silos=tuple(SIZES),
        method=method,
        lacks=LACKS,
        plan_id="p",
        **changes,
    )
    for phase, alone in zip(plan.phases, own.phases, strict=True):
        if phase.name.value in wanted:
            assert (phase.marginals, phase.paid) == wanted[phase.name.value]
        assert phase.paid == alone.marginals
        assert phase.sigma2 == pytest.approx(alone.sigma2, rel=0.01)
        assert plan.phase_cost(phase).rho == pytest.approx(
            Fraction(phase.paid) / (2 * phase.sigma2), rel=1e-6
        )
    assert 0.97 < pld_epsilon([plan.phase_cost(p) for p in plan.phases], 1e-6) <= 1


def test_a_secret_sum_of_unequal_parts_pays_for_the_largest() -> None:
    """North holds four columns, and six of the seven pairs that somebody holds."""
    lacks = {"north": ("c",), "south": ("a", "c"), "west": ("a", "b")}
    plan = new_plan(
        SCHEMA,
        epsilon=1.0,
        delta=1e-6,
        silos=tuple(SIZES),
        method="mst",
        lacks=lacks,
        trust="shared",
    )
    found = {p.name.value: (p.marginals, p.paid) for p in plan.phases}
    assert (found["one-way"], found["coarse"]) == ((5, 4), (8, 6))
    pairs = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    assert plan.paid(pairs, silo="north") == 6


def test_the_certificate_states_what_one_silo_holds_and_says_so() -> None:
    plan = made_plan("mst")
    certificate = certify_plan(plan)
    check_certificate(certificate)
    stated = {p.name: p.marginals for p in certificate.phases}
    assert (stated["one-way"], stated["coarse"], stated["tree"]) == (3, 3, 2)
    assert certificate.epsilon <= 20
    words = " ".join(plain_words(certificate))
    assert "phase coarse at most 3 of 7" in words
    lowered = plan.model_dump(mode="json")
    assert certify_plan(parse_plan(_with(lowered, held=1))).epsilon < certificate.epsilon


def _with(data: dict[str, Any], *, held: int | None) -> dict[str, Any]:
    """Return a plan whose counts are said to be over so many columns of one silo."""
    phases = [
        {k: v for k, v in p.items() if k != "held"} | ({} if held is None else {"held": held})
        for p in data["phases"]
    ]
    return data | {"phases": phases}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lacks": None}, "held belongs to shared trust where silos lack columns"),
        ({"trust": "own"}, "held belongs to shared trust"),
        ({"held": 2}, "held: is fewer than all marginals"),
        ({"held": 0}, "greater than or equal to 1"),
    ],
)
def test_held_stands_where_silos_lack_columns_of_a_sum(changes: dict[str, Any], said: str) -> None:
    data = _sum_data({"south": ["sex"]})
    data = _with(data, held=changes.pop("held", 1)) | changes
    with pytest.raises(InvalidPlan, match=said):
        parse_plan(data)


def _sum_data(lacks: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a plan over two silos, of which one lacks a column."""
    return _with(plan_of_two(lacks=lacks), held=1)


def _summed(directory: Path, lacks: Mapping[str, list[str]]) -> Sum:
    return sum_of(directory, _sum_data(lacks))


def _answer(summed: Sum) -> tuple[Release | Refusal, tuple[Any, ...], Request]:
    with summed.federation.open() as silo:
        silo.gateway.propose(plan=summed.federation.sealed(summed.plan))
        request = summed.request(summed.proof(silo))
        return summed.ask(silo, request), silo.ledger.charges(), request


def test_a_plan_that_states_fewer_marginals_than_a_silo_holds_is_not_answered(
    tmp_path: Path,
) -> None:
    """A coordinator that promises more than it asks for: north holds both, one is paid for."""
    answer, charges, _ = _answer(_summed(tmp_path, {"south": ["sex"]}))
    assert isinstance(answer, Refusal)
    assert answer.code == "cap-exceeded"
    assert "asks for 2 marginals of what silo north holds; the plan allows 1" in answer.message
    assert charges == ()


def test_a_real_gateway_charges_a_sum_for_what_the_silo_holds(tmp_path: Path) -> None:
    summed = _summed(tmp_path, {"north": ["sex"]})
    use_map(summed.federation, LACKING)
    answer, (charge,), request = _answer(summed)
    assert isinstance(answer, Release)
    assert len(request.queries) == len(answer.marginals) == 2
    sigma2 = summed.plan.phases[0].sigma2
    cost = GaussianCost(sigma2=sigma2, count=1, sensitivity=2, shares=2)
    assert charge.cost_units == rho_units(cost.rho)
    assert cks_epsilon(cost.rho, 1e-6) < 1.1
