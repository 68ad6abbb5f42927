"""The grid over a SuperLink: what is whole comes, what is not is waited for by nobody."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier
from typing import Any

import httpx
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    PullObjectResponse,
    PushObjectResponse,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    GetNodesResponse,
    PullAppMessagesResponse,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.messages import RECORD
from silosynth.server.federation import grid as module
from silosynth.server.federation.grid import SuperLinkGrid
from silosynth.server.federation.superlink_calls import SuperLinkFault, SuperLinkLost
from tests.support.patience import patience


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, wait for nothing, and do one thing at a time."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(module, "TOGETHER", 1)


def _status(code: int) -> Exception:
    request = httpx.Request("POST", "https://link/v1/runtime/x")
    return httpx.HTTPStatusError("x", request=request, response=httpx.Response(code))


def _letter(text: bytes) -> Message:
    content = RecordDict({RECORD: ConfigRecord({"plan": text})})
    return Message(content=content, dst_node_id=7, message_type="query.propose")


def _lettered(message_id: str) -> Message:
    """Return a letter that was sent under this id."""
    letter = _letter(b"a")
    letter.metadata.__dict__["_message_id"] = message_id
    return letter


class FakeLink:
    """Answers as a SuperLink: it gives a reply out once, and forgets its letter with that."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.heads: list[tuple[Any, Any]] = []
        self.faults: dict[str, list[Exception]] = {}
        self.confirmed: list[str] = []
        self.pushed: list[str] = []
        self.unknown: set[str] = set()
        self.looked: list[str] = []
        self.forgotten: set[str] = set()

    def _meet(self, call: str) -> None:
        if self.faults.get(call):
            raise self.faults[call].pop(0)

    def reply(self, text: bytes, *, objects: bool = True) -> list[str]:
        """Hold a reply to a letter, with or without its objects; return their ids."""
        content = RecordDict({RECORD: ConfigRecord({"verdict": text})})
        answer = Message(content=content, reply_to=_lettered(f"letter-{text.decode()}"))
        return self._hold(answer, objects=objects)

    def _hold(self, answer: Message, *, objects: bool) -> list[str]:
        answer.metadata.__dict__["_message_id"] = answer.object_id
        tree = get_object_tree(answer)
        self.heads.append((message_to_proto(remove_content_from_message(answer)), tree))
        self.parts = {i: o.deflate() for i, o in get_all_nested_objects(answer).items()}
        if objects:
            self.objects |= self.parts
        return [str(part.object_id) for part in iterate_object_tree(tree)]

    def GetNodes(self, _: Any) -> Any:
        self._meet("GetNodes")
        return GetNodesResponse(nodes=[NodeInfo(node_id=7)])

    def PullMessages(self, request: Any) -> Any:
        self._meet("PullMessages")
        for asked in sorted(self.forgotten & set(request.message_ids)):
            there_is_none = Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason="never existed")
            self._hold(Message(there_is_none, reply_to=_lettered(asked)), objects=True)
        heads, self.heads = self.heads, []
        self.forgotten |= {str(m.metadata.reply_to_message_id) for m, _ in heads}
        return PullAppMessagesResponse(
            messages_list=[m for m, _ in heads], message_object_trees=[t for _, t in heads]
        )

    def PullObject(self, request: Any) -> Any:
        self._meet("PullObject")
        self.looked.append(request.object_id)
        if request.object_id in self.unknown:
            return PullObjectResponse(object_found=False)
        content = self.objects.get(request.object_id, b"")
        return PullObjectResponse(
            object_found=True, object_available=bool(content), object_content=content
        )

    def ConfirmMessageReceived(self, request: Any) -> Any:
        self._meet("Confirm")
        self.confirmed.append(request.message_object_id)
        return ConfirmMessageReceivedResponse()

    def PushMessages(self, request: Any) -> Any:
        self._meet("PushMessages")
        message_id = request.messages_list[0].metadata.message_id
        self.pushed.append(message_id)
        missing = [
            str(part.object_id)
            for part in iterate_object_tree(request.message_object_trees[0])
            if part.object_id not in self.objects
        ]
        return PushAppMessagesResponse(
            message_ids=[message_id], objects_to_push=missing, session_id="s"
        )

    def PushObject(self, request: Any) -> Any:
        self._meet("PushObject")
        self.objects[request.object_id] = request.object_content
        return PushObjectResponse(stored=True)


@pytest.fixture
def link() -> FakeLink:
    """Return a SuperLink that holds nothing."""
    return FakeLink()


@pytest.fixture
def grid(link: FakeLink) -> SuperLinkGrid:
    """Return the grid over it."""
    return SuperLinkGrid(link, run_id=1)  # type: ignore[arg-type]  # a SuperLink's stand-in


def _verdicts(grid: SuperLinkGrid) -> list[Any]:
    replies = sorted(
        grid.pull_messages(["letter-a", "letter-b"]), key=lambda r: r.metadata.reply_to_message_id
    )
    return [
        None if r.has_error() else dict(r.content.config_records[RECORD])["verdict"]
        for r in replies
    ]


def test_a_whole_reply_comes_once_and_is_confirmed(link: FakeLink, grid: SuperLinkGrid) -> None:
    ids = link.reply(b"a")
    assert _verdicts(grid) == [b"a"]
    assert _verdicts(grid) == []
    assert len(link.confirmed) == 1
    assert link.confirmed[0] in ids
    assert grid.get_node_ids() == [7]


def test_replies_are_fetched_and_letters_pushed_several_at_a_time(
    link: FakeLink, grid: SuperLinkGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is several calls, and a run of many silos waited for one after the other."""
    both = Barrier(2, timeout=patience(20))
    fetch, push = link.PullObject, link.PushMessages
    monkeypatch.setattr(module, "TOGETHER", 2)
    monkeypatch.setattr(link, "PullObject", lambda request: (both.wait(), fetch(request))[1])
    monkeypatch.setattr(link, "PushMessages", lambda request: (both.wait(), push(request))[1])
    link.reply(b"a")
    link.reply(b"b")
    assert _verdicts(grid) == [b"a", b"b"]
    assert sorted(map(bool, grid.push_messages([_letter(b"c"), _letter(b"d")]))) == [True, True]


def test_a_letter_that_is_not_taken_keeps_no_other_back(
    link: FakeLink, grid: SuperLinkGrid
) -> None:
    link.faults["PushMessages"] = [_status(503)] * module.PUSH_TRIES
    assert [bool(i) for i in grid.push_messages([_letter(b"a"), _letter(b"b")])] == [False, True]
    link.faults["PushMessages"] = [_status(503)] * 2 * module.PUSH_TRIES
    with pytest.raises(SuperLinkFault):
        grid.push_messages([_letter(b"a"), _letter(b"b")])


def test_a_reply_without_its_objects_is_waited_for_by_nobody(
    link: FakeLink, grid: SuperLinkGrid
) -> None:
    link.reply(b"a", objects=False)
    late = dict(link.parts)
    link.reply(b"b")
    assert _verdicts(grid) == [b"b"]
    assert _verdicts(grid) == []
    half = dict(list(late.items())[:1])
    link.objects |= half
    assert _verdicts(grid) == []
    link.objects |= late
    assert _verdicts(grid) == [b"a"]


def test_a_reply_that_never_becomes_whole_is_lost_after_its_time(
    link: FakeLink, grid: SuperLinkGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.reply(b"a", objects=False)
    assert _verdicts(grid) == []
    monkeypatch.setattr(module, "COMING_SECONDS", 0.0)
    replies = list(grid.pull_messages(["letter-a"]))
    assert [r.metadata.reply_to_message_id for r in replies] == ["letter-a"]
    assert replies[0].has_error()
    assert list(grid.pull_messages(["letter-a"])) == []


def test_a_reply_whose_object_nobody_knows_is_lost_at_once(
    link: FakeLink, grid: SuperLinkGrid
) -> None:
    link.unknown.add(link.reply(b"a")[1])
    link.reply(b"b")
    assert _verdicts(grid) == [None, b"b"]


def test_an_object_that_is_not_what_its_id_says_is_not_taken(
    link: FakeLink, grid: SuperLinkGrid
) -> None:
    ids = link.reply(b"a")
    whole = link.objects[ids[1]]
    link.objects[ids[1]] = whole[: len(whole) // 2]
    assert _verdicts(grid) == []
    link.objects[ids[1]] = whole
    assert _verdicts(grid) == [b"a"]


def test_objects_that_make_no_message_are_a_lost_reply(link: FakeLink, grid: SuperLinkGrid) -> None:
    link.reply(b"a")
    proto, tree = link.heads.pop()
    record = tree.children[0].children[0]
    proto.metadata.message_id = record.object_id
    link.heads.append((proto, record))
    assert _verdicts(grid) == [None]


@pytest.mark.parametrize("error", [_status(500), _status(503), httpx.ReadTimeout("x")])
def test_a_part_that_fails_keeps_no_other_reply_back_and_may_come_later(
    error: Exception, link: FakeLink, grid: SuperLinkGrid
) -> None:
    link.reply(b"a")
    link.reply(b"b")
    link.faults["PullObject"] = [error]
    taken: list[Message] = []
    with pytest.raises(SuperLinkFault):
        taken.extend(r for r in grid.pull_messages([]))
    assert _verdicts(grid) == [b"a"]


def test_a_confirmation_that_fails_costs_nothing(link: FakeLink, grid: SuperLinkGrid) -> None:
    link.reply(b"a")
    link.reply(b"b")
    link.faults["Confirm"] = [_status(500), httpx.ReadError("x")]
    assert _verdicts(grid) == [b"a", b"b"]


@pytest.mark.parametrize("call", ["PushMessages", "PushObject"])
def test_a_letter_that_was_pushed_by_half_is_completed(
    call: str, link: FakeLink, grid: SuperLinkGrid
) -> None:
    link.faults[call] = [_status(503), httpx.RemoteProtocolError("x")]
    letter = _letter(b"a")
    (sent,) = grid.push_messages([letter])
    assert set(link.pushed) == {sent}
    assert set(get_all_nested_objects(letter)) <= set(link.objects)


def _calls(grid: SuperLinkGrid) -> dict[str, Callable[[], Any]]:
    return {
        "GetNodes": grid.get_node_ids,
        "PushMessages": lambda: grid.push_messages([_letter(b"a")]),
        "PullMessages": lambda: list(grid.pull_messages(["1"])),
    }


@pytest.mark.parametrize("call", ["GetNodes", "PushMessages", "PullMessages"])
def test_faults_that_may_pass_and_faults_that_do_not_are_told_apart(
    call: str, link: FakeLink, grid: SuperLinkGrid
) -> None:
    for code in (408, 429, 500, 502, 503, 504):
        link.faults[call] = [_status(code)] * 3
        with pytest.raises(SuperLinkFault, match=str(code)):
            _calls(grid)[call]()
    for code in (400, 401, 403, 404, 412, 413):
        link.faults[call] = [_status(code)]
        with pytest.raises(SuperLinkLost, match=str(code)):
            _calls(grid)[call]()
