"""Rules on nycflights13: rows that break one, and distances of what is drawn, with and without.

``make bench-rules``; One seed; QUICK=1 takes fewer rows. The runs are pooled, without gateways:
see pooled.py. Distances are over the table's columns, those that follow from others too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aim_published import count_with_cache
from distances import mean_distances
from pooled import run_pooled
from results import Figure, is_quick, publish
from tables import data_directory, encode

from silosynth.common.codec.ruled import keeps_rules
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema.schema import Schema, parse_schema
from silosynth.common.scores.metrics import marginal_distance
from silosynth.server.planning.planner import new_plan

RULES = (
    "dep <= arr",
    "dep_delay null iff dep null",
    "arr null if dep null",
    "air_time null iff arr_delay null",
    "arr_delay null if arr null",
    "gain = dep_delay - arr_delay",
    "hour = dep // 60",
)
DELTA = 1e-6
DRAWN = 60_000
_GATES = {1: (0.085, 0.094), 8: (0.073, 0.089)}
_WITHOUT = {1: 0.103, 8: 0.080}


def flights(rows: int) -> pa.Table:
    """Return flights that keep every rule, times as minutes of the day."""
    read = pq.read_table(data_directory() / "nycflights13" / "flights.parquet").to_pandas()
    minutes = {n: read[f"{n}_time"] // 100 * 60 + read[f"{n}_time"] % 100 for n in ("dep", "arr")}
    table = read[["month", "carrier", "origin", "distance", "dep_delay", "arr_delay", "air_time"]]
    table = table.assign(**minutes, gain=table["dep_delay"] - table["arr_delay"])
    table = table.assign(hour=table["dep"] // 60)
    late = table["arr"] < table["dep"]
    odd = table["arr_delay"].notna() & table["arr"].isna()
    table = table[~late & ~odd].sample(rows, random_state=1)
    arrow: pa.Table = pa.Table.from_pandas(table, preserve_index=False)
    return arrow


def flights_schema(table: pa.Table, rules: tuple[str, ...] = ()) -> Schema:
    """Return the public schema: 32 bins of one width."""
    numbers = {
        "dep": (0, 1440),
        "arr": (0, 1440),
        "dep_delay": (-60, 300),
        "arr_delay": (-90, 300),
        "gain": (-120, 120),
        "air_time": (0, 700),
        "hour": (0, 24),
    }
    missing = {"kind": "integer", "missing": True, "source": "public"}
    listed = {"kind": "categorical", "other": False, "source": "public"}
    attributes: list[Mapping[str, object]] = [
        {"name": n, "categories": sorted(set(table[n].to_pylist())), **listed}
        for n in ("month", "carrier", "origin")
    ]
    attributes += [
        {"name": "distance", "kind": "integer", "minimum": 0, "maximum": 5000, "source": "public"}
    ]
    attributes += [
        {"name": n, "minimum": low, "maximum": high, **missing}
        for n, (low, high) in numbers.items()
    ]
    return parse_schema({"name": "flights", "attributes": attributes, "rules": list(rules)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one run came to."""

    one: float
    two: float
    times: float
    delays: float
    broken: int
    seconds: float


def score(table: pa.Table, schema: Schema, *, epsilon: float, seed: int) -> Score:
    """Run AIM on a table, draw, and compare the columns of the table."""
    plain = flights_schema(table)
    plan = new_plan(schema, epsilon=epsilon, delta=DELTA, silos=["one"], method="aim")
    counts = count_with_cache(encode(table, schema=schema), domain=schema.domain)
    run = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(seed))
    begun = time.perf_counter()
    drawn = draw(run.sampler, rows=DRAWN, seed=seed)
    seconds = time.perf_counter() - begun
    real, other = encode(table, schema=plain), encode(drawn, schema=plain)
    one, two, _ = mean_distances(real, other, domain=plain.domain)
    named = (("dep", "arr"), ("dep_delay", "arr_delay"))
    pairs = marginal_distance(tuple(real.T), tuple(other.T), domain=plain.domain, cliques=named)
    ruled = flights_schema(table, RULES)
    broken = sum(int((~kept).sum()) for kept in keeps_rules(drawn, schema=ruled).values())
    return Score(one=one, two=two, times=pairs[0], delays=pairs[1], broken=broken, seconds=seconds)


def main() -> int:
    """Measure, and publish."""
    seeds = (1,)
    table = flights(20_000 if is_quick() else 60_000)
    figures: list[Figure] = []
    for epsilon, (most_two, most_times) in _GATES.items():
        found = {
            name: [score(table, flights_schema(table, r), epsilon=epsilon, seed=s) for s in seeds]
            for name, r in (("without rules", ()), ("with rules", RULES))
        }
        for name, scores in found.items():
            ruled = name == "with rules" and not is_quick()
            where = f"{name}, epsilon {epsilon}"
            mean = {f: float(np.mean([getattr(s, f) for s in scores])) for f in Score.__slots__}
            figures += [
                Figure(
                    figure=f"2-way distance {where}",
                    value=mean["two"],
                    unit="",
                    peer=_WITHOUT[epsilon],
                    at_most=most_two if ruled else None,
                ),
                Figure(figure=f"1-way distance {where}", value=mean["one"], unit=""),
                Figure(
                    figure=f"dep and arr {where}",
                    value=mean["times"],
                    unit="",
                    at_most=most_times if ruled else None,
                ),
                Figure(figure=f"dep_delay and arr_delay {where}", value=mean["delays"], unit=""),
                Figure(
                    figure=f"broken rules {where}",
                    value=mean["broken"],
                    unit="rows",
                    at_most=0 if name == "with rules" else None,
                ),
                Figure(figure=f"drawing {where}", value=mean["seconds"], unit="s"),
            ]
    return publish("rules", figures)


if __name__ == "__main__":
    sys.exit(main())
