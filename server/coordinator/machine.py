"""The coordinator as a pure state machine: (state, event) -> (state, commands).

Drivers pump it: the coordinator of a federation, and the one-process driver of the simulations. It
does no I/O and draws no randomness, so replaying a journal of events always asks the same requests
again and ends in the same measurements.

    propose -> [agree] -> phase after phase, [imagine] before some -> fit -> deliver -> ended

A plan without a roster is a simulation's: nothing is signed, nothing proposed, nothing delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from silosynth.common.errors import (
    RunFailed,
    SilosynthError,
    Untrusted,
)
from silosynth.common.messages import (
    Acknowledgement,
    Answer,
    Refusal,
    Release,
    Request,
    Verdict,
    count_cells,
    decode_release,
    decode_statement,
    refusal_error,
)
from silosynth.common.plan import (
    OF_VALUES,
    TABLES_PHASES,
    OnAbsent,
    PhaseName,
    Plan,
    check_any_plan,
)
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.common.trust import PublicKey
from silosynth.server.coordinator.candidates import read_candidates
from silosynth.server.coordinator.faults import named, refused, undecided
from silosynth.server.coordinator.renewed import take_last
from silosynth.server.coordinator.state import (
    Absent,
    Acknowledged,
    Agree,
    Answered,
    Ask,
    Command,
    Decided,
    Deliver,
    End,
    Event,
    Fail,
    Finish,
    Fitted,
    Imagine,
    Imagined,
    Mute,
    Propose,
    Silent,
    Stage,
    State,
    Stated,
    Undecided,
)
from silosynth.server.coordinator.sums import (
    Commands,
    absent,
    ask_keys,
    ask_votes,
    burn,
    cannot_spare,
    expects,
    is_burned,
    is_masked_for,
    mute,
    take_statement,
)
from silosynth.server.coordinator.tables import ask_tables
from silosynth.server.coordinator.values import ask_values, settle_values
from silosynth.server.generator import Learning, settings, take_round
from silosynth.server.methods import ask_phase, wanted_candidates


def start(
    plan: Plan, schema: Schema | TablesSchema, *, last: bytes | None = None
) -> tuple[State, Commands]:
    """Begin a run; raise InvalidPlan when plan and schema do not fit.

    Args: last: the sampler that the plan renews, if any; RunFailed without it.
    """
    check_any_plan(plan, schema)
    renewed, silos = take_last(plan, schema, last), plan.silos
    state = State(plan=plan, schema=schema, silos=silos, stage=Stage.PROPOSE, renewed=renewed)
    if not plan.roster:
        return _begin(state)
    return state, tuple(Propose(silo=s) for s in state.silos)


def step(state: State, event: Event) -> tuple[State, Commands]:
    """Take one event. Events that say nothing new change nothing."""
    match event:
        case Decided() | Undecided():
            return _take_verdict(state, event)
        case Stated() | Mute():
            return _take_statement(state, event)
        case Imagined():
            return _take_candidates(state, event)
        case Answered() | Absent():
            return _take_answer(state, event)
        case Fitted():
            return _take_fit(state, event)
        case Acknowledged() | Silent():
            return _take_acknowledgement(state, event)


def replay(
    plan: Plan, schema: Schema | TablesSchema, events: Iterable[Event], *, last: bytes | None = None
) -> tuple[State, Commands]:
    """Return the state after ``events`` and what is still to be done; see :func:`start`."""
    state, commands = start(plan, schema, last=last)
    for event in events:
        state, new = step(state, event)
        commands = new or commands
    waiting = set(state.waited_for())
    return state, tuple(c for c in commands if _silo(c) is None or _silo(c) in waiting)


def _take_verdict(state: State, event: Decided | Undecided) -> tuple[State, Commands]:
    """Take a silo's word on the plan; a silo that has not decided yet is asked again."""
    if state.stage is not Stage.PROPOSE or not state.awaits(event.silo):
        return state, ()
    if isinstance(event, Undecided):
        return _leave(state, event.silo, error=undecided(state.plan, event.silo), then=_measure)
    try:
        verdict = _check_verdict(state, event)
    except (RunFailed, Untrusted) as err:
        return _leave(state, event.silo, error=named(err, event.silo), then=_measure)
    if verdict.answer is Answer.PENDING:
        return state, ()
    if verdict.answer is Answer.REFUSED:
        return _leave(state, event.silo, error=refused(verdict), then=_measure)
    return _measure(replace(state, approved=state.approved | {event.silo}))


def _take_answer(state: State, event: Answered | Absent) -> tuple[State, Commands]:
    """Take a silo's release or refusal in the phase that is open."""
    if event.phase is not state.phase or not state.waits_for(event.silo, phase=event.phase):
        return state, ()
    if isinstance(event, Absent):
        return _leave(state, event.silo, error=absent(event), then=_advance)
    try:
        answer = decode_release(event.data, trusted=_trusted(state, event.silo))
        if isinstance(answer, Release):
            _check_receipt(state, event, answer)
    except (RunFailed, Untrusted) as err:
        return _leave(state, event.silo, error=named(err, event.silo), then=_advance)
    if isinstance(answer, Refusal):
        return _leave(state, event.silo, error=refusal_error(answer), then=_advance)
    answered = {**state.releases.get(event.phase, {}), event.silo: answer}
    return _advance(replace(state, releases={**state.releases, event.phase: answered}))


def _take_candidates(state: State, event: Imagined) -> tuple[State, Commands]:
    """Take the candidates of a round, and ask the phase that waited for them."""
    if state.stage is not Stage.IMAGINE or state.phase is None or event.phase in state.candidates:
        return state, ()
    try:
        known = {**state.candidates, event.phase: read_candidates(event, plan=state.plan)}
    except SilosynthError as err:
        return state, (Fail(error=err),)
    return _open_phase(replace(state, candidates=known), state.phase)


def _take_statement(state: State, event: Stated | Mute) -> tuple[State, Commands]:
    """Take a silo's keys or its vote on the way to a sum."""
    if state.stage is not Stage.AGREE or not expects(state, event):
        return state, ()
    if isinstance(event, Mute):
        return _leave(state, event.silo, error=mute(event), then=_agree)
    try:
        return _agree(take_statement(state, event))
    except SilosynthError as err:
        return _leave(state, event.silo, error=named(err, event.silo), then=_agree)


def _agree(state: State) -> tuple[State, Commands]:
    """Take the next step towards a sum once every silo has taken this one."""
    if state.awaits_any() or state.agreement is None:
        return state, ()
    if state.agreement.members != tuple(sorted(state.silos)):
        return ask_votes(state)
    return _open_phase(state, state.phase or state.plan.phases[0].name)


def _take_fit(state: State, event: Fitted) -> tuple[State, Commands]:
    """Hand the sampler back to the silos of the run, or end where nobody signs or none is made."""
    if state.stage is not Stage.FIT:
        return state, ()
    if not state.plan.roster or state.plan.chosen.evaluates:
        return replace(state, stage=Stage.ENDED, sampler_digest=event.sampler_digest), (End(),)
    delivering = replace(state, stage=Stage.DELIVER, sampler_digest=event.sampler_digest)
    return delivering, tuple(Deliver(silo=s) for s in state.silos)


def _take_acknowledgement(state: State, event: Acknowledged | Silent) -> tuple[State, Commands]:
    """Take a silo's word on the result. Whatever it says, the run ends well: it is named."""
    if state.stage is not Stage.DELIVER or not state.awaits(event.silo):
        return state, ()
    fault = "did not answer"
    if isinstance(event, Acknowledged):
        try:
            fault = _check_acknowledgement(state, event)
        except (RunFailed, Untrusted) as err:
            fault = err.message
    after = replace(state, acknowledged={**state.acknowledged, event.silo: fault})
    if after.awaits_any():
        return after, ()
    return replace(after, stage=Stage.ENDED), (End(),)


def _measure(state: State) -> tuple[State, Commands]:
    """Begin to measure once every silo has decided."""
    return (state, ()) if state.awaits_any() else _begin(state)


def _begin(state: State) -> tuple[State, Commands]:
    """Open the first phase; in shared trust, after the silos agreed on who takes part."""
    if state.plan.masked:
        return ask_keys(state, session=1)
    return _open_phase(state, state.plan.phases[0].name)


def _open_phase(state: State, phase: PhaseName) -> tuple[State, Commands]:
    """Ask a phase of every silo, or go on when it has nothing to ask."""
    if phase in TABLES_PHASES:
        question = ask_tables(state, phase)
    elif phase in OF_VALUES:
        question = ask_values(state, phase)
    else:
        state = settle_values(state)
        if (wanted := wanted_candidates(phase, state.known())) is not None:
            return replace(state, stage=Stage.IMAGINE, phase=phase), (Imagine(wanted=wanted),)
        question = replace(ask_phase(phase, state.known()), edges=state.edges)
    question = question.held(plan=state.plan, silos=state.silos)
    if question.learning is not None:
        state = replace(state, learning=question.learning)
    if question.empty:
        return _close_phase(replace(state, phase=phase))
    opened = replace(
        state, stage=Stage.MEASURE, phase=phase, asked={**state.asked, phase: question}
    )
    proof = state.agreement.proof if state.agreement else None
    requests = [
        question.request(plan=state.plan, phase=phase, silo=s, proof=proof)
        for s in opened.waiting(phase)
    ]
    for request in requests[:1]:
        count_cells(request, plan=state.plan, counted=state.counted)
    return opened, tuple(Ask(request=r) for r in requests)


def _take_round(state: State, phase: PhaseName, *, learning: Learning) -> tuple[State, Commands]:
    """Step by what a round's silos released, and ask the next one unless it was the last."""
    released = state.releases[phase]
    there = released.keys() if state.agreement is not None else frozenset(state.silos)
    taking = {s: r for s, r in released.items() if s in there}
    try:
        learning = take_round(learning, taking, plan=state.plan)
    except RunFailed as err:
        return state, (Fail(error=err),)
    bare = tuple(r.model_copy(update={"marginals": ()}) for r in released.values())
    rest = dict(state.releases)
    del rest[phase]
    after = replace(state, learning=learning, releases=rest, rounds=(*state.rounds, *bare))
    if learning.round < settings(state.plan).rounds:
        return _open_phase(after, phase)
    return replace(after, phase=None, stage=Stage.FIT), (Finish(),)


def _advance(state: State) -> tuple[State, Commands]:
    """Close the phase once nobody is waited for."""
    if state.phase is None or state.is_open(state.phase):
        return state, ()
    return burn(state) if is_burned(state) else _close_phase(state)


def _close_phase(state: State) -> tuple[State, Commands]:
    """Open the next phase or round, or finish."""
    question = state.asked.get(state.phase) if state.phase else None
    if state.phase and question and question.learning is not None:
        return _take_round(state, state.phase, learning=question.learning)
    names = [p.name for p in state.plan.phases]
    after = names[names.index(state.phase) + 1 :] if state.phase else []
    if after:
        return _open_phase(state, after[0])
    return replace(state, phase=None, stage=Stage.FIT), (Finish(),)


def _leave(
    state: State,
    silo: str,
    *,
    error: SilosynthError,
    then: Callable[[State], tuple[State, Commands]],
) -> tuple[State, Commands]:
    """Go on without a silo, or stop with ``error``, as the plan says."""
    rest = tuple(s for s in state.silos if s != silo)
    if state.plan.on_absent is OnAbsent.STOP or not rest:
        return state, (Fail(error=error),)
    reason = cannot_spare(state) or _lost(state, rest)
    if reason is not None:
        return state, (Fail(error=type(error)(f"{error.message}; {reason}", hint=error.hint)),)
    return then(replace(state, silos=rest, left={**state.left, silo: error.message}))


def _lost(state: State, rest: Collection[str]) -> str | None:
    """Say which column nobody holds any more; None where none is lost."""
    for column in state.schema.domain.attributes if isinstance(state.schema, Schema) else ():
        if not state.plan.holders((column,), silos=tuple(rest)):
            return f"nobody else holds the column {column!r}"
    return None


def _silo(command: Command) -> str | None:
    """Return whom a command is for; None where it is for nobody."""
    match command:
        case Ask(request=Request(silo=silo)):
            return silo
        case Propose(silo=silo) | Agree(silo=silo) | Deliver(silo=silo):
            return silo
    return None


def _trusted(state: State, silo: str) -> Collection[PublicKey] | None:
    """Return the one key that may sign for a silo; None where nothing is signed."""
    return (state.plan.roster[silo],) if state.plan.roster else None


def _check_verdict(state: State, event: Decided) -> Verdict:
    """Return a verdict that this silo signed on this plan; raise RunFailed or Untrusted."""
    verdict = decode_statement(event.data, Verdict, trusted=_trusted(state, event.silo))
    if (verdict.silo, verdict.plan_digest) != (event.silo, state.plan.digest):
        raise RunFailed("it answered to another plan")
    return verdict


def _check_acknowledgement(state: State, event: Acknowledged) -> str:
    """Return nothing when the silo accepts this result, and its words otherwise."""
    said = decode_statement(event.data, Acknowledgement, trusted=_trusted(state, event.silo))
    stated = (said.silo, said.plan_digest, said.sampler_digest)
    if stated != (event.silo, state.plan.digest, state.sampler_digest):
        return "acknowledged another result"
    return "" if said.accepted else f"did not accept the result: {said.message or 'no reason'}"


def _check_receipt(state: State, event: Answered, release: Release) -> None:
    """Raise RunFailed unless a release answers exactly what this silo was asked."""
    question = state.asked[event.phase]
    proof = state.agreement.proof if state.agreement else None
    request = question.request(plan=state.plan, phase=event.phase, silo=event.silo, proof=proof)
    cells = count_cells(request, plan=state.plan, counted=state.counted)
    receipt = release.receipt
    expected = (request.id, request.digest, event.silo, state.plan.digest, cells)
    stated = (
        receipt.request_id,
        receipt.request_hash,
        receipt.silo,
        receipt.plan_digest,
        receipt.cells,
    )
    if stated != expected:
        raise RunFailed(f"it answered another request in phase {event.phase.value}")
    if state.agreement is not None and not is_masked_for(state, receipt.sum):
        raise RunFailed(f"it masked for another set of silos in phase {event.phase.value}")
