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
from silosynth.common.messages import Request, encode_request
from silosynth.server.coordinator import Absent, Answered, Ask
from silosynth.server.coordinator.machine import start
from silosynth.simulations import flower
from silosynth.simulations.flower import Nodes, find_nodes, send_requests
from silosynth.simulations.on_ray import Chunks, pack
from silosynth.simulations.on_ray.chunks import RECORD, pack_answers, unpack
from tests.support.fakes import SILOS, small_plan, small_schema
from tests.support.patience import paced, patience

NODES = {11: 0, 12: 1, 13: 2, 14: 7}
"""The numbers that nodes say they have; of the last there is no chunk."""
APART = Chunks(silos=SILOS, size=1, hosts=2)
TOGETHER = Chunks(silos=SILOS, size=2, hosts=2)


def _nodes(chunks: Chunks = APART) -> Nodes:
    return Nodes(chunks=chunks, nodes={0: 11, 1: 12, 2: 13})


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
            answer = {"chunk": NODES[node]}
        if answer is None:
            return None
        if isinstance(answer, Error):
            return Message(answer, reply_to=message)
        return Message(RecordDict({RECORD: ConfigRecord(answer)}), reply_to=message)


def _requests() -> list[Any]:
    _, commands = start(small_plan(), small_schema())
    return [c.request for c in commands if isinstance(c, Ask)]


def _events(grid: Any, chunks: Chunks = APART, seconds: float = 1) -> dict[str, Any]:
    plan = small_plan().model_copy(update={"deadline_seconds": math.ceil(paced(seconds))})
    events = list(send_requests(grid, _requests(), plan=plan, nodes=_nodes(chunks)))
    assert len(events) == len({e.silo for e in events})
    return {e.silo: e for e in events}


def _said(**answers: bytes) -> dict[str, Any]:
    return dict(pack_answers(answers))


def test_only_nodes_of_a_chunk_are_found_and_sent_a_plan() -> None:
    grid: Any = FakeGrid({11: _said(north=b"x"), 12: _said(south=b"y"), 13: _said(west=b"z")})
    nodes = find_nodes(grid, chunks=APART, timeout_seconds=patience(5))
    assert nodes == _nodes()
    events = list(send_requests(grid, _requests(), plan=small_plan(), nodes=nodes))
    assert {e.silo for e in events} == set(SILOS)
    plans = [m for m in grid.sent if "plan" in m.content.config_records[RECORD]]
    assert {m.metadata.dst_node_id for m in plans} == {11, 12, 13}


@pytest.mark.parametrize(
    "answer",
    [
        {"silos": ["south"], "answers": ["text"]},
        {"silos": ["south", "west"], "answers": [b"x"]},
        {"silos": [1], "answers": [b"x"]},
        {"silos": "south", "answers": b"x"},
        {"silos": ["south"]},
        {"other": b"x"},
        Error(code=0, reason="x"),
        None,
    ],
)
def test_a_node_that_fails_or_answers_something_else_is_an_absent_silo(answer: Any) -> None:
    events = _events(FakeGrid({11: _said(north=b"x"), 12: answer, 13: _said(west=b"y")}))
    assert isinstance(events["south"], Absent)
    assert isinstance(events["north"], Answered)
    assert isinstance(events["west"], Answered)


def test_silos_of_a_chunk_are_asked_by_one_message_and_each_answers() -> None:
    grid = FakeGrid({11: _said(north=b"x", south=b"y"), 12: _said(west=b"z")})
    events = _events(grid, TOGETHER)
    assert {s: e.data for s, e in events.items()} == {"north": b"x", "south": b"y", "west": b"z"}
    requests = {r.silo: encode_request(r) for r in _requests()}
    asked = [unpack(m.content.config_records[RECORD]) for m in grid.sent]
    assert asked == [
        {0: {"north": requests["north"]}, 1: {"south": requests["south"]}},
        {0: {"west": requests["west"]}},
    ]


def test_a_silo_that_is_left_out_of_its_chunks_answer_is_absent() -> None:
    events = _events(FakeGrid({11: _said(south=b"y"), 12: _said(west=b"z")}), TOGETHER)
    assert isinstance(events["north"], Absent)
    assert isinstance(events["west"], Answered)


def test_a_node_speaks_for_no_silo_of_another_chunk() -> None:
    events = _events(FakeGrid({11: _said(north=b"x", south=b"?"), 13: _said(west=b"z")}))
    assert isinstance(events["south"], Absent)
    assert events["north"].data == b"x"


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
    grid: Any = FakeGrid({11: _said(north=b"x"), 12: _said(south=b"y"), 13: _said(west=b"z")})
    events = send_requests(grid, _requests(), plan=small_plan(), nodes=_nodes())
    assert [len(written) for _ in events] == [1, 2, 3]


def test_silos_that_never_answer_keep_no_other_from_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flower, "_IN_FLIGHT", 1)
    monkeypatch.setattr(flower, "_QUIET_SECONDS", 0.05)
    grid: Any = FakeGrid({13: _said(west=b"x")})
    plan = small_plan().model_copy(update={"deadline_seconds": ceil(patience(2))})
    first = next(send_requests(grid, _requests(), plan=plan, nodes=_nodes()))
    assert first == Answered(phase=first.phase, silo="west", data=b"x")


def test_silos_of_a_chunk_that_never_connects_are_named() -> None:
    grid: Any = FakeGrid({})
    chunks = Chunks(silos=(*SILOS, "east"), size=1, hosts=1)
    with pytest.raises(DeadlineExceeded, match="1 silos did not connect: east"):
        find_nodes(grid, chunks=chunks, timeout_seconds=0.2)


def test_a_run_that_is_stopped_waits_no_longer() -> None:
    grid: Any = FakeGrid({})
    with pytest.raises(RunFailed, match="stopped"):
        list(
            send_requests(
                grid, _requests(), plan=small_plan(), nodes=_nodes(), stopping=lambda: True
            )
        )


@pytest.mark.parametrize(
    ("silos", "hosts", "silo_bytes", "size", "at_once"),
    [
        (3, 2, 100, 2, 1),
        (3, 3, 100, 3, 1),
        (1000, 2, 10_000, 100, 1),
        (1000, 32, 1 << 22, 4, 8),
        (10, 2, 1 << 23, 2, 1),
        (4, 4, 1 << 30, 1, 4),
        (5_000, 2, 100, 100, 1),
    ],
)
def test_a_message_has_work_for_all_hosts_or_several_have_and_none_is_large(
    silos: int, hosts: int, silo_bytes: int, size: int, at_once: int
) -> None:
    names = [f"s{i}" for i in range(silos)]
    chunks = Chunks.of(names, hosts=hosts, silo_bytes=silo_bytes)
    assert (chunks.size, chunks.at_once) == (size, at_once)
    assert chunks.of_silo().keys() == chunks.homes().keys() == set(names)
    assert set(chunks.of_silo().values()) == set(range(chunks.count))
    of_first = [s for s, chunk in chunks.of_silo().items() if chunk == 0]
    assert len({chunks.homes()[s] for s in of_first}) == min(size, hosts)


def test_equal_bytes_go_once_in_a_message_to_whoever_has_the_silo() -> None:
    asked = {"a": b"step", "b": b"other", "c": b"step"}
    fields = pack(asked, plan=b"plan", homes={"a": 0, "b": 1, "c": 0, "d": 1})
    assert fields["texts"] == [b"step", b"other"]
    assert unpack(fields) == {0: {"a": b"step", "c": b"step"}, 1: {"b": b"other"}}
