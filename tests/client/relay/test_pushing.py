"""A relay ends a task only where its SuperNode has the whole answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.task_identity import TaskIdentity

from silosynth.client.relay.pushing import push_answer
from silosynth.common.messages import RECORD


class FakeNode:
    """Takes an answer, but for what it is told to leave out."""

    def __init__(self, *, fault: str = "") -> None:
        self.fault = fault
        self.there: dict[str, bytes] = {}
        self.ended = False

    def PushMessages(self, request: Any) -> Any:
        if self.fault == "empty":
            return SimpleNamespace(message_ids=[], objects_to_push=[], session_id="")
        ids = [str(p.object_id) for p in iterate_object_tree(request.message_object_trees[0])]
        self.there = dict.fromkeys(ids, b"")
        asked = ids[1:] if self.fault == "half" else ids
        sent = request.messages_list[0].metadata.message_id
        return SimpleNamespace(message_ids=[sent], objects_to_push=asked, session_id="s")

    def PushObject(self, request: Any) -> Any:
        if self.fault != "dropped":
            self.there[request.object_id] = request.object_content
        return SimpleNamespace(stored=self.fault != "refused")

    def PullObject(self, request: Any) -> Any:
        content = self.there.get(request.object_id)
        if self.fault == "taken":
            content = None
        return SimpleNamespace(object_found=content is not None, object_available=bool(content))

    def PushTaskOutput(self, _: Any) -> None:
        self.ended = True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Message:
    """Return an answer to a letter."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    content = RecordDict({RECORD: ConfigRecord({"release": b"x"})})
    letter = Message(content=content, dst_node_id=2, message_type="query.measure")
    letter.metadata.__dict__["_message_id"] = "1"
    return Message(content=content, reply_to=letter)


def _push(node: FakeNode, answer: Message) -> None:
    context = Context(
        run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={}, series_id=1
    )
    push_answer(node, answer, context)  # type: ignore[arg-type]  # a SuperNode's stand-in


@pytest.mark.parametrize("fault", ["", "taken"])
def test_an_answer_that_is_there_or_gone_already_ends_its_task(fault: str, answer: Message) -> None:
    node = FakeNode(fault=fault)
    _push(node, answer)
    assert node.ended
    assert all(node.there.values())


@pytest.mark.parametrize("fault", ["empty", "half", "dropped", "refused"])
def test_an_answer_that_lacks_a_part_leaves_its_task_open(fault: str, answer: Message) -> None:
    node = FakeNode(fault=fault)
    with pytest.raises(ValueError, match="answer"):
        _push(node, answer)
    assert not node.ended
