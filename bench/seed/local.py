"""How near a silo's own sampler is to its rows, beside the sampler for all and rows of all.

Places that differ: the wilderness areas of covertype, the hospitals of heart_disease, the islands
of penguins. Distances are to one silo's own rows, their mean over the silos.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bench.generators.run import DELTA, say, vouch
from bench.seed.tables import pair_distance
from bench.support.results import Figure
from bench.support.tables import encode, load_case, split_by
from silosynth.common.sampler import AnySampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema
from silosynth.server.coordinator import localise
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

PLACES = {
    "covertype": ("covertype_sample", "covertype_sample.csv", "Wilderness_Area"),
    "heart_disease": ("heart_disease", "heart_disease.csv", "hospital"),
    "penguins": ("penguins", "penguins.csv", "island"),
}
_ROWS = 5_000


def measure(name: str, *, epsilon: float, runs: int, method: str = "mst") -> Iterator[Figure]:
    """Yield the mean distance to a silo's own rows, of samplers of both kinds."""
    directory, file, column = PLACES[name]
    case = load_case(directory, file)
    places = split_by(case.table, column)
    schema, silos = vouch(case.schema), {re.sub(r"\W+", "-", n): t for n, t in places.items()}
    found = np.array([_run(schema, silos, epsilon=epsilon, method=method) for _ in range(runs)])
    label = f"{name}, epsilon {epsilon:g}, own noise, {method}"
    for values, what in zip(found.T, ("sampler for all", "sampler of the silo"), strict=True):
        yield Figure(
            figure=f"{label}, {what}, 2-way distance to a silo's own rows",
            value=float(values.mean()),
            spread=float(np.ptp(values)) / 2 if runs > 1 else None,
            unit="TV",
        )


def _run(
    schema: Schema, silos: dict[str, pa.Table], *, epsilon: float, method: str
) -> tuple[float, float]:
    """Return both means of one run."""
    plan = new_plan(schema, epsilon=epsilon, delta=DELTA, silos=tuple(silos), method=method)
    result = simulate(plan, schema=schema, silos=silos, engine="local")
    pairs = [
        (
            _distance(result.sampler, rows, schema=schema),
            _distance(localise(result.state, silo=name), rows, schema=schema),
        )
        for name, rows in silos.items()
    ]
    for name, (whole, own) in zip(silos, pairs, strict=True):
        say(f"{schema.name}, {name}: sampler for all {whole:.4f}, of the silo {own:.4f}")
    whole, own = np.mean(pairs, axis=0).tolist()
    return whole, own


def _distance(sampler: AnySampler, rows: pa.Table, *, schema: Schema) -> float:
    """Return the mean 2-way distance of rows drawn to a silo's own."""
    drawn = draw(sampler, rows=_ROWS, seed=1, threads=1)
    own, made = (encode(t, schema=schema) for t in (rows, drawn))
    return pair_distance(own, made, schema=schema)
