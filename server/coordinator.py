"""The coordinator as a pure state machine: (state, event) -> (state, commands).

Drivers pump it: the Flower ServerApp, and the one-process driver of the simulations. It does no
I/O and draws no randomness, so replaying a journal of events always asks the same requests again
and ends in the same measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from silosynth.common.domain import Grouping
from silosynth.common.errors import RunFailed, SiloAbsent, SilosynthError
from silosynth.common.measurement import Measurement
from silosynth.common.plan import (
    FINE,
    OnAbsent,
    PhaseName,
    Plan,
    Request,
    check_plan,
    count_cells,
)
from silosynth.common.schema import Schema
from silosynth.common.wire import Receipt, Refusal, Release, decode_release, refusal_error
from silosynth.server.aggregate import sum_releases
from silosynth.server.questions import Question, ask_phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A silo sent ``data``, a release or a refusal."""

    phase: PhaseName
    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A silo did not answer before the deadline."""

    phase: PhaseName
    silo: str


Event = Answered | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send ``request`` to its silo."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Every phase is answered: fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The run cannot go on."""

    error: SilosynthError


Command = Ask | Finish | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a run stands; ``phase`` is None when every phase is answered."""

    plan: Plan
    schema: Schema
    silos: tuple[str, ...]
    phase: PhaseName | None
    asked: Mapping[PhaseName, Question] = field(default_factory=dict)
    releases: Mapping[PhaseName, Mapping[str, Release]] = field(default_factory=dict)

    def measured(self) -> dict[PhaseName, tuple[Measurement, ...]]:
        """Return the sums over the silos that still take part, of every complete phase."""
        return {
            phase: sum_releases(
                [self.releases[phase][s] for s in self.silos],
                queries=question.queries,
                levels={FINE: Grouping()} | dict(question.levels),
                phase=self.plan.phase(phase),
            )
            for phase, question in self.asked.items()
            if not self.waiting(phase)
        }

    def waiting(self, phase: PhaseName) -> tuple[str, ...]:
        """Return the silos that take part and have not answered ``phase``."""
        answered = self.releases.get(phase, {})
        return tuple(s for s in self.silos if s not in answered)

    def receipts(self) -> dict[str, tuple[Receipt, ...]]:
        """Return what each silo said it released, absent silos included."""
        return {
            silo: tuple(r[silo].receipt for r in self.releases.values() if silo in r)
            for silo in self.plan.silos
        }


def start(plan: Plan, schema: Schema) -> tuple[State, tuple[Command, ...]]:
    """Begin a run; raise InvalidPlan when plan and schema do not fit."""
    check_plan(plan, schema)
    state = State(plan=plan, schema=schema, silos=plan.silos, phase=None)
    return _open_phase(state, plan.phases[0].name)


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Take one event. Events that say nothing new change nothing."""
    if event.phase is not state.phase or event.silo not in state.waiting(event.phase):
        return state, ()
    if isinstance(event, Absent):
        return _leave(state, event, error=_absent(event))
    answer = decode_release(event.data)
    if isinstance(answer, Refusal):
        return _leave(state, event, error=refusal_error(answer))
    _check_receipt(state, event, answer)
    answered = {**state.releases.get(event.phase, {}), event.silo: answer}
    return _advance(replace(state, releases={**state.releases, event.phase: answered}))


def replay(
    plan: Plan, schema: Schema, events: Iterable[Event]
) -> tuple[State, tuple[Command, ...]]:
    """Return the state after ``events`` and what is still to be done."""
    state, commands = start(plan, schema)
    for event in events:
        state, new = step(state, event)
        commands = new or commands
    waiting = state.waiting(state.phase) if state.phase else ()
    return state, tuple(c for c in commands if not isinstance(c, Ask) or c.request.silo in waiting)


def _open_phase(state: State, phase: PhaseName) -> tuple[State, tuple[Command, ...]]:
    """Ask a phase of every silo, or go on when it has nothing to ask."""
    question = ask_phase(phase, plan=state.plan, schema=state.schema, measured=state.measured())
    if not question.queries:
        return _close_phase(replace(state, phase=phase))
    opened = replace(state, phase=phase, asked={**state.asked, phase: question})
    requests = [question.request(plan=state.plan, phase=phase, silo=s) for s in state.silos]
    for request in requests[:1]:
        count_cells(request, plan=state.plan, domain=state.schema.domain)
    return opened, tuple(Ask(request=r) for r in requests)


def _advance(state: State) -> tuple[State, tuple[Command, ...]]:
    """Close the phase once nobody is waited for."""
    if state.phase is None or state.waiting(state.phase):
        return state, ()
    return _close_phase(state)


def _close_phase(state: State) -> tuple[State, tuple[Command, ...]]:
    """Open the next phase, or finish."""
    names = [p.name for p in state.plan.phases]
    after = names[names.index(state.phase) + 1 :] if state.phase else []
    if after:
        return _open_phase(state, after[0])
    return replace(state, phase=None), (Finish(),)


def _leave(
    state: State, event: Event, *, error: SilosynthError
) -> tuple[State, tuple[Command, ...]]:
    """Go on without a silo, or stop with ``error``, as the plan says."""
    rest = tuple(s for s in state.silos if s != event.silo)
    if state.plan.on_absent is OnAbsent.STOP or not rest:
        return state, (Fail(error=error),)
    return _advance(replace(state, silos=rest))


def _absent(event: Absent) -> SiloAbsent:
    """Return the error that names a silent silo."""
    return SiloAbsent(
        f"silo {event.silo} did not answer in phase {event.phase.value}",
        hint="start it and resume the run; nothing is charged twice",
    )


def _check_receipt(state: State, event: Answered, release: Release) -> None:
    """Raise RunFailed unless a release answers exactly what this silo was asked."""
    question = state.asked[event.phase]
    request = question.request(plan=state.plan, phase=event.phase, silo=event.silo)
    cells = count_cells(request, plan=state.plan, domain=state.schema.domain)
    receipt = release.receipt
    expected = (request.id, request.digest, event.silo, cells)
    stated = (receipt.request_id, receipt.request_hash, receipt.silo, receipt.cells)
    if stated != expected:
        raise RunFailed(f"silo {event.silo} answered another request in phase {event.phase.value}")
