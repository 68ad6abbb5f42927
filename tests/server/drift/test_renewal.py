"""A renewal keeps the last sampler's bins, and measures pairs where it is worth the noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.errors import InvalidArgument, InvalidPlan, RunFailed
from silosynth.common.measurement import Measurement
from silosynth.common.plan import OF_VALUES, Method, PhaseName
from silosynth.common.sampler import (
    Sampler,
    clique_shares,
    dump_sampler,
    parse_sampler,
    probability_of,
)
from silosynth.common.schema import parse_schema
from silosynth.server.drift import Candidate, plan_drift, plan_renewal, unexplained
from silosynth.server.drift.choice import choose_pairs
from silosynth.server.measuring import standing_cliques
from silosynth.server.planning import new_plan
from silosynth.simulations import Engine, simulate
from silosynth.simulations.run import reopen

SILOS = ("north", "south")
SCHEMA = parse_schema(
    {
        "name": "visits",
        "attributes": [
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"},
            *(
                {"name": n, "kind": "categorical", "categories": ["x", "y"], "other": False}
                | {"source": "public"}
                for n in "abc"
            ),
        ],
    }
)
TRAINED = new_plan(SCHEMA, epsilon=4, delta=1e-6, silos=SILOS, method="mst", plan_id="january")


def tables(*, month: int, young: float) -> dict[str, pa.Table]:
    """Return a month's rows: so many are 20 or 30; a follows from age, b and c agree mostly."""
    random = np.random.default_rng(month)
    found = {}
    for name in SILOS:
        ages = np.where(random.random(3_000) < young, random.choice([20, 30], 3_000), 70)
        b = random.random(3_000) < 0.5
        found[name] = pa.table(
            {
                "age": ages,
                "a": np.where(ages < 50, "x", "y"),
                "b": np.where(b, "x", "y"),
                "c": np.where(b == (random.random(3_000) < 0.9), "x", "y"),
            }
        )
    return found


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory, fixed_bits_of_a_module: None) -> bytes:
    out = tmp_path_factory.mktemp("january")
    january = tables(month=1, young=0.5)
    simulate(TRAINED, schema=SCHEMA, silos=january, directory=out, engine=Engine.LOCAL)
    return (out / "result.sampler").read_bytes()


@pytest.mark.usefixtures("fixed_bits")
def test_numbers_keep_the_bins_and_nothing_is_spent_on_their_values(
    last: bytes, tmp_path: Path
) -> None:
    plan = plan_renewal(TRAINED, SCHEMA, last, epsilon=2, plan_id="february")
    assert TRAINED.values
    assert not plan.values
    assert not {p.name for p in plan.phases} & set(OF_VALUES)
    assert plan.method is Method.INDEPENDENT
    february = tables(month=2, young=0.8)
    with pytest.raises(RunFailed, match="takes over from a sampler that is not here"):
        simulate(plan, schema=SCHEMA, silos=february, engine=Engine.LOCAL)
    made = simulate(
        plan, schema=SCHEMA, silos=february, directory=tmp_path, engine=Engine.LOCAL, last=last
    ).sampler
    before = parse_sampler(last)
    assert isinstance(before, Sampler)
    assert isinstance(made, Sampler)
    assert made.spreads["age"].edges == before.spreads["age"].edges
    # The columns are February's; that a follows from age is January's word.
    assert probability_of(made, {"a": "x"}) == pytest.approx(0.8, abs=0.03)
    drawn = made.draw(4_000, seed=1)
    assert ((drawn["age"] < 50) == (drawn["a"] == "x")).mean() > 0.97
    for other, asked, said in (
        (last + b" ", plan, "renews another sampler"),
        (last, TRAINED, "renews no sampler"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            simulate(asked, schema=SCHEMA, silos=february, directory=tmp_path, last=other)
    assert dump_sampler(reopen(tmp_path).outcome.sampler) == dump_sampler(made)


@pytest.mark.usefixtures("fixed_bits")
def test_a_renewal_takes_over_what_a_mixture_says_of_pairs(tmp_path: Path) -> None:
    """Most of it is in its component, and on its forest's edges is little or nothing."""
    letters, names = list("uvwxyz"), "abcdef"
    schema = parse_schema(
        {
            "name": "alike",
            "attributes": [
                {"name": n, "kind": "categorical", "categories": letters, "other": False}
                | {"source": "public"}
                for n in names
            ],
        }
    )
    plan = new_plan(schema, epsilon=4, delta=1e-6, silos=SILOS, method="aim", plan_id="january")
    random = np.random.default_rng(1)
    silos = {}
    for name in SILOS:
        kind = random.integers(0, 6, 3_000)
        columns = {n: np.where(random.random(3_000) < 0.7, kind, kind[::-1]) for n in names}
        silos[name] = pa.table({n: np.array(letters)[c] for n, c in columns.items()})
    simulate(plan, schema=schema, silos=silos, directory=tmp_path, engine=Engine.LOCAL)
    stored = (tmp_path / "result.sampler").read_bytes()
    mixture = parse_sampler(stored)
    assert isinstance(mixture, Sampler)
    assert mixture.components
    renewal = plan_renewal(plan, schema, stored, epsilon=2, plan_id="february")
    made = simulate(renewal, schema=schema, silos=silos, engine=Engine.LOCAL, last=stored).sampler
    before, after = (s.draw(20_000, seed=1) for s in (mixture, made))
    pairs = [(one, other) for one in names for other in names if one < other]
    kept = [(after[a] == after[b]).mean() / (before[a] == before[b]).mean() for a, b in pairs]
    assert min(kept) > 0.8
    assert max(kept) < 1.2
    # What is taken over is not measured again, but where it moved.
    held = next(clique for clique, _ in standing_cliques(mixture) if len(clique) == 2)
    weak = [Candidate(pair=held, rows=9e3)]
    assert choose_pairs(mixture, moved={}, weak=weak, deviation=5.0) == ()
    assert choose_pairs(mixture, moved={held: 9e3}, deviation=5.0) == (held,)


def test_what_moved_and_what_the_last_run_left_out_is_measured(last: bytes) -> None:
    read = parse_sampler(last)
    assert isinstance(read, Sampler)
    # One of these joins the tree, by the noise of the run.
    held = {frozenset(clique) for clique, _ in clique_shares(read)}
    one, other = [p for p in (("a", "c"), ("a", "b"), ("age", "b")) if frozenset(p) not in held][:2]
    few, many = Candidate(pair=other, rows=20.0), Candidate(pair=one, rows=3_000.0)
    assert choose_pairs(read, moved={}, weak=[few, many], deviation=5.0) == (one,)
    # What the model has is measured again where it moved alone; one that moved is, whatever it is.
    known = Candidate(pair=("b", "c"), rows=3_000.0)
    assert choose_pairs(read, moved={}, weak=[known], deviation=5.0) == ()
    assert choose_pairs(read, moved={("b", "c"): 1.0}, deviation=500.0) == (("b", "c"),)
    plan = plan_renewal(TRAINED, SCHEMA, last, moved={("b", "c"): 0.1}, epsilon=2)
    assert plan.workload == (("b", "c"),)
    alone, pairs = (plan.phase(p).sigma2 for p in (PhaseName.ONE_WAY, PhaseName.WORKLOAD))
    assert float(alone) == pytest.approx(float(pairs), rel=0.01)
    with pytest.raises(InvalidPlan, match="nothing moved"):
        plan_renewal(TRAINED, SCHEMA, last, moved={}, epsilon=2)


def test_a_coarse_marginal_says_what_a_model_leaves_out_beyond_its_noise(last: bytes) -> None:
    read = parse_sampler(last)
    assert isinstance(read, Sampler)
    even = np.full(4, 1_500.0)
    tied = np.array([2_500.0, 500.0, 500.0, 2_500.0])

    def told(values: np.ndarray, variance: float) -> tuple[Candidate, ...]:
        coarse = Measurement(clique=("a", "b"), values=values, variance=np.full(4, variance))
        return unexplained({PhaseName.COARSE: [coarse]}, lambda _: even, last=read)

    (found,) = told(tied, 100.0)
    assert found.rows == pytest.approx(4_000, rel=0.01)
    assert told(tied, 2e6) == ()
    assert told(even + np.array([9.0, -9.0, 9.0, -9.0]), 100.0) == ()


def test_a_run_whose_silos_lack_columns_is_renewed_by_a_whole_one(last: bytes) -> None:
    lacking = TRAINED.model_copy(update={"lacks": {"south": ("c",)}})
    read = parse_sampler(last)
    assert isinstance(read, Sampler)
    stored = dump_sampler(replace(read, plan_digest=lacking.digest))
    with pytest.raises(InvalidPlan, match="silo south lacks '"):
        plan_drift(lacking, stored, epsilon=1.0)
    with pytest.raises(InvalidPlan, match="silo south lacks '"):
        plan_renewal(lacking, SCHEMA, stored, epsilon=2)


def test_whoever_was_held_out_is_so_again_and_judges_the_new_sampler(last: bytes) -> None:
    asked: dict[str, Any] = {"epsilon": 4, "delta": 1e-6, "silos": SILOS, "method": "mst"}
    trained = new_plan(SCHEMA, held_out="1/10", plan_id="march", **asked)
    read = parse_sampler(last)
    assert isinstance(read, Sampler)
    stored = dump_sampler(replace(read, plan_digest=trained.digest))
    plan = plan_renewal(trained, SCHEMA, stored, epsilon=2)
    assert plan.held_out == trained.held_out
    assert "those who are held out pay for evaluations" in " ".join(certify_plan(plan).assumptions)
    assert plan_renewal(TRAINED, SCHEMA, last, epsilon=2).held_out is None
