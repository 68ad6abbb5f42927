"""The coordinator is a pure state machine whose replay asks the same and ends the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from silosynth.common.errors import InvalidPlan, RunFailed, SiloAbsent
from silosynth.common.messages import Refusal, encode_refusal
from silosynth.common.plan import OnAbsent, PhaseName, Plan
from silosynth.common.schema import parse_schema
from silosynth.server.coordinator import (
    Absent,
    Answered,
    Ask,
    Event,
    Fail,
    Finish,
    State,
    finish,
    replay,
    step,
)
from silosynth.server.coordinator.machine import start
from silosynth.server.coordinator.state import Command
from tests.support.fakes import SILOS, answer_exactly, pooled, small_codes, small_plan, small_schema

TABLES = {silo: small_codes(seed) for seed, silo in enumerate(SILOS)}


def _run(
    plan: Plan, change: Callable[[Ask], Event | None] = lambda _: None
) -> tuple[State, list[Event], tuple[Command, ...]]:
    """Drive a plan to its end; ``change`` may put another event in place of an answer."""
    state, commands = start(plan, small_schema())
    events: list[Event] = []
    while asks := [c for c in commands if isinstance(c, Ask)]:
        commands = ()
        for ask in asks:
            silo = ask.request.silo
            event = change(ask) or Answered(
                phase=ask.request.phase,
                silo=silo,
                data=answer_exactly(ask.request, plan=plan, codes=TABLES[silo]),
            )
            events.append(event)
            state, new = step(state, event)
            commands = new or commands
            if any(isinstance(c, Fail) for c in new):
                return state, events, new
    return state, events, commands


def finished_state(plan: Plan) -> State:
    """Return the state of a run that every silo answered."""
    return _run(plan)[0]


def test_a_run_asks_every_phase_of_every_silo_and_finishes() -> None:
    state, events, commands = _run(small_plan())
    assert commands == (Finish(),)
    assert [(e.phase, e.silo) for e in events] == [
        (phase, silo)
        for phase in (PhaseName.ONE_WAY, PhaseName.COARSE, PhaseName.TREE)
        for silo in SILOS
    ]
    assert state.phase is None


def test_measurements_are_the_sums_over_silos_with_the_variance_of_all() -> None:
    plan = small_plan()
    state, _, _ = _run(plan)
    measured = state.measured()[PhaseName.ONE_WAY]
    rows = pooled(TABLES, SILOS)
    for column, measurement in enumerate(measured):
        size = len(measurement.values)
        assert np.array_equal(measurement.values, np.bincount(rows[:, column], minlength=size))
        assert np.all(measurement.variance == 3 * float(plan.phases[0].sigma2))


def test_the_tree_holds_the_dependent_pairs() -> None:
    state, _, _ = _run(small_plan())
    cliques = {q.clique for q in state.asked[PhaseName.TREE].queries}
    assert ("age", "old") in cliques
    assert ("ill", "old") in cliques


def test_the_choice_of_the_tree_does_not_depend_on_who_holds_the_rows() -> None:
    rows = pooled(TABLES, SILOS)
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    split = dict(zip(SILOS, np.array_split(ordered, 3), strict=True))
    plan = small_plan()

    def skewed(ask: Ask) -> Event:
        data = answer_exactly(ask.request, plan=plan, codes=split[ask.request.silo])
        return Answered(phase=ask.request.phase, silo=ask.request.silo, data=data)

    assert _run(plan)[0].asked == _run(plan, skewed)[0].asked


def test_replaying_any_prefix_asks_for_exactly_what_is_missing() -> None:
    plan = small_plan()
    final, events, _ = _run(plan)
    for cut in range(len(events) + 1):
        state, commands = replay(plan, small_schema(), events[:cut])
        asked = [c.request.silo for c in commands if isinstance(c, Ask)]
        phase_start = cut - cut % 3
        assert asked == [e.silo for e in events[cut : phase_start + 3]] or cut == len(events)
        for event in events[cut:]:
            state, commands = step(state, event)
        assert state.asked == final.asked
        assert commands == (Finish(),)


def test_events_that_say_nothing_new_change_nothing() -> None:
    plan = small_plan()
    state, events, _ = _run(plan)
    assert step(state, events[0]) == (state, ())
    begun, _ = start(plan, small_schema())
    later = Answered(phase=PhaseName.TREE, silo="north", data=b"")
    assert step(begun, later) == (begun, ())
    stranger = Answered(phase=PhaseName.ONE_WAY, silo="east", data=b"")
    assert step(begun, stranger) == (begun, ())


def _stays_away(silo: str, phase: PhaseName) -> Callable[[Ask], Event | None]:
    def change(ask: Ask) -> Event | None:
        if (ask.request.silo, ask.request.phase) == (silo, phase):
            return Absent(phase=phase, silo=silo)
        return None

    return change


def test_a_silo_that_stays_away_stops_the_run_and_is_named() -> None:
    _, _, commands = _run(small_plan(), _stays_away("south", PhaseName.COARSE))
    assert isinstance(commands[0], Fail)
    assert isinstance(commands[0].error, SiloAbsent)
    assert "south" in str(commands[0].error)


def test_a_run_may_go_on_without_a_silo_and_then_counts_none_of_its_rows() -> None:
    plan = small_plan(on_absent=OnAbsent.CONTINUE)
    state, _, commands = _run(plan, _stays_away("south", PhaseName.COARSE))
    assert commands == (Finish(),)
    assert state.silos == ("north", "west")
    rows = pooled(TABLES, state.silos)
    for measurement in state.measured()[PhaseName.ONE_WAY]:
        assert measurement.values.sum() == len(rows)
        assert np.all(measurement.variance == 2 * float(plan.phases[0].sigma2))
    assert len(state.receipts()["south"]) == 1


@pytest.mark.parametrize("phase", [PhaseName.COARSE, PhaseName.ROUND_1])
@pytest.mark.parametrize("silo", SILOS)
def test_codes_stay_merged_as_they_were_when_a_silo_leaves(silo: str, phase: PhaseName) -> None:
    plan = small_plan(method="aim", rounds=2, epsilon=1.0, on_absent=OnAbsent.CONTINUE)
    state, _, commands = _run(plan, _stays_away(silo, phase))
    assert commands == (Finish(),)
    whole, _, _ = _run(plan)
    assert state.merging()[0].values.sum() == whole.merging()[0].values.sum()
    assert state.measured()[PhaseName.ONE_WAY][0].values.sum() < state.merging()[0].values.sum()
    finish(state)


def test_a_run_never_goes_on_without_any_silo() -> None:
    plan = small_plan(on_absent=OnAbsent.CONTINUE)
    _, _, commands = _run(plan, lambda ask: Absent(phase=ask.request.phase, silo=ask.request.silo))
    assert isinstance(commands[0], Fail)


def test_a_refusal_ends_the_run_with_the_silos_reason() -> None:
    refusal = Refusal(silo="north", code="budget-exceeded", message="nothing is left")

    def change(ask: Ask) -> Event | None:
        return Answered(
            phase=ask.request.phase, silo=ask.request.silo, data=encode_refusal(refusal)
        )

    _, _, commands = _run(small_plan(), change)
    assert isinstance(commands[0], Fail)
    assert str(commands[0].error) == "silo north: nothing is left"


@pytest.mark.parametrize("other", ["silo", "phase", "plan"])
def test_an_answer_to_another_request_is_refused(other: str) -> None:
    plan = small_plan()
    state, commands = start(plan, small_schema())
    ask = next(c for c in commands if isinstance(c, Ask))
    foreign = small_plan(plan_id="other")
    if other == "silo":
        request, of = commands[1].request, plan  # type: ignore[union-attr]  # an Ask as well
    elif other == "plan":
        request, of = start(foreign, small_schema())[1][0].request, foreign  # type: ignore[union-attr]  # an Ask
    else:
        pair = ((small_schema().domain.attributes[:2], "fine"),)
        request = ask.request.model_copy(update={"phase": PhaseName.COARSE, "queries": pair})
        of = plan
    data = answer_exactly(request, plan=of, codes=TABLES["north"])
    after, commands = step(state, Answered(phase=PhaseName.ONE_WAY, silo="north", data=data))
    assert after is state
    assert isinstance(commands[0], Fail)
    assert isinstance(commands[0].error, RunFailed)
    assert "silo north: it answered another request" in str(commands[0].error)


def test_a_plan_for_another_schema_does_not_start() -> None:
    other = parse_schema(small_schema().model_dump(mode="json") | {"description": "changed"})
    with pytest.raises(InvalidPlan, match="another version"):
        start(small_plan(), other)


def test_an_answer_among_many_is_taken_without_looking_at_all_silos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand answers, each of which looked through a thousand silos, were a million looks."""
    silos = tuple(f"s{i}" for i in range(60))
    plan = small_plan(silos=silos, on_absent=OnAbsent.CONTINUE)
    state, commands = start(plan, small_schema())
    requests = {c.request.silo: c.request for c in commands if isinstance(c, Ask)}
    looked: list[str] = []
    whole = State.waits_for

    def counted(self: State, silo: str, *, phase: PhaseName) -> bool:
        looked.append(silo)
        return whole(self, silo, phase=phase)

    monkeypatch.setattr(State, "waits_for", counted)
    for silo in silos[:-1]:
        data = answer_exactly(requests[silo], plan=plan, codes=small_codes(0, rows=20))
        state, commands = step(state, Answered(phase=PhaseName.ONE_WAY, silo=silo, data=data))
        assert not commands
    assert looked == list(silos[:-1])
    assert state.waiting(PhaseName.ONE_WAY) == state.waited_for() == silos[-1:]
    assert (state.awaits(silos[-1]), state.awaits(silos[0]), state.awaits("nobody")) == (
        True,
        False,
        False,
    )
    state, commands = step(state, Absent(phase=PhaseName.ONE_WAY, silo=silos[-1]))
    assert state.phase is not PhaseName.ONE_WAY
    assert not state.awaits(silos[-1])
    assert len([c for c in commands if isinstance(c, Ask)]) == 59
