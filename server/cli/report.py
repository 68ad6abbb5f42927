"""The command that reports a federation's run, from releases alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli import Force, Json, emit, evaluate_command, say
from silosynth.common.errors import RunFailed
from silosynth.common.report import ReportFacts, sample_facts, write_report
from silosynth.common.sampler import load_sampler
from silosynth.server.cli.judge import judge_with, register_judge
from silosynth.server.coordinator import State, finish, replay
from silosynth.server.driver import read_events
from silosynth.server.federation import RunFiles, RunState, find_run, home, read_ended, read_plan
from silosynth.server.report import report_outcome, run_provenance

if TYPE_CHECKING:
    from silosynth.common.evaluate import Opened


def register_report(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add its commands; the simulations, where they are installed, put one in its place that
    reports directories of theirs as well.
    """
    app.command("report")(report)
    register_judge(groups)
    app.command("evaluate")(evaluate_command(_open_run, judge_with))


def _open_run(directory: Path) -> Opened | None:
    """Read a run's directory again; what can, takes seconds to import."""
    from silosynth.server.report import open_run

    return open_run(directory)


def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run's id, from 'runs'.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; the run's directory by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows that are shown.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the report of a run: an HTML page that opens offline, and the same facts as JSON.

    It holds the model against what the silos released, since nobody holds the pooled rows.

    [dim]silosynth report people-20260301-120000-1a2b[/dim]
    """
    emit(write_run_report(run_id, out=out, seed=seed, force=force), as_json=as_json)


def write_run_report(run_id: str, *, out: Path | None, seed: int, force: bool) -> dict[str, str]:
    """Write the report of a run of this coordinator and return where it lies.

    Raises InvalidArgument when there is no such run, RunFailed when it has not ended well.
    """
    files, _ = find_run(home(), run_id)
    facts = _facts(files, seed=seed)
    page, data = write_report(facts, out or files.path, force=force)
    say(f"wrote {page} and {data}")
    return {"html": str(page), "json": str(data)}


def replay_run(files: RunFiles) -> State:
    """Return the state of a run that has ended well: its journal played again.

    It gives what it gave, so nothing is asked and nothing is spent.
    """
    ended = read_ended(files)
    if ended.state is not RunState.COMPLETED:
        raise RunFailed(
            f"run {files.id} is {ended.state.value}: there is nothing to report yet",
            hint=f"go on with 'silosynth run --resume {files.id}'",
        )
    plan, schema = read_plan(files)
    state, _ = replay(plan, schema, read_events(files.path, plan_digest=plan.digest))
    return state


def _facts(files: RunFiles, *, seed: int) -> ReportFacts:
    """Return the facts of a run that has ended, its model fitted again as it was."""
    state = replay_run(files)
    facts = report_outcome(state, finish(state), provenance=run_provenance(state, seed=seed))
    samples = sample_facts(load_sampler(files.sampler), seed=seed)
    return facts.model_copy(update={"samples": samples})
