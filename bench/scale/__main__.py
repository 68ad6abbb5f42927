"""How a simulation grows with its silos: seconds, seconds of CPU and memory, from the command.

    make bench-scale
    python -m bench scale local week ray processes        some of its parts
    python -m bench scale week --sizes 10,100,1000,10000

makes tables of 200 rows and 8 attributes and runs ``silosynth simulate``: ``local`` MST and AIM
with own noise, and MST with shared noise, in one process, ``week`` MST through a week of virtual
time, ``ray`` MST on Ray with Flower's messages beside Flower alone (:mod:`bench.scale.bare`), and
``processes`` MST and AIM over a SuperLink, SuperNodes, relays and gateways as processes, whose
lines take no time. Growth is how many times as much CPU the added silos took as those before them
would; it is drawn beside the figures. CPU is of processes that were waited for: of Ray's workers it
is not.

Flower alone is run twice after each of our runs: with as many nodes and messages as ours, whose
silos are in chunks, and with a node and a message for each silo, as a simulation by Flower has it.
Seconds are the least of RUNS each, taken in turns; the other end of their range is the spread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scale.bare import by_nodes, traffic
from bench.scale.growth import growth_picture
from bench.support.process_tree import watch
from bench.support.results import Figure, is_quick, publish, results_of
from silosynth.common.plan import Plan, dump_plan, load_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.on_ray import Chunks

ROWS, ATTRIBUTES = 200, 8
RUNS = 1 if is_quick() else 3
SIZES = (10, 30, 100) if is_quick() else (10, 100, 1000)
GATED = MOST_SHARED = 1000
LARGEST, LARGEST_MB = 10_000, 4096.0
PLANS: dict[str, dict[str, Any]] = {
    "mst": {"method": "mst"},
    "aim": {"method": "aim"},
    "shared": {"method": "mst", "trust": "shared", "colluders": 1},
}
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


Measured = Generator[Figure, None, float]
"""Figures, and in the end the seconds of CPU that growth is told by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one command took, with what it started; memory that they share counts once."""

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
    for name, chosen in PLANS.items():
        if chosen.get("trust") == "shared" and silos > MOST_SHARED:
            continue
        plan = new_plan(schema(), epsilon=1.0, delta=1e-6, silos=names, plan_id=name, **chosen)
        patient = Plan.model_validate(plan.model_dump(mode="json") | {"approval_seconds": 604_800})
        (folder / f"{name}.yaml").write_text(dump_plan(patient))


def run(folder: Path, method: str, *more: str, keep: Path | None = None) -> Took:
    """Run the command to its end; raise RuntimeError where it fails. Args: keep: what it wrote."""
    command = Path(sys.executable).with_name("silosynth")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = [command, "simulate", folder / f"{method}.yaml", "--schema", folder / "schema.yaml"]
        words += ["--silos", folder / "tables", "--out", keep or Path(out) / "run", *more]
        return _took([str(word) for word in words])


def _took(command: Sequence[str]) -> Took:
    """Run any command to its end; raise RuntimeError where it fails."""
    watched = watch(command, shared=True)
    if watched.returncode:
        raise RuntimeError(watched.error)
    return Took(
        seconds=watched.seconds, cpu=watched.cpu_seconds, peak_mb=watched.peak_bytes / 2**20
    )


def local(folder: Path, silos: int) -> Measured:
    """Run MST and AIM in one process, and MST with shared noise."""
    gated = silos == GATED
    mst = run(folder, "mst", "--engine", "local")
    aim = run(folder, "aim", "--engine", "local")
    yield from _of(f"{silos} silos, MST", mst, seconds=20 if gated else None)
    yield from _of(f"{silos} silos, AIM", aim, seconds=60 if gated else None)
    if silos <= MOST_SHARED:
        shared = run(folder, "shared", "--engine", "local")
        yield from _of(f"{silos} silos, MST, shared", shared, seconds=120 if gated else None)
    return mst.cpu


def week(folder: Path, silos: int) -> Measured:
    """Live through a week of virtual time."""
    took = run(folder, "mst", "--scenario", str(folder / "week.yaml"))
    most = LARGEST_MB if silos == LARGEST else None
    yield from _of(
        f"{silos} silos, MST, a week of virtual time", took, seconds=None, megabytes=most
    )
    return took.cpu


def ray(folder: Path, silos: int) -> Measured:
    """Run MST on Ray with Flower's messages, and Flower alone with as many bytes, in turns."""
    gated, name = silos == GATED, f"{silos} silos, MST, Flower on Ray"
    ours, bare, apart = [], [], []
    for number in range(RUNS):
        kept = folder / f"ray-{number}"
        ours.append(run(folder, "mst", "--engine", "flower", keep=kept))
        plan, rounds = traffic(kept)
        nodes = Chunks.of(list(rounds[0]), hosts=os.cpu_count() or 1, silo_bytes=0).count
        bare.append(_flower_alone(folder, by_nodes(plan, rounds, nodes=nodes)))
        if number == 0:
            apart.append(_flower_alone(folder, by_nodes(plan, rounds, nodes=silos)))
    best = min(ours, key=lambda took: took.seconds)
    yield from _of(name, best, seconds=60 if gated else None)
    for what, peers in (("as many messages", bare), ("a message a silo", apart)):
        peer = min(took.seconds for took in peers)
        yield Figure(
            figure=f"{name}, over Flower alone with {what}",
            value=best.seconds / peer,
            spread=(max(took.seconds for took in ours) - best.seconds) / peer / 2,
            peer=peer,
            unit="times",
            at_most=1.5 if gated else None,
        )
    return best.cpu


def _flower_alone(folder: Path, rounds: list[list[tuple[int, int]]]) -> Took:
    """Send as many bytes with Flower alone."""
    path = folder / "traffic.json"
    path.write_text(json.dumps(rounds))
    return _took([sys.executable, "-m", "bench.scale.bare", str(path)])


def processes(folder: Path, silos: int) -> Measured:
    """Run MST and AIM over real processes; a phase's seconds are those until its last answer."""
    calm = folder / "calm.yaml"
    link = "{delay: 0, bandwidth_mbit: 100000}"
    calm.write_text(
        f"name: calm\nregions: {{all: {{silos: {{prefix: s, count: {silos}}}, link: {link}}}}}\n"
    )
    gates = {3: (3.0, 15.0), 30: (5.0, None)}.get(silos, (None, None))
    for method, whole in (("mst", None), ("aim", gates[1])):
        kept = folder / f"processes-{method}"
        took = run(folder, method, "--scenario", str(calm), "--real-time", keep=kept)
        timeline = json.loads((kept / "timeline.json").read_text())["timeline"]
        phases = {p.name.value for p in load_plan(folder / f"{method}.yaml").phases}
        spent = [
            leg["end_seconds"] - leg["begin_seconds"]
            for leg in timeline["legs"]
            if leg["name"] in phases
        ]
        name = f"{silos} silos, {method.upper()}, real processes"
        yield Figure(figure=f"{name}, a phase", value=fmean(spent), unit="s", at_most=gates[0])
        begun = timeline["legs"][0]["begin_seconds"]
        seconds = timeline["virtual_seconds"] - begun
        yield Figure(figure=f"{name}, from the plan on", value=seconds, unit="s", at_most=whole)
        yield from _of(f"{name}, with their start", took, seconds=None)
    return took.cpu


PARTS = {"local": local, "week": week, "ray": ray, "processes": processes}
OF_THEIR_OWN = {
    "week": SIZES if is_quick() else (*SIZES, LARGEST),
    "ray": (10, 30) if is_quick() else (100, 1000),
    "processes": (3,) if is_quick() else (3, 30),
}
"""Sizes of the parts that have others than SIZES."""


def figures(part: str, sizes: Sequence[int], *, directory: Path) -> Iterator[Figure]:
    """Run a part at every size, and yield what it took, with its growth where there are three."""
    cpu = {}
    for silos in sizes:
        folder = directory / str(silos)
        if not folder.exists():
            make(folder, silos=silos)
        cpu[silos] = yield from PARTS[part](folder, silos)
    if len(cpu) > 2:
        yield Figure(
            figure=f"growth to {sizes[-1]} silos, {part}",
            value=_growth(cpu, sizes),
            unit="times linear",
            at_most=None if is_quick() else 1.3,
        )
        picture = results_of("scale") / f"growth-{part}.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(growth_picture(cpu, title=f"{part}: CPU seconds over silos"))


def _of(
    name: str, took: Took, *, seconds: float | None, megabytes: float | None = None
) -> list[Figure]:
    """Return the figures of one command, with its gates."""
    memory = megabytes if seconds is None else 1536.0
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
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all by default")
    parser.add_argument("--sizes", help="of every part that is named, such as 10,100,1000")
    asked = parser.parse_args()
    parts = asked.parts or list(PARTS)
    missed = 0
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        for part in parts:
            sizes = OF_THEIR_OWN.get(part, SIZES)
            if asked.sizes:
                sizes = tuple(int(size) for size in asked.sizes.split(","))
            found = figures(part, sizes, directory=Path(folder))
            missed |= publish("scale", found, room="scale", update=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
