"""Heart disease: four hospitals as they write it, joined by maps, beside tables put right by hand.

``make bench-heart``. Both are the same federation of four silos with own noise, by MST at epsilon
8, ten runs each; columns that a hospital hardly ever recorded are absent in both. A pair's distance
is to the rows of the hospitals that hold both columns. Counts of maps and of tables put right by
hand are equal cell by cell (tests/client/maps/test_maps_data.py), so the two differ by noise alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from bench.support.results import Figure, is_quick, publish
from silosynth.client.maps import NO_MAP, SiloMap
from silosynth.client.maps.silo_map import parse_map
from silosynth.common.codec import Codec
from silosynth.common.sampler.sampler import draw
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from tests.support.tables.hospitals import LACKS, MAPS, SCHEMA, by_hand, own_way

EPSILON, DELTA = 8.0, 1e-6
RUNS = 10
DRAWN = 100_000
METHOD = "mst"


def main() -> int:
    """Run both federations and publish their figures."""
    right = by_hand()
    own = {h: own_way(table, MAPS[h]) for h, table in right.items()}
    mapped = {h: parse_map({"version": 1, "columns": columns}) for h, columns in MAPS.items()}
    absent = {
        h: parse_map({"version": 1, "columns": dict.fromkeys(columns, "absent")})
        for h, columns in LACKS.items()
    }
    runs = range(2 if is_quick() else RUNS)
    joined = [distance(run(own, mapped), right) for _ in runs]
    hand = [distance(run(right, absent), right) for _ in runs]
    ratio = float(np.mean(joined) / np.mean(hand))
    error = float(np.hypot(deviation(joined), deviation(hand)) / np.mean(hand))
    return publish(
        "heart",
        [
            figure("2-way, joined by maps", joined),
            figure("2-way, put right by hand", hand),
            Figure(figure="maps, of by hand", value=ratio, spread=error, unit="", at_most=1.05),
        ],
        room="rules",
    )


def figure(name: str, found: list[float]) -> Figure:
    """Return the mean distance of some runs, and half their range."""
    spread = float(np.ptp(found)) / 2
    return Figure(figure=name, value=float(np.mean(found)), spread=spread, unit="distance")


def deviation(found: list[float]) -> float:
    """Return the standard error of a mean."""
    return float(np.std(found, ddof=1) / np.sqrt(len(found)))


def run(tables: Mapping[str, pa.Table], maps: Mapping[str, SiloMap]) -> pa.Table:
    """Return the rows that are drawn of one run."""
    plan = new_plan(
        SCHEMA,
        epsilon=EPSILON,
        delta=DELTA,
        silos=tuple(tables),
        method=METHOD,
        lacks={h: columns for h, columns in LACKS.items() if columns},
        plan_id="p",
    )
    held = {h: m for h, m in maps.items() if m != NO_MAP}
    result = simulate(plan, schema=SCHEMA, silos=tables, maps=held, engine="local")
    return draw(result.sampler, rows=DRAWN, seed=1)


def distance(made: pa.Table, real: Mapping[str, pa.Table]) -> float:
    """Return the mean distance over all pairs that some hospital holds."""
    codes, names = code(made), SCHEMA.domain.attributes
    shape = dict(zip(names, SCHEMA.domain.shape, strict=True))
    rows = {h: code(t) for h, t in real.items()}
    found = []
    for pair in combinations(names, 2):
        holders = [r for h, r in rows.items() if not set(pair) & set(LACKS[h])]
        if holders:
            pooled = {n: np.concatenate([r[n] for r in holders]) for n in pair}
            cells = [joint(c, pair, shape) for c in (codes, pooled)]
            found.append(np.abs(cells[0] - cells[1]).sum() / 2)
    return float(np.mean(found))


def code(table: pa.Table) -> dict[str, np.ndarray]:
    """Return each column's codes; missing ones of a column that is not there."""
    lacked = [n for n in SCHEMA.domain.attributes if n not in table.column_names]
    for name in lacked:
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    encoded = Codec(SCHEMA).encode(table)
    return dict(zip(SCHEMA.domain.attributes, encoded.codes, strict=True))


def joint(
    codes: Mapping[str, np.ndarray], pair: tuple[str, ...], shape: Mapping[str, int]
) -> np.ndarray:
    """Return (cells,) float64, the shares of a pair."""
    left, right = (codes[n].astype(np.int64) for n in pair)
    size = shape[pair[0]] * shape[pair[1]]
    shares: np.ndarray = np.bincount(left * shape[pair[1]] + right, minlength=size) / len(left)
    return shares


if __name__ == "__main__":
    sys.exit(main())
