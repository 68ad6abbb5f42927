"""The sum of random features leaves a silo with exactly the noise that its plan pays for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.counting.count import count_marginals
from silosynth.common.accounting import rho_units
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import feature_map, sum_features
from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator import State
from silosynth.server.measuring import working_grouping
from silosynth.server.planning import new_plan
from tests.support.chance import statistical
from tests.support.noised_sums import (
    check_bound,
    check_cost,
    check_noise,
    run_silos,
    scale_noise,
)

SILOS = ("north", "south")


def made_schema() -> Schema:
    return parse_schema(
        {
            "name": "people",
            "label": "ill",
            "attributes": [
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"},
                {
                    "name": "sex",
                    "kind": "categorical",
                    "categories": ["f", "m"],
                    "source": "public",
                },
                {"name": "ill", "kind": "boolean"},
            ],
        }
    )


def made_table(seed: int, rows: int = 500) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 10, rows)
    sex = np.array(["f", "m"])[rng.integers(0, 2, rows)]
    return pa.table({"age": age, "sex": sex, "ill": age > 5})


def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {
        "method": "one-shot",
        "frequencies": 8192,
        "silos": SILOS,
        "plan_id": "p",
    }
    return new_plan(made_schema(), epsilon=1.0, delta=1e-6, **(asked | changes))


def run(place: Path, plan: Plan) -> tuple[State, dict[str, pa.Table]]:
    tables = {name: made_table(i) for i, name in enumerate(plan.silos)}
    return run_silos(place, plan, schema=made_schema(), tables=tables), tables


def noise_of(state: State, tables: dict[str, pa.Table]) -> np.ndarray:
    """Return what was released less the exact sum, in standard deviations that the plan states."""
    schema, plan = state.table, state.plan
    measured = state.measured()
    grouping = working_grouping(schema, measured[PhaseName.ONE_WAY])
    assert plan.features is not None
    features = feature_map(plan.features, schema=schema, grouping=grouping)
    exact = np.zeros(len(measured[PhaseName.EMBEDDING][0].values))
    for table in tables.values():
        codes = Codec(schema).encode(table).codes
        queries = [MarginalQuery(clique=c, level="working") for c in features.cliques()]
        levels = {"working": grouping}
        counts = count_marginals(codes, domain=schema.domain, queries=queries, levels=levels)
        exact += sum_features(features, counts)
    deviation = float(len(tables) * plan.phase("embedding").sigma2 / plan.shares) ** 0.5
    return (measured[PhaseName.EMBEDDING][0].values - exact) / deviation


@statistical(alarm=1e-9)
def test_the_noise_is_the_stated_one(tmp_path: Path) -> None:
    check_noise(noise_of(*run(tmp_path, made_plan())), alarm=1e-9, off=Fraction(5, 100))


@statistical(alarm=1e-9)
def test_in_shared_trust_the_sum_has_the_stated_noise(tmp_path: Path) -> None:
    plan = made_plan(trust="shared")
    certificate = certify_plan(plan)
    check_certificate(certificate)
    assert certificate.epsilon <= 1.0
    state, tables = run(tmp_path, plan)
    check_noise(noise_of(state, tables), alarm=1e-9, off=Fraction(5, 100))


@pytest.mark.parametrize("scale", [Fraction(95, 100), Fraction(105, 100)])
@statistical(alarm=1e-9, cases=2)
def test_noise_of_another_scale_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Fraction
) -> None:
    scale_noise(monkeypatch, scale)
    with pytest.raises(AssertionError, match="is not within"):
        check_noise(noise_of(*run(tmp_path, made_plan())), alarm=5e-10, off=Fraction(5, 100))


@pytest.mark.parametrize("rows", [1, 3])
def test_silos_charge_the_norm_that_a_person_can_add(tmp_path: Path, rows: int) -> None:
    plan = made_plan(rows_per_person=rows)
    state, _ = run(tmp_path, plan)
    phase = plan.phase("embedding")
    assert plan.features is not None
    norm = rows * plan.features.bound
    for receipts in state.receipts().values():
        assert receipts[1].cost_units == rho_units(Fraction(norm**2) / (2 * phase.sigma2))


def test_the_certificate_follows_from_the_norm() -> None:
    plan = made_plan()
    assert plan.features is not None
    check_bound(plan, bound=plan.features.bound)


def test_a_vector_costs_what_a_gaussian_of_its_norm_costs() -> None:
    check_cost(made_plan())


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("bound", [2, 1_000_000])
def test_a_plan_that_states_another_norm_is_refused(phase: int, bound: int) -> None:
    data = made_plan().model_dump(mode="json")
    data["phases"][phase]["bound"] = bound
    with pytest.raises(InvalidPlan, match="must have bound"):
        parse_plan(data)


def test_features_belong_to_their_method() -> None:
    data = made_plan().model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="one-shot needs them"):
        parse_plan(data | {"features": None})
    other = new_plan(made_schema(), epsilon=1, delta=1e-6, silos=SILOS).model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="one-shot needs them"):
        parse_plan(other | {"features": data["features"]})
