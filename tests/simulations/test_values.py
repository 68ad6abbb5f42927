"""Every method draws values: zeros stay, numbers keep their grid, files and resumes carry them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.generator import MaskedMlp
from silosynth.common.sampler import Sampler, condition_on, parse_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

SILOS = ("north", "south", "west")
TRAINING = TrainingChoice(
    architecture=MaskedMlp(width=4, layers=1, views=1), rounds=2, rate=Fraction(1, 10)
)
CASES: dict[str, dict[str, Any]] = {
    "independent": {"method": "independent"},
    "mst": {"method": "mst"},
    "aim": {"method": "aim"},
    "fixed": {"method": "fixed", "workload": (("gain", "kind"),)},
    "one-shot": {"method": "one-shot", "frequencies": 32},
    "mixture": {"method": "mixture"},
    "copula": {"method": "copula"},
    "dp-sgd": {"method": "dp-sgd", "training": TRAINING},
    "shared": {"method": "mst", "trust": "shared", "colluders": 1},
}


def _schema() -> Schema:
    return parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": "gain", "kind": "integer", "minimum": 0, "maximum": 9_999_999}
                | {"missing": True, "source": "public"},
                {"name": "paid", "kind": "real", "minimum": 0.0, "maximum": 99_999.0, "decimals": 2}
                | {"source": "public"},
                {"name": "day", "kind": "datetime", "minimum": "2020-01-01"}
                | {"maximum": "2023-12-31", "source": "public"},
                {"name": "kind", "kind": "categorical", "categories": ["a", "b"]}
                | {"other": False, "source": "public"},
            ],
        }
    )


def _table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    gain = np.where(rng.random(2000) < 0.7, 0, rng.integers(1000, 1300, 2000))
    paid = np.where(rng.random(2000) < 0.5, 19.99, np.round(rng.exponential(30, 2000), 2))
    days = np.datetime64("2021-05-01") + rng.integers(0, 60, 2000).astype("timedelta64[D]")
    return pa.table(
        {
            "gain": pa.array(gain, mask=rng.random(2000) < 0.1),
            "paid": paid,
            "day": pa.array(days.astype("datetime64[us]")),
            "kind": np.where(gain > 0, "a", "b"),
        }
    )


def _shares(table: pa.Table) -> tuple[float, float, float]:
    gain = table["gain"].to_numpy(zero_copy_only=False)
    return (
        float((gain == 0).mean()),
        float(np.isnan(gain.astype(float)).mean()),
        float((table["paid"].to_numpy() == 19.99).mean()),
    )


@pytest.mark.parametrize("case", sorted(CASES))
def test_values_come_out_as_they_went_in(case: str, fixed_bits: None) -> None:
    silos = {name: _table(seed) for seed, name in enumerate(SILOS)}
    plan = new_plan(_schema(), epsilon=20.0, delta=1e-6, silos=SILOS, **CASES[case])
    assert [p.name.value for p in plan.phases][:2] == ["values", "closer"]
    result = simulate(plan, schema=_schema(), silos=silos, engine="local")
    sampler = result.sampler
    assert set(sampler.spreads) == {"gain", "paid", "day"}
    assert sampler.schema.digest == plan.schema_digest
    drawn, real = draw(sampler, rows=6000, seed=1), pa.concat_tables(silos.values())
    loose = 0.15 if case == "dp-sgd" else 0.05
    assert _shares(drawn) == pytest.approx(_shares(real), abs=loose)
    paid = drawn["paid"].to_numpy()
    assert np.array_equal(np.round(paid, 2), paid)
    days = drawn["day"].to_numpy().astype("datetime64[us]")
    assert (days == days.astype("datetime64[D]")).all()
    assert (days < np.datetime64("2021-07-15")).mean() > 0.9
    again = parse_sampler(dump_sampler(sampler))
    assert draw(again, rows=500, seed=3).equals(draw(sampler, rows=500, seed=3))
    if isinstance(sampler, Sampler):
        some = draw(condition_on(sampler, {"gain": "1100..1205"}), rows=400, seed=1)["gain"]
        assert 1100 <= min(some.to_pylist()) <= max(some.to_pylist()) <= 1205


def test_a_run_that_stopped_goes_on_with_the_same_values(tmp_path: Path) -> None:
    silos = {name: _table(seed) for seed, name in enumerate(SILOS)}
    plan = new_plan(_schema(), epsilon=5.0, delta=1e-6, silos=SILOS, method="mst", plan_id="p")
    arguments: dict[str, Any] = {"schema": _schema(), "silos": silos, "engine": "local"}
    first = simulate(plan, directory=tmp_path / "run", **arguments)
    again = simulate(plan, directory=tmp_path / "run", **arguments)
    assert dump_sampler(again.sampler) == dump_sampler(first.sampler)
