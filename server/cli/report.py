"""The command that reports a federation's run, from releases alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli import (
    Force,
    GateFile,
    Json,
    emit,
    end_missed,
    evaluate_command,
    hold_bars,
    read_gate,
    say,
)
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.report import ReportFacts, sample_facts, write_report
from silosynth.common.sampler import load_sampler
from silosynth.server.cli.judge import find_directory, judge_with, register_judge
from silosynth.server.coordinator import State, finish
from silosynth.server.driver import read_state
from silosynth.server.federation import RunFiles, RunState, find_run, home, read_ended, read_plan
from silosynth.server.judging import check_judges, refuse_evaluation
from silosynth.server.report import report_outcome, run_provenance

if TYPE_CHECKING:
    from silosynth.common.evaluate import Gate, Opened

Evaluation = Annotated[
    str | None,
    typer.Option(metavar="EVAL_RUN", help="A run that asked the people whom this one held out."),
]


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
    evaluation: Evaluation = None,
    gate: GateFile = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows that are shown.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the report of a run: an HTML page that opens offline, and the same facts as JSON.

    It holds the model against what the silos released, since nobody holds the pooled rows. With
    [bold]--evaluation[/bold] it says what the people held out said of the sampler.

    [dim]silosynth report people-20260301-120000-1a2b[/dim]
    [dim]silosynth report people-20260301-120000-1a2b --evaluation EVAL_RUN[/dim]
    """
    shown = Shown(evaluation=evaluation, gate=gate, seed=seed)
    written = write_run_report(run_id, shown=shown, out=out, force=force)
    hand_over(written, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a report shows beside the run, and the gate that it is held to."""

    evaluation: str | None = None
    gate: Path | None = None
    seed: int = 1

    def bars(self, run: Path) -> Gate | None:
        """Look at the evaluation and read the gate before anything is done; return the gate.

        Raises InvalidArgument where the run itself is an evaluation, the evaluation none or one of
        another sampler, or the gate one of nothing.
        """
        refuse_evaluation(run)
        if self.evaluation is not None:
            check_judges(find_directory(self.evaluation), run=run)
        if self.gate is not None and self.evaluation is None:
            raise InvalidArgument(
                "a gate of a report is about its --evaluation", hint="name one, or leave it out"
            )
        return read_gate(self.gate)

    def added(self, facts: ReportFacts, *, run: Path) -> ReportFacts:
        """Return the facts with what people said who were held out, where that is wanted."""
        from silosynth.server.report import with_held_out

        if self.evaluation is None:
            return facts
        return with_held_out(facts, run=run, evaluation=find_directory(self.evaluation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where a report lies, and what of its gate was missed."""

    page: Path
    data: Path
    missed: tuple[str, ...] = ()


def put_report(facts: ReportFacts, out: Path, *, bars: Gate | None, force: bool) -> Written:
    """Write a report, and hold what people held out said against a gate."""
    missed = [] if facts.held_out is None else hold_bars(bars, facts.held_out.measures)
    page, data = write_report(facts, out, force=force)
    return Written(page=page, data=data, missed=tuple(missed))


def hand_over(written: Written, *, as_json: bool) -> None:
    """Say where a report lies; exit 1 where its gate was missed."""
    say(f"wrote {written.page} and {written.data}")
    told = {"html": str(written.page), "json": str(written.data)}
    emit(told | ({"missed": list(written.missed)} if written.missed else {}), as_json=as_json)
    end_missed(written.missed)


def write_run_report(run_id: str, *, shown: Shown, out: Path | None, force: bool) -> Written:
    """Write the report of a run of this coordinator and return where it lies.

    Raises InvalidArgument when there is no such run, RunFailed when it has not ended well.
    """
    files, _ = find_run(home(), run_id)
    bars = shown.bars(files.path)
    facts = shown.added(_facts(files, seed=shown.seed), run=files.path)
    return put_report(facts, out or files.path, bars=bars, force=force)


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
    refuse_evaluation(files.path)
    plan, schema = read_plan(files)
    return read_state(files.path, plan=plan, schema=schema)


def _facts(files: RunFiles, *, seed: int) -> ReportFacts:
    """Return the facts of a run that has ended, its model fitted again as it was."""
    state = replay_run(files)
    facts = report_outcome(state, finish(state), provenance=run_provenance(state, seed=seed))
    samples = sample_facts(load_sampler(files.sampler), seed=seed)
    return facts.model_copy(update={"samples": samples})
