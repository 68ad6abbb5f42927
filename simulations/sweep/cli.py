"""What ``simulate --sweep`` does: run it with progress, and show its numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from silosynth.common.cli import bars, emit, say, show_table
from silosynth.common.errors import OutputExists
from silosynth.common.plan import Plan
from silosynth.common.report import plain
from silosynth.common.schema import Schema
from silosynth.simulations.sweep.axes import AxisName, parse_axes
from silosynth.simulations.sweep.point import Base
from silosynth.simulations.sweep.sweep import SweepFiles, check_base, sweep
from silosynth.simulations.world import SECOND, load_scenario, match_plan, spell_span


def simulate_sweep(
    plan: Plan,
    schema: Schema,
    *,
    tables: Mapping[str, pa.Table],
    asked: Sequence[str],
    scenario: Path | None,
    out: Path,
    repeats: int,
    cluster: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Run a sweep over all cores and show its points; the same command goes on with it."""
    axes = parse_axes(asked, columns=[a.name for a in schema.coded])
    world = None if scenario is None else load_scenario(scenario)
    if world is not None and not any(axis.name is AxisName.SILOS for axis in axes):
        match_plan(world, plan)
    base = Base(plan=plan, schema=schema, tables=tables, scenario=world, axes=axes)
    check_base(base)
    if force:
        _forget(out)
    with bars("runs") as shown:
        task = shown.add_task("sweep")
        facts = sweep(
            base,
            repeats=repeats,
            directory=out,
            cluster=cluster,
            progress=lambda done, of: shown.update(task, completed=done, total=of),
        )
    _show(facts, files=SweepFiles(path=out))
    emit({"out": str(out), "points": facts["points"]}, as_json=as_json)


def _forget(directory: Path) -> None:
    """Remove a sweep's directory; refuse anything that is not one."""
    if not directory.exists():
        return
    if any(directory.iterdir()) and not SweepFiles(path=directory).asked.is_file():
        raise OutputExists(f"{directory} is not the directory of a sweep", hint="choose another")
    shutil.rmtree(directory)


def _mean(point: Mapping[str, Any], name: str, spelled: Callable[[float], str] = plain) -> str:
    """Return the mean of a point's number, if it has one."""
    return spelled(point[name]["mean"]) if name in point else "–"


def _show(facts: Mapping[str, Any], *, files: SweepFiles) -> None:
    """Show a line for each point, and where the files are."""
    labels = list(facts["axes"])
    rows = [
        (
            *point["point"].values(),
            f"{point['completed']} of {point['runs']}",
            *(_mean(point, name) for name in ("distance_1", "distance_2")),
            _mean(point, "virtual_seconds", lambda s: spell_span(round(s * SECOND))),
            _mean(point, "took_part"),
        )
        for point in facts["points"]
    ]
    header = (*labels, "completed", "1-way", "2-way", "virtual time", "silos")
    show_table(f"{facts['method']}: mean distances to all real rows", header, rows)
    for run in facts["runs"]:
        if run["ended"] != "completed" and run["repeat"] == 0:
            where = ", ".join(f"{k}={v}" for k, v in run["point"].items())
            say(f"{where}: {run['error']}")
    paths = {"curves": files.picture, "numbers": files.facts, "table": files.table}
    show_table("results", ("what", "where"), [(k, str(v)) for k, v in paths.items()], numbers=False)
