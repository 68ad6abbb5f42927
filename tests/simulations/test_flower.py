"""Requests go to the silos of the roster alone, and odd answers do no harm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from math import ceil
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.errors import DeadlineExceeded, RunFailed
from silosynth.common.messages import RECORD, Request, encode_request
from silosynth.server.coordinator import Absent, Answered, Ask
from silosynth.server.coordinator.machine import start
from silosynth.simulations import flower
from silosynth.simulations.flower import find_silos, send_requests
from tests.support.fakes import SILOS, small_plan, small_schema
from tests.support.patience import paced, patience

NODES = {11: "north", 12: "south", 13: "west", 14: "stranger"}


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, as Flower's process does."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


class FakeGrid:
    """Stands in for Flower's Grid: answers at once with what ``answer`` says, or not at all."""

    def __init__(self, answers: dict[int, Any]) -> None:
        self.answers = answers
        self.sent: list[Message] = []

    def get_node_ids(self) -> list[int]:
        return list(NODES)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self.sent += messages
        for i, message in enumerate(self.sent):
            message.metadata.__dict__["_message_id"] = str(i)
        return [m.metadata.message_id for m in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        waiting = [m for m in self.sent if m.metadata.message_id in set(message_ids)]
        replies = [self._reply(m) for m in waiting]
        return [r for r in replies if r is not None]

    def _reply(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        answer = self.answers.get(node)
        if message.metadata.message_type.endswith("identify"):
            answer = {"silo": NODES[node]}
        if answer is None:
            return None
        if isinstance(answer, Error):
            return Message(answer, reply_to=message)
        return Message(RecordDict({RECORD: ConfigRecord(answer)}), reply_to=message)


def _requests() -> list[Any]:
    _, commands = start(small_plan(), small_schema())
    return [c.request for c in commands if isinstance(c, Ask)]


def test_only_the_silos_of_the_roster_are_found_and_sent_a_plan() -> None:
    grid: Any = FakeGrid({n: {"release": b"x"} for n in NODES})
    nodes = find_silos(grid, silos=SILOS, timeout_seconds=patience(5))
    assert nodes == {"north": 11, "south": 12, "west": 13}
    events = list(send_requests(grid, _requests(), plan=small_plan(), nodes=nodes))
    assert {e.silo for e in events} == set(SILOS)
    plans = [m for m in grid.sent if "plan" in m.content.config_records[RECORD]]
    assert {m.metadata.dst_node_id for m in plans} == {11, 12, 13}


@pytest.mark.parametrize(
    "answer", [{"release": "text"}, {"other": b"x"}, Error(code=0, reason="x"), None]
)
def test_a_node_that_fails_or_answers_something_else_is_an_absent_silo(answer: Any) -> None:
    grid: Any = FakeGrid({11: {"release": b"x"}, 12: answer, 13: {"release": b"y"}})
    plan = small_plan().model_copy(update={"deadline_seconds": math.ceil(paced(1))})
    nodes = {"north": 11, "south": 12, "west": 13}
    events = {e.silo: e for e in send_requests(grid, _requests(), plan=plan, nodes=nodes)}
    assert isinstance(events["south"], Absent)
    assert isinstance(events["north"], Answered)
    assert isinstance(events["west"], Answered)


def test_a_request_is_written_when_it_is_sent_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand requests of a sum, each with all silos' keys, are 1.6 GB."""
    written: list[str] = []

    def write(request: Request) -> bytes:
        written.append(request.silo)
        return encode_request(request)

    monkeypatch.setattr(flower, "encode_request", write)
    monkeypatch.setattr(flower, "_IN_FLIGHT", 1)
    grid: Any = FakeGrid({n: {"release": b"x"} for n in NODES})
    nodes = {"north": 11, "south": 12, "west": 13}
    events = send_requests(grid, _requests(), plan=small_plan(), nodes=nodes)
    assert [len(written) for _ in events] == [1, 2, 3]


def test_silos_that_never_answer_keep_no_other_from_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flower, "_IN_FLIGHT", 1)
    monkeypatch.setattr(flower, "_QUIET_SECONDS", 0.05)
    grid: Any = FakeGrid({13: {"release": b"x"}})
    nodes = {"north": 11, "south": 12, "west": 13}
    plan = small_plan().model_copy(update={"deadline_seconds": ceil(patience(2))})
    first = next(send_requests(grid, _requests(), plan=plan, nodes=nodes))
    assert first == Answered(phase=first.phase, silo="west", data=b"x")


def test_silos_that_never_connect_are_named() -> None:
    grid: Any = FakeGrid({})
    with pytest.raises(DeadlineExceeded, match="east"):
        find_silos(grid, silos=(*SILOS, "east"), timeout_seconds=0.2)


def test_a_run_that_is_stopped_waits_no_longer() -> None:
    grid: Any = FakeGrid({})
    with pytest.raises(RunFailed, match="stopped"):
        list(
            send_requests(
                grid,
                _requests(),
                plan=small_plan(),
                nodes={"north": 11, "south": 12, "west": 13},
                stopping=lambda: True,
            )
        )
