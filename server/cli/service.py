"""The commands of runs that nobody sits beside: submit, coordinator."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from silosynth.common.cli import Json, emit, say
from silosynth.common.telemetry import start_logging, take_in_others
from silosynth.server.cli.page import register_page
from silosynth.server.cli.runs import GeneratorPath, begin_or_find, facts_of, register_runs
from silosynth.server.federation import home
from silosynth.server.service import Service, check_priority, serving_alone, submit, take_up


def register_service(app: typer.Typer) -> None:
    """Add the commands, and those of the runs that they are about."""
    register_runs(app)
    register_page(app)
    app.command("submit")(submit_run)
    app.command("coordinator")(coordinator)


def submit_run(
    plan: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="A plan with the silos' keys.")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="The schema that the plan is for.")] = None,
    federation: Annotated[
        str | None, typer.Option(help="The federation, from federations.toml.")
    ] = None,
    generator: GeneratorPath = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Leave a run that stopped to the service.")
    ] = None,
    priority: Annotated[
        int, typer.Option(help="From -100 to 100: the highest that waits is taken up first.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Leave a run to this home's service, and return at once.

    'silosynth coordinator' takes it up; 'status', 'logs' and 'cancel' are as for any run.

    [dim]silosynth submit plan.yaml --schema schema.yaml --federation development[/dim]
    """
    check_priority(priority)
    files, begun = begin_or_find(plan, schema, federation, resume, generator=generator)
    submit(files, priority=priority, now=datetime.now(UTC))
    say(f"run {files.id} waits for the coordinator; follow it with 'silosynth status {files.id}'")
    emit(facts_of(files, begun), as_json=as_json)


def coordinator(
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Runs that go on at one time.")] = 4,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Log lines as JSON on stderr.")
    ] = False,
) -> None:
    """Serve this home: run what was submitted, so many at once, until SIGTERM or Ctrl-C.

    Whatever stops it, the next one goes on where the runs stand; nothing is charged twice.

    [dim]silosynth coordinator --at-once 4[/dim]
    """
    start_logging(as_json=json_logs)
    if json_logs:
        take_in_others(text=True)
    told = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    with serving_alone(home()):
        say(f"serves {home()}, {at_once} runs at once")
        Service(home(), at_once=at_once, start=take_up).serve(told.wait)
    say("stopped; the next 'silosynth coordinator' goes on")
