"""Silos that hold different columns of different people, joined through what they share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.maps import SiloMap
from silosynth.client.maps.silo_map import parse_map
from silosynth.common.certificate import certify_plan, plain_words
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidPlan, InvalidTable
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName, Plan, load_plan
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import dump_schema, parse_schema
from silosynth.server.judging.planned import judging_terms
from silosynth.server.measuring import to_all_rows
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from silosynth.simulations.run_files import RunResult

NAMES = ("x", "y", "a", "b", "c")
SCHEMA = parse_schema(
    {
        "name": "parts",
        "source": "public",
        "attributes": [
            {"name": n, "kind": "categorical", "categories": ["0", "1", "2"], "other": False}
            for n in NAMES
        ],
    }
)
LACKS = {"north": ("b", "c"), "south": ("a", "c"), "west": ("a", "b")}
SIZES = {"north": 9_000, "south": 6_000, "west": 3_000}


def rows(count: int, *, seed: int) -> dict[str, np.ndarray]:
    """Return rows in which y follows x, and a, b and c follow x and y each by itself."""
    random = np.random.default_rng(seed)

    def follow(by: np.ndarray, chance: float) -> np.ndarray:
        return np.where(random.random(count) < chance, by, random.integers(0, 3, count))

    x = random.choice(3, count, p=[0.5, 0.3, 0.2])
    y = follow(x, 0.5)
    return {
        "x": x,
        "y": y,
        "a": follow(x, 0.8),
        "b": follow(y, 0.8),
        "c": follow((x + y) % 3, 0.8),
    }


WHOLE = {silo: rows(count, seed=i) for i, (silo, count) in enumerate(SIZES.items())}
TABLES = {
    silo: pa.table({n: v.astype(str) for n, v in columns.items() if n not in LACKS[silo]})
    for silo, columns in WHOLE.items()
}
MAPS: Mapping[str, SiloMap] = {
    silo: parse_map({"version": 1, "columns": dict.fromkeys(columns, "absent")})
    for silo, columns in LACKS.items()
}


def plan(*, method: str = "mst", **changes: object) -> Plan:
    return new_plan(
        SCHEMA,
        epsilon=30.0,
        delta=1e-6,
        silos=tuple(SIZES),
        method=method,
        lacks=LACKS,
        plan_id="p",
        **changes,  # type: ignore[arg-type]  # choices of a plan
    )


def joint(table: Mapping[str, np.ndarray], left: str, right: str) -> np.ndarray:
    """Return (3, 3) float64, the shares of a pair."""
    cells = np.bincount(3 * table[left].astype(int) + table[right].astype(int), minlength=9)
    shares: np.ndarray = cells.reshape(3, 3) / cells.sum()
    return shares


def drawn(result: RunResult) -> dict[str, np.ndarray]:
    made = draw(result.sampler, rows=60_000, seed=1)
    return {n: np.asarray(made[n].cast(pa.string()).to_pylist()).astype(int) for n in NAMES}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).sum() / 2)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "aim"},
        {"method": "fixed", "workload": [("x", "y", n) for n in "abc"]},
        {"trust": "shared"},
    ],
    ids=["mst", "aim", "fixed", "shared"],
)
@pytest.mark.usefixtures("fixed_bits")
def test_pairs_that_somebody_holds_are_as_they_are_and_the_others_follow_from_what_is_shared(
    changes: dict[str, Any],
) -> None:
    """Each pair is near to the pooled rows'; a with b is what x and y let it be."""
    result = simulate(plan(**changes), schema=SCHEMA, silos=TABLES, maps=MAPS, engine="local")
    made = drawn(result)
    pooled = {n: np.concatenate([w[n] for w in WHOLE.values()]) for n in NAMES}
    held = {"a": "x", "b": "y"}
    for own, shared in held.items():
        assert distance(joint(made, shared, own), joint(pooled, shared, own)) < 0.04
    assert distance(joint(made, "x", "y"), joint(pooled, "x", "y")) < 0.04
    # In these rows a and b are independent given x and y, so the join finds their pair as well.
    assert distance(joint(made, "a", "b"), joint(pooled, "a", "b")) < 0.06
    assert result.sampler.total == pytest.approx(sum(SIZES.values()), rel=0.03)


def test_a_silo_is_asked_of_nothing_that_it_lacks_and_pays_for_nothing_of_it() -> None:
    result = simulate(plan(), schema=SCHEMA, silos=TABLES, maps=MAPS, engine="local")
    for phase, question in result.state.asked.items():
        for silo in SIZES:
            asked = question.asked_of(silo, plan=result.state.plan)
            assert not any(set(q.clique) & set(LACKS[silo]) for q in asked), phase
            receipt = result.state.releases[phase][silo].receipt
            assert len(receipt.cells) == len(asked)
    first = result.state.asked[PhaseName.ONE_WAY]
    assert len(first.asked_of("north", plan=result.state.plan)) == 3


def test_in_a_secret_sum_all_are_asked_the_same_and_who_lacks_a_column_adds_noise_alone() -> None:
    result = simulate(plan(trust="shared"), schema=SCHEMA, silos=TABLES, maps=MAPS, engine="local")
    cells = {r.receipt.cells for r in result.state.releases[PhaseName.ONE_WAY].values()}
    assert len(cells) == 1
    sums = {
        m.clique[0]: m.values.sum() for m in result.state._own_sum(PhaseName.ONE_WAY, silos=None)
    }
    rows_of = {"x": 18_000, "y": 18_000, "a": 9_000, "b": 6_000, "c": 3_000}
    assert {n: round(s, -3) for n, s in sums.items()} == rows_of


def test_plan_run_and_certificate_say_who_gave_what_and_what_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, path = tmp_path / "schema.yaml", tmp_path / "plan.yaml"
    schema.write_text(dump_schema(SCHEMA))
    command = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6"]
    command += ["--silos", "north,south,west", "--out", str(path)]
    assert run([*command, "--lacks", "north=b,c;south=a,c;west=a,b"]) == 0
    made = load_plan(path)
    assert made.lacks == LACKS
    capsys.readouterr()
    assert run(["plan", "show", str(path), "--schema", str(schema)]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    for words in (shown, " ".join(plain_words(certify_plan(made)))):
        assert "Silo north holds no column b, c: it counts nothing of them." in words
        assert "No silo holds both columns of these pairs: a with b; a with c; b with c." in words
    path.unlink()
    for fault in ("north", "north=", "=a", "north=a;north=b"):
        assert run([*command, "--lacks", fault]) == 4


def test_sums_of_some_silos_are_brought_to_the_rows_of_all_with_their_noise() -> None:
    def measured(name: str, total: float) -> Measurement:
        return Measurement(clique=(name,), values=np.full(3, total / 3), variance=np.full(3, 4.0))

    sums = [measured("x", 18_000), measured("a", 9_000), measured("c", 3_000)]
    brought = to_all_rows(sums, others=(), plan=plan(), silos=tuple(SIZES))
    assert [round(m.values.sum()) for m in brought] == [18_000, 18_000, 18_000]
    assert [float(m.variance[0]) for m in brought] == pytest.approx([4.0, 16.0, 144.0])


def test_a_plan_that_says_otherwise_than_a_map_is_refused_before_anything_is_spent() -> None:
    whole = new_plan(SCHEMA, epsilon=1.0, delta=1e-6, silos=tuple(SIZES), method="mst", plan_id="p")
    with pytest.raises(InvalidPlan, match="silo north lacks 'b'"):
        simulate(whole, schema=SCHEMA, silos=TABLES, maps=MAPS, engine="local")
    full = {s: pa.table({n: v.astype(str) for n, v in w.items()}) for s, w in WHOLE.items()}
    with pytest.raises(InvalidPlan, match="silo north holds 'b'"):
        simulate(plan(), schema=SCHEMA, silos=full, engine="local")


def test_different_columns_of_the_same_people_are_refused() -> None:
    named = {
        s: t.append_column("who", pa.array(np.arange(t.num_rows) % 3_000))
        for s, t in TABLES.items()
    }
    with pytest.raises(InvalidTable, match="different columns of the same people"):
        simulate(plan(), schema=SCHEMA, silos=named, maps=MAPS, engine="local", person_column="who")


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"east": ("a",)}, "'east' is no silo"),
        ({"north": ()}, "once each"),
        ({"north": ("a", "a")}, "once each"),
        ({"north": ("z",)}, "which is no column"),
        (dict.fromkeys(SIZES, ("a",)), "no silo holds a"),
        ({"north": ("x", "y", "a"), "south": ("b", "c")}, "nothing joins"),
    ],
)
def test_lacks_that_cannot_be_are_refused(lacks: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(InvalidPlan, match=said):
        new_plan(
            SCHEMA,
            epsilon=1.0,
            delta=1e-6,
            silos=tuple(SIZES),
            method="mst",
            lacks=lacks,
        )


@pytest.mark.parametrize("method", ["one-shot", "dp-sgd"])
def test_a_method_of_whole_rows_is_refused(method: str) -> None:
    with pytest.raises(InvalidPlan, match="whole rows"):
        plan(method=method)


@pytest.mark.parametrize("method", ["independent", "mst", "aim", "fixed"])
def test_noise_is_that_of_what_one_silo_is_asked(method: str) -> None:
    """Each silo holds three of five columns, and three pairs of ten."""
    fixed = {"workload": [("x", "a"), ("x", "b"), ("y", "b")]}
    listed: dict[str, Any] = fixed if method == "fixed" else {}
    made = plan(method=method, **listed)
    apart = {p.name: p.marginals for p in made.phases}
    whole = new_plan(
        SCHEMA, epsilon=30.0, delta=1e-6, silos=tuple(SIZES), method=method, plan_id="p", **listed
    )
    before = {p.name: p.marginals for p in whole.phases}
    assert (before[PhaseName.ONE_WAY], apart[PhaseName.ONE_WAY]) == (5, 3)
    more = {
        "mst": {PhaseName.COARSE: 3, PhaseName.TREE: 2},
        "aim": {PhaseName.COARSE: 3, PhaseName.ROUND_1: 1, PhaseName.ROUND_2: 2},
        "fixed": {PhaseName.WORKLOAD: 2},
    }
    assert apart == {PhaseName.ONE_WAY: 3, **more.get(method, {})}
    assert all(
        p.sigma2 < q.sigma2
        for p, q in zip(plan(method=method, **listed).phases, whole.phases, strict=True)
    )


def test_a_secret_sum_counts_what_somebody_holds() -> None:
    asked = {p.name: p.marginals for p in plan(trust="shared").phases}
    assert asked == {PhaseName.ONE_WAY: 5, PhaseName.COARSE: 7, PhaseName.TREE: 4}


@pytest.mark.parametrize("method", ["mst", "aim"])
def test_no_silo_pays_more_than_the_plan_says_and_rounds_fill_each_silos_part(method: str) -> None:
    result = simulate(plan(method=method), schema=SCHEMA, silos=TABLES, maps=MAPS, engine="local")
    made = result.state.plan
    for phase, question in result.state.asked.items():
        most = made.phase(phase).marginals
        asked = [len(question.asked_of(s, plan=made)) for s in SIZES]
        assert max(asked) <= most
        if method == "aim":
            assert min(asked) == most, phase
    assert len(result.state.asked[PhaseName.COARSE].queries) == 7


def test_an_evaluation_asks_whole_rows_so_who_lacks_columns_is_named_before() -> None:
    """Dropped, what silos lack would come back as a refusal at a silo, after others were asked."""
    plan = new_plan(
        SCHEMA,
        epsilon=1,
        delta=1e-6,
        silos=tuple(LACKS),
        method="mst",
        lacks=LACKS,
        held_out="1/10",
    )
    terms = {"epsilon": 1.0, "delta": 1e-6}
    with pytest.raises(InvalidPlan, match=r"silo north lacks 'b', .* whole rows"):
        judging_terms(plan, **terms)
    whole = plan.model_copy(update={"lacks": None})
    assert judging_terms(whole, **terms).silos == len(LACKS)
