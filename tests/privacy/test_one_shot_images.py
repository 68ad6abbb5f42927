"""The sum of image features leaves a silo with exactly the noise that its plan pays for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.codec import Codec
from silosynth.common.generator import image_map, sum_image_features
from silosynth.common.plan import PhaseName
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.measuring import working_grouping
from silosynth.server.planning import new_plan
from tests.privacy.test_one_shot import SILOS
from tests.support.chance import statistical
from tests.support.noised_sums import check_noise, run_silos, scale_noise

PIXELS = ["p0", "p1", "p2", "p3"]


def made_schema() -> Schema:
    pixel = {"kind": "integer", "minimum": 0, "maximum": 3, "source": "public"}
    return parse_schema(
        {
            "name": "pictures",
            "label": "ill",
            "attributes": [
                *({"name": name, **pixel} for name in PIXELS),
                {"name": "ill", "kind": "boolean"},
            ],
            "images": [{"name": "scan", "width": 2, "height": 2, "attributes": PIXELS}],
        }
    )


def made_table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    ill = rng.random(300) < 0.5
    table = {n: np.where(ill, rng.integers(2, 4, 300), rng.integers(0, 3, 300)) for n in PIXELS}
    return pa.table({**table, "ill": ill})


def noise_of(place: Path, **changes: Any) -> np.ndarray:
    """Run a plan; return what was released less the exact sum, in stated standard deviations."""
    schema = made_schema()
    plan = new_plan(
        schema, epsilon=1.0, delta=1e-6, method="one-shot", silos=SILOS, plan_id="p", **changes
    )
    assert plan.features is not None
    assert plan.features.images
    tables = {name: made_table(i) for i, name in enumerate(SILOS)}
    measured = run_silos(place, plan, schema=schema, tables=tables).measured()
    grouping = working_grouping(schema, measured[PhaseName.ONE_WAY])
    features = image_map(plan.features, schema=schema, grouping=grouping)
    exact = np.zeros(len(measured[PhaseName.EMBEDDING][0].values))
    for table in tables.values():
        codes = Codec(schema).encode(table).codes
        named = zip(schema.domain.attributes, codes, strict=True)
        exact += sum_image_features(features, [grouping.lookup(n, 4)[c] for n, c in named])
    deviation = float(len(SILOS) * plan.phase("embedding").sigma2 / plan.shares) ** 0.5
    noise: np.ndarray = (measured[PhaseName.EMBEDDING][0].values - exact) / deviation
    return noise


@pytest.mark.parametrize("changes", [{}, {"trust": "shared"}])
@statistical(alarm=1e-9, cases=2)
def test_the_noise_is_the_stated_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    noise = noise_of(tmp_path, frequencies=4096, **changes)
    check_noise(noise, alarm=5e-10, off=Fraction(7, 100))


@pytest.mark.parametrize("scale", [Fraction(93, 100), Fraction(107, 100)])
@statistical(alarm=1e-9, cases=2)
def test_noise_of_another_scale_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Fraction
) -> None:
    scale_noise(monkeypatch, scale)
    with pytest.raises(AssertionError, match="is not within"):
        check_noise(noise_of(tmp_path, frequencies=4096), alarm=5e-10, off=Fraction(7, 100))
