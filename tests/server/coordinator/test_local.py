"""Samplers of single silos: nearer to their own than the sum's, from the same releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Plan
from silosynth.common.sampler import load_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.cli import write_local
from silosynth.server.coordinator import localise
from silosynth.server.coordinator.local import lean
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate
from silosynth.simulations.run_files import RunResult

SILOS = {"north": 0.15, "south": 0.5, "west": 0.85}
ROWS = 3000


def made_schema() -> Schema:
    kinds = [
        {"name": "age", "kind": "integer", "minimum": 0, "maximum": 7},
        {"name": "ill", "kind": "boolean"},
        {"name": "old", "kind": "boolean"},
    ]
    return parse_schema(
        {"name": "people", "attributes": [{**kind, "source": "public"} for kind in kinds]}
    )


def made_table(silo: str) -> pa.Table:
    rng = np.random.default_rng(sorted(SILOS).index(silo))
    age = rng.binomial(7, SILOS[silo], ROWS)
    ill = rng.random(ROWS) < np.where(age > 3, 0.8, 0.2)
    return pa.table({"age": age, "ill": ill, "old": age > 3})


def ran(**changes: Any) -> RunResult:
    plan: Plan = new_plan(
        made_schema(), epsilon=3.0, delta=1e-6, silos=tuple(SILOS), plan_id="p", **changes
    )
    tables = {name: made_table(name) for name in SILOS}
    return simulate(plan, schema=made_schema(), silos=tables, engine="local")


def distance(sampler: Any, silo: str) -> float:
    """Return the total variation distance of age and ill between rows drawn and a silo's own."""
    tables = (draw(sampler, rows=20_000, seed=1, threads=1), made_table(silo))
    codes = [2 * t["age"].to_numpy() + t["ill"].to_numpy(zero_copy_only=False) for t in tables]
    left, right = (np.bincount(c, minlength=16) / len(c) for c in codes)
    return float(np.abs(left - right).sum() / 2)


@pytest.mark.parametrize("method", ["mst", "mixture", "projection"])
@pytest.mark.usefixtures("fixed_bits")
def test_a_silo_s_sampler_is_nearer_to_its_own_rows(method: str, tmp_path: Path) -> None:
    result = ran(method=method)
    written = write_local(result.state, silos=None, folder=tmp_path / "local", force=False)
    assert sorted(written) == sorted(SILOS)
    for silo in ("north", "west"):
        own = load_sampler(Path(written[silo]))
        assert own.total == pytest.approx(ROWS, rel=0.15)
        assert own.certificate == result.sampler.certificate
        assert distance(own, silo) < 0.5 * distance(result.sampler, silo)
    Path(written["north"]).unlink()
    with pytest.raises(OutputExists):
        write_local(result.state, silos=None, folder=tmp_path / "local", force=False)
    assert not Path(written["north"]).exists()


def test_what_was_summed_in_secret_has_no_sampler_of_a_silo() -> None:
    result = ran(method="independent", trust="shared")
    with pytest.raises(InvalidArgument, match="summed in secret"):
        localise(result.state, silo="north")
    with pytest.raises(InvalidArgument, match="'east' took no part"):
        localise(result.state, silo="east")


def measured(values: np.ndarray, variance: float) -> Measurement:
    return Measurement(
        clique=("a",), values=values.astype(float), variance=np.full(len(values), variance)
    )


def test_a_difference_of_noise_alone_is_left_out_and_a_large_one_stays() -> None:
    whole = measured(np.arange(10) * 300.0, 300.0)
    share = whole.values / 3
    alike = lean(measured(share, 100.0), whole, share=1 / 3)
    assert np.array_equal(alike.values, share)
    apart = share + np.where(np.arange(10) % 2, 500.0, -500.0)
    far = lean(measured(apart, 100.0), whole, share=1 / 3)
    assert far.values == pytest.approx(apart, abs=1.0)
    assert far.variance == pytest.approx(np.full(10, 100.0), rel=0.02)
    assert (alike.variance < far.variance).all()


def test_it_is_nearer_to_the_truth_than_the_release_and_the_share_are() -> None:
    rng = np.random.default_rng(5)
    cells, noise, runs = 40, 20.0, 300
    truths = 200.0 + rng.normal(size=(3, cells)) * 20
    gains = []
    for _ in range(runs):
        seen = truths + rng.normal(size=truths.shape) * noise
        whole = measured(seen.sum(axis=0), 3 * noise**2)
        found = lean(measured(seen[0], noise**2), whole, share=1 / 3).values
        errors = [((x - truths[0]) ** 2).mean() for x in (found, seen[0], whole.values / 3)]
        gains.append(min(errors[1:]) - errors[0])
    assert np.mean(gains) > 3 * np.std(gains) / np.sqrt(runs)
