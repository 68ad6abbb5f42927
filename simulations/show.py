"""Run for a command: show how far it is, and say what came of it and where it lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from silosynth.client.maps import SiloMap
from silosynth.common.cli import bars, say, show_table
from silosynth.common.errors import OutputExists
from silosynth.common.files import read_named
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.server.driver import Progress
from silosynth.simulations.real_time import RowFlags
from silosynth.simulations.run import Engine, simulate
from silosynth.simulations.run_files import RunDirectory, RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFlags:
    """Where what a plan names lies: networks, programs and samplers that it does not hold."""

    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The folder of the pretrained checkpoint that the plan names, if any."),
    ] = None
    last: Annotated[
        Path | None, typer.Option(metavar="SAMPLER", help="The sampler that the plan renews.")
    ] = None
    generator: Annotated[
        Path | None,
        typer.Option(help="The program that writes what silos vote for, for a plan of votes."),
    ] = None

    @property
    def programs(self) -> tuple[Path | None, Path | None]:
        """Return what a run in a scenario or a sweep has no use for."""
        return self.checkpoint, self.generator


def run_with_progress(
    plan: Plan,
    schema: Schema,
    *,
    tables: dict[str, pa.Table],
    out: Path,
    engine: Engine,
    named: NamedFlags | None = None,
    rows: RowFlags | None = None,
    maps: Mapping[str, SiloMap] | None = None,
) -> RunResult:
    """Run a plan and show how far it is."""
    named, rows = named or NamedFlags(), rows or RowFlags()
    with progress_bars() as progress:
        return simulate(
            plan,
            schema=schema,
            silos=tables,
            directory=out,
            checkpoint=named.checkpoint,
            generator=named.generator,
            engine=engine,
            person_column=rows.person_column,
            rows_per_person=rows.rows_per_person,
            accept_misfits=rows.accept_misfits,
            maps=maps,
            last=None if named.last is None else read_named(named.last),
            progress=progress,
            tell=say,
        )


@contextmanager
def progress_bars() -> Iterator[Callable[[Progress], None]]:
    """Yield a callback that shows one bar a phase."""
    with bars("silos") as shown:
        tasks = {}

        def show(progress: Progress) -> None:
            name = progress.phase.value
            done, total = progress.answered, progress.asked
            if progress.training is not None:
                total = progress.training.rounds
                done = progress.training.round + (progress.answered == progress.asked)
                name = f"{name}, rounds"
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done)

        yield show


def remove_run(path: Path) -> None:
    """Remove a run's directory; refuse anything that is not one."""
    if not path.exists():
        return
    if not RunDirectory(path=path).plan.is_file() and (path.is_file() or any(path.iterdir())):
        raise OutputExists(f"{path} is not the directory of a run", hint="choose another one")
    shutil.rmtree(path)


def show_result(result: RunResult, *, directory: Path) -> None:
    """Say what a run spent and where its results lie."""
    run = RunDirectory(path=directory)
    certificate = result.certificate
    silos = len(result.state.silos)
    say(
        f"done: {silos} silos, epsilon {certificate.epsilon:.4g} at delta {certificate.delta:g} "
        "for each silo"
    )
    show_paths({"sampler": run.sampler, "privacy certificate": run.certificate})


def show_paths(paths: Mapping[str, Path]) -> None:
    """Say where results lie."""
    rows = [(name, str(path)) for name, path in paths.items()]
    show_table("results", ("what", "where"), rows, numbers=False)


def result_facts(result: RunResult, *, directory: Path) -> dict[str, object]:
    """Return what a script wants to know of a run."""
    run = RunDirectory(path=directory)
    return {
        "sampler": str(run.sampler),
        "certificate": str(run.certificate),
        "epsilon": result.certificate.epsilon,
        "delta": result.certificate.delta,
        "silos": list(result.state.silos),
    }
