"""Rules on nycflights13: rows that break one, and distances of what is drawn, with and without.

``make bench-rules``; three seeds; QUICK=1 takes fewer rows, one seed, epsilon 1 and of Adult the
secret sum: under a minute on a quiet machine. The runs on flights are pooled, without gateways: see
pooled.py. Distances are over the table's columns, those that follow from others too. At the end,
drawing a million rows with and without rules, and making up a million names, mails and record
numbers in a process of its own; both in seconds of one core.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.aim.published import count_with_cache
from bench.rules import adult
from bench.support.distances import mean_distances
from bench.support.pooled import run_pooled
from bench.support.results import ROOT, Figure, is_quick, publish
from bench.support.tables import data_directory, encode
from silosynth.common.codec import keeps_rules
from silosynth.common.sampler import write_rows
from silosynth.common.sampler.sampler import draw, draw_batches
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores import marginal_distance
from silosynth.server.dummy import dummy_sampler
from silosynth.server.planning import new_plan

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
MILLION = 1_000_000
_GATES = {1: (0.085, 0.094), 8: (0.073, 0.089)}
_FIGURES = {
    "two": "2-way distance",
    "one": "1-way distance",
    "times": "dep and arr",
    "delays": "dep_delay and arr_delay",
    "broken": "broken rules",
}
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


def score(table: pa.Table, schema: Schema, *, epsilon: float, seed: int) -> Score:
    """Run AIM on a table, draw, and compare the columns of the table."""
    plain = flights_schema(table)
    plan = new_plan(schema, epsilon=epsilon, delta=DELTA, silos=["one"], method="aim")
    counts = count_with_cache(encode(table, schema=schema), domain=schema.domain)
    run = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(seed))
    drawn = draw(run.sampler, rows=DRAWN, seed=seed)
    real, other = encode(table, schema=plain), encode(drawn, schema=plain)
    one, two, _ = mean_distances(real, other, domain=plain.domain)
    named = (("dep", "arr"), ("dep_delay", "arr_delay"))
    pairs = marginal_distance(tuple(real.T), tuple(other.T), domain=plain.domain, cliques=named)
    ruled = flights_schema(table, RULES)
    broken = sum(int((~kept).sum()) for kept in keeps_rules(drawn, schema=ruled).values())
    return Score(one=one, two=two, times=pairs[0], delays=pairs[1], broken=broken)


def speed(table: pa.Table) -> list[Figure]:
    """Draw with and without rules from models of one method, in turn; the best of three each."""
    samplers = {}
    for name, rules in (("without rules", ()), ("with rules", RULES)):
        schema = flights_schema(table, rules)
        plan = new_plan(schema, epsilon=1, delta=DELTA, silos=["one"], method="mst")
        counts = count_with_cache(encode(table, schema=schema), domain=schema.domain)
        run = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(1))
        samplers[name] = run.sampler
    taken: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(3):
        for name, sampler in samplers.items():
            begun = time.process_time()
            for _batch in draw_batches(sampler, rows=MILLION, seed=1, threads=1):
                pass
            taken[name].append(time.process_time() - begun)
    best = {name: min(seconds) for name, seconds in taken.items()}
    share = best["without rules"] / best["with rules"]
    return [
        *(
            Figure(figure=f"rows drawn {name}", value=MILLION / seconds, unit="rows/s")
            for name, seconds in best.items()
        ),
        Figure(figure="speed with rules, of that without", value=share, unit="", at_least=1 / 3),
    ]


def make_up() -> tuple[float, float]:
    """Make up a million people and write them: seconds of one core, and MB beside the program."""
    made = {"kind": "generated"}
    names = {"gender": "sex"}
    attributes = [
        {"name": "record", **made, "provider": "pattern", "like": "[A-Z]{2}[0-9]{6}"},
        {"name": "name", **made, **names, "provider": "name"},
        {"name": "mail", **made, **names, "provider": "email", "unique": True},
        {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"},
    ]
    sampler = dummy_sampler(parse_schema({"name": "people", "attributes": attributes}))
    before = _most_kib()
    begun = time.process_time()
    with TemporaryDirectory() as folder:
        write_rows(sampler, rows=MILLION, seed=1, path=Path(folder) / "p.parquet", threads=1)
    return time.process_time() - begun, (_most_kib() - before) / 1024


def _most_kib() -> int:
    """Return the most memory that this process held; rusage counts what started it as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def made_up() -> list[Figure]:
    """Measure in a process of its own, so that memory is that of the rows."""
    code = "from bench.rules.__main__ import make_up; print(*make_up())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = map(float, done.stdout.split())
    what = "a million names, mails and record numbers"
    return [
        Figure(figure=f"{what}, time", value=seconds, unit="s", at_most=20),
        Figure(figure=f"{what}, memory", value=megabytes, unit="MB", at_most=200),
    ]


def main() -> int:
    """Measure, and publish."""
    seeds = (1,) if is_quick() else (1, 2, 3)
    table = flights(20_000 if is_quick() else 60_000)
    figures: list[Figure] = []
    for epsilon in (1,) if is_quick() else _GATES:
        most_two, most_times = _GATES[epsilon]
        found = {
            name: [score(table, flights_schema(table, r), epsilon=epsilon, seed=s) for s in seeds]
            for name, r in (("without rules", ()), ("with rules", RULES))
        }
        for name, scores in found.items():
            ruled = name == "with rules" and not is_quick()
            where = f"{name}, epsilon {epsilon}"
            found_of = {f: [float(getattr(s, f)) for s in scores] for f in Score.__slots__}
            gates = {"two": most_two, "times": most_times} if ruled else {}
            gates |= {"broken": 0} if name == "with rules" else {}
            figures += [
                Figure(
                    figure=f"{words} {where}",
                    value=float(np.mean(found_of[field])),
                    spread=float(np.ptp(found_of[field])) / 2,
                    unit="rows" if field == "broken" else "",
                    peer=_WITHOUT[epsilon] if field == "two" else None,
                    at_most=gates.get(field),
                )
                for field, words in _FIGURES.items()
            ]
    figures += [*speed(table), *made_up(), *adult.figures(len(seeds))]
    return publish("rules", figures, room="rules")


if __name__ == "__main__":
    sys.exit(main())
