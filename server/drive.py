"""Pump the coordinator: send what it asks, journal answers, until every phase is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from silosynth.common.errors import SilosynthError
from silosynth.common.plan import PhaseName, Plan, Request
from silosynth.common.schema import Schema
from silosynth.server.coordinator import Ask, Command, Event, Fail, State, replay, step
from silosynth.server.journal import Journal

Send = Callable[[Sequence[Request]], Iterable[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a phase is: ``answered`` of ``asked`` silos."""

    phase: PhaseName
    answered: int
    asked: int


def drive(
    plan: Plan,
    schema: Schema,
    *,
    journal: Journal,
    send: Send,
    progress: Callable[[Progress], None] = lambda _: None,
) -> State:
    """Run or resume a plan to its end; return the state that holds every release.

    Every event is on disk before the next phase is asked. An event that would end the run is not
    recorded, so that resuming asks again: with the same request ids, at no new charge.

    Raises the error that ends the run, after all answers of the phase are journaled.
    """
    state, commands = replay(plan, schema, journal.events())
    while requests := [c.request for c in commands if isinstance(c, Ask)]:
        progress(Progress(phase=requests[0].phase, answered=0, asked=len(requests)))
        state, commands = _ask(state, requests, journal=journal, send=send, progress=progress)
    _raise_failure(commands)
    return state


def _ask(
    state: State,
    requests: Sequence[Request],
    *,
    journal: Journal,
    send: Send,
    progress: Callable[[Progress], None],
) -> tuple[State, tuple[Command, ...]]:
    """Send one phase's requests and take every answer; return what to do next."""
    commands: tuple[Command, ...] = ()
    failure: SilosynthError | None = None
    answered = 0
    for event in send(requests):
        after, new = step(state, event)
        error = next((c.error for c in new if isinstance(c, Fail)), None)
        failure = failure or error
        if error is None:
            journal.record(event)
            state, commands = after, new or commands
            answered += 1
            progress(Progress(phase=event.phase, answered=answered, asked=len(requests)))
    if failure is not None:
        raise failure
    return state, commands


def _raise_failure(commands: Iterable[Command]) -> None:
    """Raise the error of a failed run."""
    for command in commands:
        if isinstance(command, Fail):
            raise command.error
