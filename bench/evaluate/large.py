"""What the report of a large run costs beside the run: each command in a fresh process, in turn.

260,000 flights in three silos by airport, 18 columns with the hour that they left. A run is made by
the command as it stands, on Flower, and in one process (``--engine local``), which is the harder
measure: it fits the model that the report fits again, and has three silos to ask for the rest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.support.process_tree import tree_seconds
from bench.support.results import Figure, is_quick
from bench.values.cases import load
from silosynth.common.plan import dump_plan
from silosynth.common.schema import DatetimeAttribute, Resolution, Schema, Source, dump_schema
from silosynth.server.planning import new_plan

ROWS, QUICK_ROWS = 260_000, 6_000
AGAIN = 3
_INTERVAL_SECONDS = 0.2
MOST_MEGABYTES = 500
_COMMAND = (
    "import json, pathlib, resource, sys; from silosynth.common.cli.app import run; "
    "code = run(sys.argv[1:]); own = resource.getrusage(resource.RUSAGE_SELF); "
    # Its own: ru_maxrss of a child begins with what its parent held.
    "status = pathlib.Path('/proc/self/status').read_text(); "
    "print(json.dumps([code, own.ru_utime + own.ru_stime, "
    "int(status.split('VmHWM:')[1].split()[0]) / 1024]))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took: CPU seconds of it and of all that it started, wall, peak memory.

    The peak is its own process's; of what it started the CPU is as it was last seen.
    """

    cpu: float
    wall: float
    megabytes: float


def reports() -> list[Figure]:
    """Measure runs and reports in turn, three times."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        lay_out(place)
        found: dict[str, list[Cost]] = {}
        for _ in range(1 if is_quick() else AGAIN):
            for name, words in commands(place):
                if name.startswith("run"):
                    shutil.rmtree(place / "run", ignore_errors=True)
                found.setdefault(name, []).append(cost(words, place=place))
    return figures(found)


def rows_of() -> int:
    """Return how many flights are taken."""
    return QUICK_ROWS if is_quick() else ROWS


def lay_out(place: Path) -> None:
    """Write the tables of the silos and of all rows, the schema, and a plan by default."""
    case = load("nycflights13", rows=rows_of())
    table = case.table.append_column("time_hour", _hours(case.table))
    schema = with_hours(case.schema)
    (place / "silos").mkdir()
    for airport in ("EWR", "JFK", "LGA"):
        own = table.filter(pc.equal(table["origin"], airport))
        pq.write_table(own, place / "silos" / f"{airport}.parquet")
    pq.write_table(table, place / "real.parquet")
    (place / "schema.yaml").write_text(dump_schema(schema), encoding="utf-8")
    plan = new_plan(schema, epsilon=1, delta=1e-6, silos=("EWR", "JFK", "LGA"))
    (place / "plan.yaml").write_text(dump_plan(plan), encoding="utf-8")


def with_hours(schema: Schema) -> Schema:
    """Return the schema with the hour that a flight was to leave at, as R's own table has it."""
    hours = DatetimeAttribute(
        name="time_hour",
        minimum=datetime(2013, 1, 1),
        maximum=datetime(2014, 1, 1),
        resolution=Resolution.HOUR,
        missing=True,
        source=Source.PUBLIC,
    )
    facts = {"version": 2, "attributes": (*schema.attributes, hours)}
    return Schema.model_validate(schema.model_copy(update=facts).model_dump())


def _hours(table: pa.Table) -> pa.Array:
    """Return the hour that each flight was to leave at; null where no hour is known."""
    parts = [
        pc.fill_null(table[name].cast(pa.int64()), 0).to_numpy()
        for name in ("year", "month", "day", "hour")
    ]
    year, month, day, hour = parts
    days = ((year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)).astype("M8[D]") + (day - 1)
    gone = np.asarray(table["hour"].is_null())
    return pa.array((days.astype("M8[h]") + hour).astype("M8[us]"), mask=gone)


def commands(place: Path) -> Sequence[tuple[str, Sequence[str]]]:
    """Return what is measured, in an order in which each finds what it needs."""
    run = ["simulate", "plan.yaml", "--schema", "schema.yaml", "--silos", "silos", "--out", "run"]
    made = ["sample", "run/result.sampler", "--rows", str(rows_of()), "--seed", "1", "--force"]
    held = ["evaluate", "made.parquet", "--real", "real.parquet", "--schema", "schema.yaml"]
    return (
        ("run", run),
        ("run in one process", [*run, "--engine", "local"]),
        ("report", ["report", "run", "--out", "page", "--force"]),
        ("drawing as many rows", [*made, "--out", "made.parquet"]),
        ("evaluation of two files", [*held, "--out", "beside", "--force"]),
    )


def cost(words: Sequence[str], *, place: Path) -> Cost:
    """Run a command of the product in a process of its own."""
    started, seen = time.perf_counter(), dict[int, float]()
    own = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *words],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=own,
    ) as process:
        said = None
        while said is None:
            seen |= tree_seconds(process.pid)
            try:
                said = process.communicate(timeout=_INTERVAL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    wall = time.perf_counter() - started
    last = said[0].splitlines()[-1:]
    if process.returncode or not last or json.loads(last[0])[0]:
        raise RuntimeError(f"{words[0]}: {said[1][-2000:]}")
    _, seconds, megabytes = json.loads(last[0])
    kin = sum(spent for pid, spent in seen.items() if pid != process.pid)
    return Cost(cpu=seconds + kin, wall=wall, megabytes=megabytes)


def figures(found: dict[str, list[Cost]]) -> list[Figure]:
    """Return what each took, and the gates: the run beside it, by means, and 500 MB."""
    rows = rows_of()
    gated = not is_quick()
    made = []
    runs = {name: costs for name, costs in found.items() if name.startswith("run")}
    for name, costs in found.items():
        bounds = dict[str, float | None](cpu=None, wall=None, megabytes=None)
        if gated and name in ("report", "evaluation of two files"):
            bounds = {"cpu": mean(runs["run"], "cpu"), "wall": mean(runs["run"], "wall")}
            bounds["megabytes"] = MOST_MEGABYTES
        for fact, unit in (("cpu", "cpu s"), ("wall", "s"), ("megabytes", "MB")):
            values = [float(getattr(c, fact)) for c in costs]
            made.append(
                Figure(
                    figure=f"{rows:,} flights, {name}: {fact}",
                    value=mean(costs, fact),
                    spread=(max(values) - min(values)) / 2 if len(values) > 1 else None,
                    unit=unit,
                    at_most=bounds[fact],
                )
            )
    alone = mean(found["report"], "cpu") / mean(runs["run in one process"], "cpu")
    name = f"{rows:,} flights, report: CPU over a run's in one process"
    made.append(Figure(figure=name, value=alone, unit="", at_most=1.0 if gated else None))
    return made


def mean(costs: Sequence[Cost], fact: str) -> float:
    """Return the mean of one fact."""
    return float(np.mean([getattr(c, fact) for c in costs]))
