"""A grid that never returns, raises or returns half holds no run up, and ends none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.reach.time_limits import Overdue, within
from silosynth.server.coordinator import Stage
from silosynth.server.federation.superlink_calls import (
    Pace,
    Patience,
    SuperLinkFault,
    SuperLinkLost,
)
from tests.server.federation.test_channel import PACE, _drive
from tests.support.fakes import SILOS
from tests.support.patience import patience
from tests.support.signed_fakes import FakeGrid, FakeSilo, signed_plan

HASTE = replace(
    PACE,
    poll_seconds=0.01,
    nodes_seconds=0.05,
    challenge_seconds=0.1,
    resend_most_seconds=0.2,
    patience=Patience(call_seconds=0.15, away_seconds=60.0),
)
"""Nobody waits longer between two tries after many lost ones than after the first."""
CALLS = ("get_node_ids", "push_messages", "pull_messages")


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, as Flower's process does."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def _never(_: Any) -> Any:
    threading.Event().wait()


def _raise(error: Exception) -> Callable[[Any], Any]:
    def fail(_: Any) -> Any:
        raise error

    return fail


def _begin_then_raise(result: Any) -> Iterator[Any]:
    yield from list(result)[:1]
    raise ValueError("no more")


def _begin_then_stand_still(result: Any) -> Iterator[Any]:
    yield from list(result)[:1]
    threading.Event().wait()


FAULTS: dict[str, Callable[[Any], Any]] = {
    "never returns": _never,
    "raises what Flower says of an object": _raise(ObjectPullError("1", "no")),
    "raises what HTTP says": _raise(httpx.ReadTimeout("late")),
    "raises what a parser comes upon": _raise(KeyError("child")),
    "raises an error that names nothing": _raise(Exception()),
    "raises a fault that may pass": _raise(SuperLinkFault("503")),
    "returns half, then raises": _begin_then_raise,
    "returns half, then stands still": _begin_then_stand_still,
    "returns nothing": lambda _: [],
    "returns no list": lambda _: None,
    "returns no words": lambda result: [None for _ in result],
}


class SpoiltGrid(FakeGrid):
    """Spoils every ``every``-th call of one kind, after it was made."""

    def __init__(self, name: str, spoil: Callable[[Any], Any], *, every: int) -> None:
        super().__init__([FakeSilo(silo) for silo in SILOS])
        self.spoilt = 0
        self._taken: set[str] = set()
        real, made = getattr(self, name), [0]

        def call(*arguments: Any) -> Any:
            result = real(*arguments)
            made[0] += 1
            if made[0] % every:
                return result
            self.spoilt += 1
            return spoil(result)

        setattr(self, name, call)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Give each reply out once, as a SuperLink does."""
        wanted = [i for i in message_ids if i not in self._taken]
        replies = super().pull_messages(wanted)
        self._taken |= {r.metadata.reply_to_message_id for r in replies}
        return replies


SHORT = ("never returns", "raises an error that names nothing", "returns no words")


@pytest.mark.parametrize(
    ("name", "fault"),
    [("pull_messages", f) for f in FAULTS] + [(n, f) for n in CALLS[:2] for f in SHORT],
)
def test_a_call_that_fails_or_never_returns_only_costs_time(
    name: str, fault: str, tmp_path: Path
) -> None:
    grid = SpoiltGrid(name, FAULTS[fault], every=2)
    state = _drive(grid, signed_plan(), tmp_path, pace=HASTE)
    assert grid.spoilt
    assert state.stage is Stage.ENDED
    assert state.silos == SILOS
    assert state.unacknowledged() == {}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fault", ["never returns", "raises an error that names nothing"])
def test_calls_that_all_fail_end_in_a_named_error(name: str, fault: str, tmp_path: Path) -> None:
    grid = SpoiltGrid(name, FAULTS[fault], every=1)
    pace = replace(HASTE, patience=Patience(call_seconds=0.1, away_seconds=0.5))
    with pytest.raises(SuperLinkLost, match=r"not answered for 0\.5 s"):
        _drive(grid, signed_plan(), tmp_path, pace=pace)


@pytest.mark.parametrize("error", [RunNotRunningException(), SuperLinkLost("401")])
def test_a_run_that_is_over_at_the_superlink_is_lost_at_once(
    error: Exception, tmp_path: Path
) -> None:
    grid = SpoiltGrid("pull_messages", _raise(error), every=1)
    with pytest.raises(SuperLinkLost):
        _drive(grid, signed_plan(), tmp_path, pace=HASTE)


class EmptyReplies(FakeGrid):
    """Answers a letter at first with a reply that holds nothing that was asked for."""

    def __init__(self, make: Callable[[Message], Message]) -> None:
        super().__init__([FakeSilo(silo) for silo in SILOS])
        self._make = make
        self.spoilt: set[tuple[int, str]] = set()

    def _reply(self, message: Message) -> Message | None:
        kind = (message.metadata.dst_node_id, message.metadata.message_type)
        if kind in self.spoilt:
            return super()._reply(message)
        self.spoilt.add(kind)
        return self._make(message)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: Message(Error(code=3, reason="unavailable"), reply_to=m),
        lambda m: Message(RecordDict(), reply_to=m),
        lambda m: Message(RecordDict({"other": ConfigRecord({"release": b"x"})}), reply_to=m),
    ],
)
def test_a_reply_without_an_answer_is_asked_for_again_soon(
    make: Callable[[Message], Message], tmp_path: Path
) -> None:
    grid = EmptyReplies(make)
    patient = replace(HASTE, resend_seconds=600.0, challenge_seconds=0.05)
    state = _drive(grid, signed_plan(), tmp_path, pace=patient)
    assert state.silos == SILOS
    assert len(grid.spoilt) == 4 * len(SILOS)


class AwayGrid(FakeGrid):
    """South is away for a while after it was asked to measure, and what it had is lost."""

    away_until = 0.0

    def get_node_ids(self) -> list[int]:
        if self.letters("measure") and not self.away_until:
            self.lose[("south", "measure")] = 10**6
            self.away_until = time.monotonic() + 1.0
        if time.monotonic() < self.away_until:
            return [n for n in self.nodes if n != 101]
        self.lose.clear()
        return super().get_node_ids()


def test_a_node_that_is_away_gets_no_pile_of_letters(tmp_path: Path) -> None:
    grid = AwayGrid([FakeSilo(silo) for silo in SILOS])
    eager = replace(HASTE, resend_seconds=0.02, resend_most_seconds=0.02)
    state = _drive(grid, signed_plan(), tmp_path, pace=eager)
    assert state.silos == SILOS
    assert grid.letters("measure").count("south") < 25


def test_after_any_silence_a_letter_is_sent_again_within_half_a_minute() -> None:
    pace = Pace()
    assert pace.resend_most_seconds <= 30
    assert pace.challenge_seconds <= 30
    assert pace.patience.call_seconds <= 20
    assert pace.patience.away_seconds <= 60


def test_within_returns_raises_or_is_overdue() -> None:
    with pytest.raises(KeyError):
        within(5.0, lambda: {}["a"], what="a key")
    begun = time.monotonic()
    with pytest.raises(Overdue, match=r"a wait did not return within 0\.05 s"):
        within(0.05, threading.Event().wait, what="a wait")
    assert time.monotonic() - begun < patience(3)
    with pytest.raises(SystemExit):
        within(5.0, lambda: exec("raise SystemExit"), what="an exit")
