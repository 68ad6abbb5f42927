"""The sum of projections leaves a silo with exactly the noise that its plan pays for."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.accounting import rho_units
from silosynth.common.codec import Codec
from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import projection_map, sum_projections
from silosynth.common.messages import Answer, Refusal, Release, Request
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.sampler import condition_on, load_sampler, save_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import State, finish
from silosynth.server.measuring import working_grouping
from silosynth.server.methods import ask_phase
from silosynth.server.planning import new_plan
from tests.support.chance import statistical
from tests.support.gateways.signed import Federation, people
from tests.support.noised_sums import (
    check_bound,
    check_cost,
    check_noise,
    run_silos,
    scale_noise,
)

SILOS = ("north", "south", "west")
NUMBERS = tuple(f"x{i:02d}" for i in range(40))


def made_schema() -> Schema:
    number = {"kind": "integer", "minimum": 0, "maximum": 5, "source": "public"}
    ill = {"name": "ill", "kind": "categorical", "categories": ["n", "y", "nobody"]}
    numbers = [{"name": name, **number} for name in NUMBERS]
    attributes = [*numbers, ill | {"other": False, "source": "public"}]
    return parse_schema({"name": "people", "label": "ill", "attributes": attributes})


def made_table(seed: int, rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(seed)
    ill = rng.random(rows) < 0.5
    drawn = {n: np.clip(rng.integers(0, 5, rows) + ill, 0, 5) for n in NUMBERS}
    return pa.table({**drawn, "ill": np.where(ill, "y", "n")})


def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"method": "projection", "silos": SILOS, "plan_id": "p", "epsilon": 1.0}
    return new_plan(made_schema(), delta=1e-6, **(asked | changes))


def run(place: Path, plan: Plan) -> State:
    tables = {name: made_table(i) for i, name in enumerate(plan.silos)}
    return run_silos(place, plan, schema=made_schema(), tables=tables)


@cache
def whole_run(trust: str) -> State:
    """Return one run a trust, which several tests look at."""
    with TemporaryDirectory() as place:
        return run(Path(place), made_plan(trust=trust, rows_per_person=3, epsilon=10.0))


def noise_of(state: State) -> np.ndarray:
    """Return what was released less the exact sum, in standard deviations that the plan states."""
    schema, plan, measured = state.table, state.plan, state.measured()
    grouping = working_grouping(schema, measured[PhaseName.ONE_WAY])
    asked = ask_phase(PhaseName.PROJECTION, state.known())
    assert plan.projection is not None
    domain = grouping.domain(schema.domain)
    projection = projection_map(plan.projection, domain=domain, scores=asked.scores or {})
    exact = np.zeros(len(measured[PhaseName.PROJECTION][0].values))
    for seed in range(len(plan.silos)):
        codes = Codec(schema).encode(made_table(seed)).codes
        named = zip(schema.domain.attributes, schema.domain.shape, codes, strict=True)
        exact += sum_projections(projection, [grouping.lookup(n, s)[c] for n, s, c in named])
    deviation = float(len(SILOS) * plan.phase("projection").sigma2 / plan.shares) ** 0.5
    noise: np.ndarray = (measured[PhaseName.PROJECTION][0].values - exact) / deviation
    return noise


@pytest.mark.parametrize("trust", ["own", "shared"])
@statistical(alarm=1e-9, cases=2)
def test_the_noise_is_the_stated_one_over_what_an_oracle_sums(trust: str) -> None:
    check_noise(noise_of(whole_run(trust)), alarm=5e-10, off=Fraction(20, 100))


@statistical(alarm=1e-9)
def test_noise_of_another_scale_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale_noise(monkeypatch, Fraction(8, 10))
    with pytest.raises(AssertionError, match="is not within"):
        check_noise(noise_of(run(tmp_path, made_plan())), alarm=1e-9, off=Fraction(20, 100))


def test_silos_charge_the_norm_that_a_person_can_add() -> None:
    state = whole_run("own")
    phase, projection = state.plan.phase("projection"), state.plan.projection
    assert projection is not None
    norm = 3 * projection.bound
    for receipts in state.receipts().values():
        assert receipts[1].cost_units == rho_units(Fraction(norm**2) / (2 * phase.sigma2))


def test_the_certificate_follows_from_the_norm() -> None:
    plan = made_plan()
    assert plan.projection is not None
    check_bound(plan, bound=plan.projection.bound)
    check_cost(plan)


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("bound", [2, 1_000_000])
def test_a_plan_that_states_another_norm_is_refused(phase: int, bound: int) -> None:
    data = made_plan().model_dump(mode="json")
    data["phases"][phase]["bound"] = bound
    with pytest.raises(InvalidPlan, match="must have bound"):
        parse_plan(data)


def test_projections_belong_to_their_method() -> None:
    data = made_plan().model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="projection needs it"):
        parse_plan({k: v for k, v in data.items() if k != "projection"})
    other = new_plan(made_schema(), epsilon=1, delta=1e-6, silos=SILOS).model_dump(mode="json")
    assert "projection" not in other
    with pytest.raises(InvalidPlan, match="projection needs it"):
        parse_plan(other | {"projection": data["projection"]})


@pytest.mark.parametrize(
    ("dimensions", "words"), [(41, "wider than the table"), (0, "out of range"), (9999, "range")]
)
def test_a_projection_that_the_table_cannot_have_is_no_plan(dimensions: int, words: str) -> None:
    with pytest.raises(InvalidPlan, match=words):
        made_plan(dimensions=dimensions)


def test_what_is_drawn_keeps_its_file_its_classes_and_conditions(tmp_path: Path) -> None:
    sampler = finish(whole_run("shared")).sampler
    save_sampler(sampler, tmp_path / "s.sampler")
    again = load_sampler(tmp_path / "s.sampler")
    rows = draw(again, rows=3000, seed=1, threads=1)
    ill = np.array(rows["ill"].to_pylist())
    assert set(ill) <= {"n", "y", "nobody"}
    means = {c: np.mean([rows[n].to_numpy()[ill == c].mean() for n in NUMBERS]) for c in "ny"}
    assert means["y"] - means["n"] > 0.5
    given = draw(condition_on(again, {"ill": "y", "x00": "5"}), rows=500, seed=1, threads=1)
    assert set(given["ill"].to_pylist()) == {"y"}
    assert set(given["x00"].to_pylist()) == {5}


def test_a_gateway_refuses_a_plan_wider_than_its_table(tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    data = federation.plan(method="projection").model_dump(mode="json")
    wide = parse_plan(data | {"projection": data["projection"] | {"dimensions": 3}})
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(wide)))
        assert verdict.answer is Answer.REFUSED
        assert "wider than the table, which has 2 columns" in verdict.message
        assert silo.ledger.charges() == ()


def _asked(plan: Plan, silo: str) -> dict[str, Any]:
    """Return a request of projections, as it is sent."""
    domain = people().domain
    label = None if plan.projection is None else plan.projection.label
    scores = {a: (0,) * domain.size((a,)) for a in domain.attributes if a != label}
    return Request(
        plan_digest=plan.digest,
        phase=PhaseName.PROJECTION,
        silo=silo,
        queries=((domain.attributes, "fine"),),
        scores=scores,
    ).model_dump(mode="json")


def test_a_gateway_refuses_what_is_no_projection_of_its_table_and_charges_nothing(
    tmp_path: Path,
) -> None:
    federation = Federation(directory=tmp_path)
    federation.change(approval={"methods": ["projection"]})
    plan = federation.plan(method="projection")
    sealed, usual = federation.sealed(plan), _asked(plan, "north")
    first, *rest = usual["scores"]
    wrong: dict[str, dict[str, Any]] = {
        "no scores": {"scores": None},
        "a score too large": {"scores": usual["scores"] | {first: [2**11 + 1] * 10}},
        "a score too few": {"scores": usual["scores"] | {first: usual["scores"][first][1:]}},
        "an attribute too few": {"scores": {a: usual["scores"][a] for a in rest}},
        "an attribute alone": {"queries": [[["age"], "fine"]]},
        "another phase": {"phase": "one-way"},
    }
    with federation.open() as silo:
        silo.gateway.propose(plan=sealed)
        for what, change in wrong.items():
            body = canonical_json(usual | change)
            request = seal(body, purpose=Purpose.REQUEST, key=federation.hub)
            refusal = federation.read(silo.gateway.answer(plan=sealed, request=request))
            assert isinstance(refusal, Refusal), what
            assert refusal.message != "the table could not be counted", what
            assert refusal.code != "approval-pending", what
            assert silo.ledger.charges() == (), what
        request = seal(canonical_json(usual), purpose=Purpose.REQUEST, key=federation.hub)
        given = federation.read(silo.gateway.answer(plan=sealed, request=request))
        assert isinstance(given, Release), given
