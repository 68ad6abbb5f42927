"""Run silosynth on the benchmarks' silos and draw codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from silosynth.common.plan import Plan
from silosynth.common.sampler import draw_codes
from silosynth.common.schema import Schema
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate


def draw_own_noise(
    silos: Mapping[str, pa.Table], *, schema: Schema, epsilon: float, delta: float, seed: int
) -> np.ndarray:
    """Return as many rows as the silos hold together, after a run with own noise."""
    plan = new_plan(schema, epsilon=epsilon, delta=delta, silos=tuple(silos), method="mst")
    return _draw(plan, silos, schema=schema, seed=seed)


def draw_noisier(
    table: pa.Table, *, schema: Schema, epsilon: float, delta: float, times: int, seed: int
) -> np.ndarray:
    """Return rows of one silo whose noise variances are ``times`` what its budget needs.

    This is what theory says of ``times`` silos with own noise.
    """
    plan = new_plan(schema, epsilon=epsilon, delta=delta, silos=("pooled",), method="mst")
    phases = tuple(p.model_copy(update={"sigma2": p.sigma2 * times}) for p in plan.phases)
    noisier = plan.model_copy(update={"phases": phases})
    return _draw(noisier, {"pooled": table}, schema=schema, seed=seed)


def _draw(plan: Plan, silos: Mapping[str, pa.Table], *, schema: Schema, seed: int) -> np.ndarray:
    """Run ``plan`` in this process and return (rows, attributes) uint16 codes."""
    result = simulate(plan, schema=schema, silos=silos, engine="local")
    rows = sum(table.num_rows for table in silos.values())
    columns = draw_codes(result.sampler, rows=rows, seed=seed)
    return np.stack([column.astype(np.uint16) for column in columns], axis=1)
