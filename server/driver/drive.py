"""Pump the coordinator: send what it asks, journal answers, until the run has ended.

Samplers of weights on the way lie beside the journal, to look at while training goes on. A run does
not need them: it resumes from its journal. Each is a whole sampler file, whose certificate states
what the plan costs when it has ended, which is never less than what was spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.certificate import certify_plan
from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.messages import Request
from silosynth.common.plan import PhaseName, Plan, spent_epsilon
from silosynth.common.sampler import save_sampler
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.server.coordinator import (
    Agree,
    Ask,
    Commands,
    Deliver,
    Event,
    Fail,
    Finish,
    Fitted,
    Imagine,
    Notice,
    Propose,
    Stage,
    State,
    replay,
    step,
)
from silosynth.server.driver.imagine import Generator, no_generator
from silosynth.server.driver.journal import Journal, read_last
from silosynth.server.generator import settings
from silosynth.server.methods import trained_sampler


def keep_weights(state: State, directory: Path) -> Path | None:
    """Write the sampler of a round that the plan keeps; return its path, None for other rounds."""
    learning = state.learning
    if learning is None or not learning.round:
        return None
    if learning.round % settings(state.plan).checkpoint_every:
        return None
    path = directory / "checkpoints" / f"round-{learning.round:06}.sampler"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        sampler = trained_sampler(state.known(), learning, certificate=certify_plan(state.plan))
        save_sampler(sampler, path, force=True)
    return path


Send = Callable[[Sequence[Request]], Iterable[Event]]
SendSteps = Callable[[Sequence[Agree]], Iterable[Event]]
Reached = Callable[[str], None]
STEPS = (
    "before-send",
    "after-send",
    "before-record",
    "after-record",
    "before-fit",
    "after-fit",
    "before-write",
    "sampler-written",
    "after-write",
    "before-deliver",
    "after-deliver",
)
"""The points at which tests may kill a coordinator; nothing else listens to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far training is: ``round`` of ``rounds`` are over, which cost ``epsilon`` at most.

    ``signal`` is the last round's sum in standard deviations of its noise, 1 for noise alone. No
    loss is shown: it would be one more question to the rows.
    """

    round: int
    rounds: int
    epsilon: float
    signal: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a phase or stage is: ``answered`` of ``asked`` silos.

    ``training`` is there in that phase.
    """

    phase: PhaseName | Stage
    answered: int
    asked: int
    training: TrainingProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a federation does besides measuring.

    ``propose`` and ``deliver`` yield what silos answer; ``conclude`` fits, puts the results on disk
    and returns the sampler's digest.
    """

    propose: Callable[[Sequence[str]], Iterable[Event]]
    conclude: Callable[[State], str]
    deliver: Callable[[Sequence[str]], Iterable[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pump:
    """What a step of :func:`drive` needs."""

    journal: Journal
    progress: Callable[[Progress], None]
    reached: Reached


def drive(
    plan: Plan,
    schema: Schema | TablesSchema,
    *,
    journal: Journal,
    send: Send,
    agree: SendSteps | None = None,
    signed: Signed | None = None,
    imagine: Generator = no_generator,
    progress: Callable[[Progress], None] = lambda _: None,
    reached: Reached = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> State:
    """Run or resume a plan to its end; return the state that holds every release.

    Without ``signed`` it ends when every phase is answered, and the caller fits. Every event is on
    disk before the next phase is asked. An event that would end the run is not recorded, so that
    resuming asks again: with the same request ids, at no new charge.

    Args:
        agree: takes silos' steps towards a sum; plans with shared noise need it.
        imagine: writes the candidates that rows vote for; plans of votes need it.
        reached: a seam for tests, called with the names in :data:`STEPS`.
        tell: gets what whoever watches has to know before more is asked.
    Raises the error that ends the run, after all answers of the phase are journaled.
    """
    pump = _Pump(journal=journal, progress=progress, reached=reached)
    last = read_last(journal.directory, plan=plan)
    state, commands = replay(plan, schema, journal.events(), last=last)
    while True:
        _raise_failure(commands)
        for notice in (c for c in commands if isinstance(c, Notice)):
            tell(notice.text)
        if steps := [c for c in commands if isinstance(c, Agree)]:
            if agree is None:
                raise RunFailed("shared noise needs a driver that lets silos agree on a sum")
            reached("before-send")
            state, commands = _collect(state, agree(steps), count=len(steps), pump=pump)
        elif asked := [c for c in commands if isinstance(c, Imagine)]:
            state, commands = _collect(state, map(imagine, asked), count=len(asked), pump=pump)
        elif requests := [c.request for c in commands if isinstance(c, Ask)]:
            reached("before-send")
            state, commands = _collect(state, send(requests), count=len(requests), pump=pump)
        elif signed is None:
            return state
        elif silos := [c.silo for c in commands if isinstance(c, Propose)]:
            events = signed.propose(silos)
            state, commands = _collect(state, events, count=len(silos), pump=pump)
        elif Finish() in commands:
            event = Fitted(sampler_digest=signed.conclude(state))
            state, commands = _collect(state, [event], count=1, pump=pump)
        elif silos := [c.silo for c in commands if isinstance(c, Deliver)]:
            reached("before-deliver")
            events = signed.deliver(silos)
            state, commands = _collect(state, events, count=len(silos), pump=pump)
            reached("after-deliver")
        else:
            return state


def _collect(
    state: State, events: Iterable[Event], *, count: int, pump: _Pump
) -> tuple[State, Commands]:
    """Take and journal every answer of a phase or stage; return what to do next."""
    commands: Commands = ()
    failure: SilosynthError | None = None
    apart = state.stage in (Stage.AGREE, Stage.IMAGINE)
    asked: PhaseName | Stage = state.stage if apart else state.phase or state.stage
    answered = 0
    training = _training_progress(state)
    pump.progress(Progress(phase=asked, answered=0, asked=count, training=training))
    for event in events:
        after, new = step(state, event)
        error = next((c.error for c in new if isinstance(c, Fail)), None)
        failure = failure or error
        if error is None and after is not state:
            pump.reached("before-record")
            pump.journal.record(event)
            pump.reached("after-record")
            state, commands = after, new or commands
            answered += 1
            pump.progress(Progress(phase=asked, answered=answered, asked=count, training=training))
    if failure is not None:
        raise failure
    keep_weights(state, pump.journal.directory)
    return state, commands


def _training_progress(state: State) -> TrainingProgress | None:
    """Return how far training is, while it goes on."""
    learning = state.learning
    if learning is None:
        return None
    return TrainingProgress(
        round=learning.round,
        rounds=settings(state.plan).rounds,
        epsilon=spent_epsilon(state.plan, rounds=learning.round),
        signal=learning.signal,
    )


def _raise_failure(commands: Iterable[object]) -> None:
    """Raise the error of a failed run."""
    for command in commands:
        if isinstance(command, Fail):
            raise command.error
