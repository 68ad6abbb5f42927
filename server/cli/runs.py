"""Commands of a federation's runs: run, runs, status, logs, cancel."""

from __future__ import annotations

import json
import logging
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from silosynth.common.cli import Json, emit, say, show_table
from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.plan import load_plan
from silosynth.common.reach import Expiry, clock_hint, look_at
from silosynth.common.tables import load_any_schema
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    TelemetryServer,
    log,
    log_file,
    start_logging,
    take_in_others,
)
from silosynth.server.cli.prune import prune
from silosynth.server.driver import Progress, TrainingProgress, generator_of
from silosynth.server.federation import (
    Begun,
    Federation,
    RunFiles,
    RunState,
    Waiting,
    begin_run,
    check_files,
    check_whole,
    discard_run,
    find_federation,
    find_run,
    home,
    is_pruned,
    list_runs,
    read_ended,
    read_plan,
    read_standing,
    run_facts,
    summarise,
)
from silosynth.server.judging import judgement_words, read_found

GeneratorPath = Annotated[
    Path | None,
    typer.Option(help="The program that writes what silos vote for, for a plan of votes."),
]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="A run's id, from 'runs'.")]


def register_runs(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("runs")(runs)
    app.command("status")(status)
    app.command("logs")(logs)
    app.command("cancel")(cancel)
    app.command("prune")(prune)


def run(
    plan: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="A plan with the silos' keys.")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="The schema that the plan is for.")] = None,
    federation: Annotated[
        str | None, typer.Option(help="The federation, from federations.toml.")
    ] = None,
    generator: GeneratorPath = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Go on with a run that stopped.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics and /health on loopback.")
    ] = None,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Log lines as JSON on stderr, no progress.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a plan over a federation: propose it, measure, fit, and hand the sampler back.

    It goes to the silos of the plan's roster that approve it, and to nobody else. Whatever stops
    it, [bold]--resume[/bold] goes on; nothing is charged twice.

    [dim]silosynth run plan.yaml --schema schema.yaml --federation development[/dim]
    [dim]silosynth run --resume people-20260301-120000-1a2b[/dim]
    """
    # Flower takes seconds to import, which only commands that use it should.
    from silosynth.server.federation import Watchers, run_federation

    if json_logs:
        start_logging(as_json=True)
        take_in_others(text=True)
    files, begun = begin_or_find(plan, schema, federation, resume, generator=generator)
    found = find_federation(home(), begun.federation)
    telemetry = Telemetry(role=Role.COORDINATOR)
    opened = Event()
    with ExitStack() as stack:
        stack.enter_context(log_file(files.log))
        if metrics_port is not None:
            stack.enter_context(TelemetryServer(telemetry, port=metrics_port))
        show, stand = (lambda _: None, lambda _: None) if json_logs else _spoken()
        watchers = Watchers(
            progress=show,
            standing=stand,
            tell=say,
            opened=lambda: _open(files, opened),
            telemetry=telemetry,
        )
        _check_clock(found)
        for words in Expiry(telemetry, superlink=found.superlink, ca=found.ca).show():
            say(f"warning: {words}; renew it before that day")
        try:
            state = run_federation(home(), files, begun, federation=found, watchers=watchers)
        except ConnectionFailed:
            if resume is None and not opened.is_set():
                discard_run(files)
            raise
    for silo, why in {**state.left, **state.unacknowledged()}.items():
        say(f"note: silo {silo}: {why}")
    made = files.sampler if state.plan.evaluation is None else files.evaluation
    say(f"done: {len(state.silos)} silos; {made} and {files.certificate}")
    if state.plan.evaluation is not None:
        for line in judgement_words(read_found(files.path)):
            say(line)
    emit(facts_of(files, begun), as_json=as_json)


def runs(as_json: Json = False) -> None:
    """List the runs of this coordinator, oldest first.

    [dim]silosynth runs[/dim]
    """
    found = list_runs(home())
    rows = [
        (f.id, b.federation, read_ended(f).state.value, f"{b.started:%Y-%m-%d %H:%M}")
        for f, b in found
    ]
    show_table("runs", ("run", "federation", "state", "started"), rows, numbers=False)
    emit({"runs": [facts_of(f, b) for f, b in found]}, as_json=as_json)


def status(run_id: RunId, as_json: Json = False) -> None:
    """Show where a run stands: which silos have approved and answered, and how it ended.

    [dim]silosynth status people-20260301-120000-1a2b[/dim]
    """
    files, begun = find_run(home(), run_id)
    ended = read_ended(files)
    say(f"run {files.id} of plan {begun.plan_id}: {ended.state.value}")
    if ended.message:
        say(f"{ended.message}" + (f"; {ended.hint}" if ended.hint else ""))
    if is_pruned(files):
        say("its journal and log were pruned; plan, certificate and sampler are kept")
        emit(facts_of(files, begun) | {"pruned": True}, as_json=as_json)
        return
    running = ended.state is RunState.RUNNING
    waiting = read_standing(files.standing) if running else {}
    stage, rows = _read_journal(files, waiting)
    say(f"stage: {stage}")
    show_table("silos", ("silo", "approved", "phases answered", "result"), rows, numbers=False)
    for silo, standing in waiting.items():
        say(f"{silo}: {standing.words()}")
    shown = {silo: standing.model_dump(mode="json") for silo, standing in waiting.items()}
    emit(facts_of(files, begun) | {"stage": stage, "waiting": shown}, as_json=as_json)


def logs(run_id: RunId, as_json: Json = False) -> None:
    """Print the coordinator's log of a run; with --json the lines as they are.

    [dim]silosynth logs people-20260301-120000-1a2b[/dim]
    """
    files, _ = find_run(home(), run_id)
    text = files.log.read_text(encoding="utf-8") if files.log.exists() else ""
    for line in text.splitlines():
        sys.stdout.write(f"{line if as_json else _spell(line)}\n")


def cancel(run_id: RunId, as_json: Json = False) -> None:
    """End a run for good. What silos have charged stays charged.

    [dim]silosynth cancel people-20260301-120000-1a2b[/dim]
    """
    from silosynth.server.federation import cancel_run

    files, begun = find_run(home(), run_id)
    cancel_run(files)
    say(f"run {files.id} is cancelled")
    emit(facts_of(files, begun), as_json=as_json)


def begin_or_find(
    plan: Path | None,
    schema: Path | None,
    federation: str | None,
    resume: str | None,
    *,
    generator: Path | None = None,
) -> tuple[RunFiles, Begun]:
    """Make a new run from a plan, or find the one to resume."""
    from silosynth.server.federation import check_runnable, require_trained

    if resume is not None:
        if any(given is not None for given in (plan, schema, federation, generator)):
            raise InvalidArgument("--resume stands alone", hint="a run keeps its plan and schema")
        found = find_run(home(), resume)
        check_whole(found[0])
        return found
    if plan is None or schema is None or federation is None:
        raise InvalidArgument(
            "a new run needs PLAN, --schema and --federation", hint="or give --resume RUN_ID"
        )
    loaded, described = load_plan(plan), load_any_schema(schema)
    check_runnable(loaded, described)
    require_trained(home(), loaded)
    generator_of(generator, loaded)
    check_files(find_federation(home(), federation))
    files = begin_run(
        home(),
        plan=loaded,
        schema=described,
        federation=federation,
        now=datetime.now(UTC),
        token=secrets.token_hex(2),
        generator=generator,
    )
    return find_run(home(), files.id)


def _check_clock(federation: Federation) -> None:
    """Warn of a clock that is off; a SuperLink that is away is the run's to wait for."""
    try:
        words = look_at(federation.superlink, ca=federation.ca)
    except ConnectionFailed:
        return
    if words is not None:
        log("clock-off", level=logging.WARNING, why=words)
        say(f"warning: {words}; {clock_hint()}")


def _open(files: RunFiles, opened: Event) -> None:
    """Say once how a run that the SuperLink has taken is stopped and gone on with."""
    if not opened.is_set():
        opened.set()
        say(f"run {files.id}: stop it with Ctrl-C, go on with 'silosynth run --resume {files.id}'")


def _spoken() -> tuple[Callable[[Progress], None], Callable[[Mapping[str, Waiting]], None]]:
    """Return what tells a person how far a run is, and for whom it waits; no line twice in a row.

    What is merely asked is not spoken of.
    """
    last = ""

    def speak(line: str) -> None:
        nonlocal last
        if line and line != last:
            say(line)
            last = line

    def show(progress: Progress) -> None:
        name, answered, asked = progress.phase.value, progress.answered, progress.asked
        line = f"{name}: {answered} of {asked}" if name != "fit" else "fit"
        if progress.training is not None:
            line = describe_training(progress.training)
        speak(line)

    return show, lambda silos: speak(summarise(silos))


def describe_training(training: TrainingProgress) -> str:
    """Say how far training is, what it has cost, and what stood above the noise."""
    signal = "" if training.signal is None else f", signal {training.signal:.3f} of noise"
    return (
        f"training: {training.round} of {training.rounds} rounds, epsilon {training.epsilon:.3g} "
        f"spent{signal}"
    )


def _read_journal(
    files: RunFiles, waiting: Mapping[str, Waiting]
) -> tuple[str, list[tuple[str, str, str, str]]]:
    """Return the stage of a run and a row for each silo, from its journal."""
    from silosynth.server.driver import read_state

    plan, schema = read_plan(files)
    state = read_state(files.path, plan=plan, schema=schema)
    stage = state.phase.value if state.phase else state.stage.value
    rows = []
    for silo in plan.silos:
        answered = [p.value for p, releases in state.releases.items() if silo in releases]
        result = state.acknowledged.get(silo)
        undecided = waiting[silo].what.value if silo in waiting else "not yet"
        rows.append(
            (
                silo,
                "yes" if silo in state.approved else state.left.get(silo, undecided),
                ", ".join(answered) or "-",
                "-" if result is None else result or "accepted",
            )
        )
    return stage, rows


def facts_of(files: RunFiles, begun: Begun) -> dict[str, object]:
    """Return what a script wants to know of a run."""
    return run_facts(files, begun, read_ended(files))


def _spell(line: str) -> str:
    """Return a JSON log line as text."""
    facts = json.loads(line)
    head = f"{facts.pop('time')} {facts.pop('event')}"
    facts.pop("level", None)
    return " ".join((head, *(f"{name}={json.dumps(value)}" for name, value in facts.items())))
