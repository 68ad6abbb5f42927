"""How a simulation grows with its silos: seconds, seconds of CPU and memory, from the command.

    make bench-scale

makes tables of 200 rows and 8 attributes, runs ``silosynth simulate`` on 10, 100 and 1,000 silos,
MST and AIM, own noise, and lives through a week of virtual time; with ``--most 10000`` as well on
that many. Growth is how many times as much CPU the added silos took as those before them would.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.support.process_tree import watch
from bench.support.results import Figure, is_quick, publish
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan

ROWS, ATTRIBUTES = 200, 8
SIZES = (10, 30, 100) if is_quick() else (10, 100, 1000)
GATED = 1000
WEEK = """
name: week
starts: 2026-03-06T18:00:00Z
regions:
  all:
    silos: {{prefix: s, count: {silos}}}
    approval: {{by: person, takes: 1h}}
    link: {{delay: 80ms, jitter: 40ms, loss: 0.02}}
faults:
  - {{kind: outage, regions: [all], from: 2d, until: 60h}}
  - {{kind: stall, at: count, lasts: 2m}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one command took; ``cpu`` is of it and of what it started."""

    seconds: float
    cpu: float
    peak_mb: float


def schema() -> Schema:
    """Return a schema of 8 lists of 2 to 9 categories."""
    attributes = [
        {
            "name": f"a{i}",
            "kind": "categorical",
            "categories": [f"c{j}" for j in range(2 + i)],
            "source": "public",
        }
        for i in range(ATTRIBUTES)
    ]
    return parse_schema({"name": "people", "attributes": attributes})


def table(seed: int) -> pa.Table:
    """Return one silo's rows, whose columns depend on one another."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 2, ROWS)
    return pa.table(
        {
            f"a{i}": pa.array([f"c{v}" for v in (base + random.integers(0, 1 + i, ROWS)) % (2 + i)])
            for i in range(ATTRIBUTES)
        }
    )


def make(folder: Path, *, silos: int) -> None:
    """Write schema, tables, plans and a scenario."""
    names = [f"s{i + 1}" for i in range(silos)]
    (folder / "tables").mkdir(parents=True)
    for i, name in enumerate(names):
        pq.write_table(table(i), folder / "tables" / f"{name}.parquet")
    (folder / "schema.yaml").write_text(dump_schema(schema()))
    (folder / "week.yaml").write_text(WEEK.format(silos=silos))
    for method in ("mst", "aim"):
        plan = new_plan(
            schema(), epsilon=1.0, delta=1e-6, silos=names, method=method, plan_id=method
        )
        patient = Plan.model_validate(plan.model_dump(mode="json") | {"approval_seconds": 604_800})
        (folder / f"{method}.yaml").write_text(dump_plan(patient))


def run(folder: Path, method: str, *more: str) -> Took:
    """Run the command to its end; raise RuntimeError where it fails."""
    command = Path(sys.executable).with_name("silosynth")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = [command, "simulate", folder / f"{method}.yaml", "--schema", folder / "schema.yaml"]
        words += ["--silos", folder / "tables", "--out", Path(out) / "run", *more]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        watched = watch([str(word) for word in words])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if watched.returncode:
        raise RuntimeError(watched.error)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(seconds=watched.seconds, cpu=cpu, peak_mb=watched.peak_bytes / 2**20)


def figures(sizes: Sequence[int], *, directory: Path) -> list[Figure]:
    """Run every size and return what it took, with growth from the last but one to the last."""
    found, cpu = [], {}
    for silos in sizes:
        folder = directory / str(silos)
        make(folder, silos=silos)
        gated = silos == GATED
        local = run(folder, "mst", "--engine", "local")
        week = run(folder, "mst", "--scenario", str(folder / "week.yaml"))
        aim = run(folder, "aim", "--engine", "local")
        cpu[silos] = (local.cpu, week.cpu)
        found += [
            *_of(f"{silos} silos, MST", local, seconds=20 if gated else None),
            *_of(f"{silos} silos, MST, a week of virtual time", week, seconds=None),
            *_of(f"{silos} silos, AIM", aim, seconds=60 if gated else None),
        ]
    for i, name in enumerate(("MST", "MST, a week of virtual time")):
        found.append(
            Figure(
                figure=f"growth to {sizes[-1]} silos, {name}",
                value=_growth({n: took[i] for n, took in cpu.items()}, sizes),
                unit="times linear",
                at_most=None if is_quick() else 1.3,
            )
        )
    return found


def _of(name: str, took: Took, *, seconds: float | None) -> list[Figure]:
    """Return the figures of one command."""
    memory = None if seconds is None else 1536.0
    return [
        Figure(figure=name, value=took.seconds, unit="s", at_most=seconds),
        Figure(figure=f"{name}, CPU", value=took.cpu, unit="s"),
        Figure(figure=f"{name}, memory", value=took.peak_mb, unit="MB", at_most=memory),
    ]


def _growth(cpu: dict[int, float], sizes: Sequence[int]) -> float:
    """Return CPU a silo of the last step over that of the step before."""
    first, middle, last = sizes[-3:]
    before = (cpu[middle] - cpu[first]) / (middle - first)
    return (cpu[last] - cpu[middle]) / (last - middle) / before


def main() -> int:
    """Measure beside this file: a file system in memory would flatter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, help="one more size, such as 10000")
    asked = parser.parse_args()
    sizes = (*SIZES, asked.most) if asked.most else SIZES
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        return publish("scale", figures(sizes, directory=Path(folder)), room="scale")


if __name__ == "__main__":
    sys.exit(main())
