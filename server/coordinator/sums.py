"""The coordinator's part in agreeing on a sum: gather keys, gather votes, burn what failed.

    keys of all silos -> one set, signed by all -> the plan's phases, masked
                 a silo leaves: a smaller set     a silo leaves: burned, a new session

Nothing here is secret, and no silo relies on it: see :mod:`silosynth.client.sums.member`.
"""

from __future__ import annotations

from dataclasses import replace

from silosynth.common.accounting import RHO_UNIT, rho_units
from silosynth.common.errors import Refused, RunFailed, SiloAbsent
from silosynth.common.messages import (
    AgreedSet,
    Refusal,
    SumReceipt,
    SumStep,
    decode_release,
    is_answer,
    pack,
    read_advert,
    read_set,
    read_vote,
    refusal_error,
)
from silosynth.common.plan import Plan
from silosynth.server.coordinator.agreement import Agreement, SumStage
from silosynth.server.coordinator.state import (
    Absent,
    Agree,
    Command,
    Fail,
    Mute,
    Notice,
    Stage,
    State,
    Stated,
)

Commands = tuple[Command, ...]


def ask_keys(state: State, *, session: int) -> tuple[State, Commands]:
    """Ask every silo for its keys of a new session, for all phases at once."""
    step = SumStep(plan_digest=state.plan.digest, session=session)
    asking = replace(state, stage=Stage.AGREE, agreement=Agreement(session=session))
    return asking, tuple(Agree(silo=s, asked=SumStage.KEYS, step=step) for s in state.silos)


def ask_votes(state: State) -> tuple[State, Commands]:
    """Ask every silo to sign the set of those that still take part."""
    agreement = _agreement(state)
    members = tuple(sorted(state.silos))
    adverts = [agreement.adverts[s] for s in members]
    agreed = read_set(adverts, plan=state.plan, session=agreement.session)
    step = SumStep(
        plan_digest=state.plan.digest,
        session=agreement.session,
        adverts=tuple(pack(data) for data in adverts),
    )
    asking = replace(state, agreement=replace(agreement, members=members, votes={}, agreed=agreed))
    return asking, tuple(Agree(silo=s, asked=SumStage.SET, step=step) for s in state.silos)


def expects(state: State, event: Stated | Mute) -> bool:
    """Say whether an event is what is waited for."""
    agreement = _agreement(state)
    now = (agreement.asked, agreement.session)
    return (event.asked, event.session) == now and state.awaits(event.silo)


def take_statement(state: State, event: Stated) -> State:
    """Return the state with a silo's keys or vote; raise a SilosynthError when they do not hold."""
    if is_answer(event.data):
        trusted = (state.plan.roster[event.silo],) if state.plan.roster else None
        answer = decode_release(event.data, trusted=trusted)
        raise refusal_error(answer) if isinstance(answer, Refusal) else Refused("it sent a release")
    agreement, plan = _agreement(state), state.plan
    if event.asked is SumStage.KEYS:
        advert = read_advert(event.data, plan=plan, session=agreement.session)
        sent = frozenset(advert.keys.values())
        if advert.silo != event.silo or sent & agreement.keys:
            raise RunFailed("it sent the keys of another silo")
        adverts = {**agreement.adverts, event.silo: event.data}
        heard = replace(agreement, adverts=adverts, keys=agreement.keys | sent)
    else:
        read_vote(event.data, silo=event.silo, plan=plan, agreed=_agreed(agreement))
        heard = replace(agreement, votes={**agreement.votes, event.silo: event.data})
    return replace(state, agreement=heard)


def absent(event: Absent) -> SiloAbsent:
    """Return the error that names a silent silo."""
    return SiloAbsent(
        f"silo {event.silo} did not answer in phase {event.phase.value}",
        hint="start it and resume the run; nothing is charged twice",
    )


def mute(event: Mute) -> SiloAbsent:
    """Return the error that names a silo that did not take its step."""
    return SiloAbsent(
        f"silo {event.silo} did not send its {event.asked.value} for the sum",
        hint="start it and resume the run; nothing is spent",
    )


def cannot_spare(state: State) -> str | None:
    """Say why the run cannot go on with one silo less; None where it can."""
    plan = state.plan
    if not plan.masked:
        return None
    if len(state.silos) - 1 < len(plan.silos) - plan.absent:
        return f"the plan's noise allows {plan.absent} silos to be absent, and no more"
    last = state.agreement is not None and state.agreement.session == plan.attempts
    if state.stage is Stage.MEASURE and last:
        return f"the request is burned, and the plan allows {plan.attempts} attempts"
    return None


def is_burned(state: State) -> bool:
    """Say whether a silo left after the set was signed, so that its masks do not cancel."""
    agreement = state.agreement
    return agreement is not None and set(agreement.members) != set(state.silos)


def burn(state: State) -> tuple[State, Commands]:
    """Give up the open phase's vectors, say what that costs, and agree anew without who left."""
    agreement, plan, phase = _agreement(state), state.plan, state.phase
    if agreement.session == plan.attempts or phase is None:
        error = RunFailed(f"the plan allows {plan.attempts} attempts at a sum, and no more")
        return state, (Fail(error=error),)
    spent = state.releases.get(phase, {})
    rest = replace(
        state,
        releases={p: r for p, r in state.releases.items() if p is not phase},
        burned=(*state.burned, *spent.values()),
    )
    asking, commands = ask_keys(rest, session=agreement.session + 1)
    return asking, (Notice(text=_notice(state, plan=plan)), *commands)


def is_masked_for(state: State, receipt: SumReceipt | None) -> bool:
    """Say whether a receipt is of the session, set and width that the silo was asked for."""
    agreement = _agreement(state)
    wanted = (agreement.session, _agreed(agreement).digest, state.plan.sum_bits)
    return receipt is not None and wanted == (receipt.session, receipt.set_digest, receipt.bits)


def _notice(state: State, *, plan: Plan) -> str:
    """Say what asking again costs, before it is asked."""
    agreement = _agreement(state)
    left = sorted(set(agreement.members) - set(state.silos))
    phase = plan.phase(state.phase or plan.phases[0].name)
    units = rho_units(plan.phase_cost(phase).rho / plan.attempts)
    return (
        f"{', '.join(left)} left after the set of silos was signed, so what the others sent in "
        f"phase {phase.name.value} is burned; asking again charges each of them up to "
        f"{units / RHO_UNIT:.3g} of zCDP rho once more (attempt {agreement.session + 1} of "
        f"{plan.attempts}, within the plan's budget)"
    )


def _agreement(state: State) -> Agreement:
    """Return the agreement under way; raise RunFailed where there is none."""
    if state.agreement is None:
        raise RunFailed("no sum is being agreed on")
    return state.agreement


def _agreed(agreement: Agreement) -> AgreedSet:
    """Return the set that is up for signature; raise RunFailed where there is none."""
    if agreement.agreed is None:
        raise RunFailed("no set of silos is up for signature")
    return agreement.agreed
