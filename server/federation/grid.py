"""Messages over a SuperLink: push a letter with all that belongs to it, pull what is there.

Flower's own grid waits up to two hours for the objects of a message that was pushed without them,
and its threads outlive their callers. This one looks once a pull and keeps what is not whole yet.
A SuperLink hands a reply's head out once, and then says of its letter that there never was one: who
asks again while the objects are on a slow line loses the reply. Nothing is asked for twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from flwr.app import Error, Message, Metadata

from silosynth.common.flower.wire import (
    SUPERLINK_NODE_ID,
    SYSTEM_MESSAGE_TYPE,
    ConfirmMessageReceivedRequest,
    ErrorCode,
    GetNodesRequest,
    Node,
    PullAppMessagesRequest,
    PullObjectRequest,
    PushAppMessagesRequest,
    PushObjectRequest,
    RuntimeHttpClient,
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    inflate_object_from_contents,
    iterate_object_tree,
    make_message,
    message_to_proto,
    remove_content_from_message,
)
from silosynth.common.telemetry import log
from silosynth.server.federation.superlink_calls import SuperLinkFault, converted

PUSH_TRIES = 3
TOGETHER = 8
"""Calls at a time: a SuperLink answers several while one waits for its line."""
COMING_SECONDS = 180.0
"""A SuperLink forgets what it waits for after this time; so do we."""
_RETRY_SECONDS = 0.5


@dataclass(slots=True, kw_only=True)
class _Coming:
    """A reply whose objects are not all there yet; ``missing`` keeps their order."""

    answers: str
    missing: dict[str, None]
    since: float
    contents: dict[str, bytes] = field(default_factory=dict)


class SuperLinkGrid:
    """Own the replies of one run that are on their way from a SuperLink.

    No call waits for anything but the SuperLink's answer to its requests. All raise SuperLinkFault
    for what may pass, and SuperLinkLost where the run is over.
    """

    def __init__(self, client: RuntimeHttpClient, *, run_id: int) -> None:
        self._client = client
        self._run_id = run_id
        self._node = Node(node_id=SUPERLINK_NODE_ID)
        self._coming: dict[str, _Coming] = {}
        self._headed: set[str] = set()

    def get_node_ids(self) -> list[int]:
        """Return the nodes that are connected."""
        with converted(begun=True):
            return [int(n.node_id) for n in self._client.GetNodes(GetNodesRequest()).nodes]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Push messages, each whole, some at a time; return their ids, empty for one not taken.

        Raises SuperLinkFault where none was taken.
        """
        with ThreadPoolExecutor(TOGETHER) as pool:
            pushed = [pool.submit(self._push, message) for message in messages]
        ids, fault = [], None
        for push in pushed:
            try:
                ids.append(push.result())
            except SuperLinkFault as err:
                ids.append("")
                fault = err
        if fault is not None and not any(ids):
            raise fault
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Yield the replies to these messages that are whole, and an error for one that is lost.

        What is not whole yet is looked for again by the next call. A reply whose parts cannot be
        had now keeps no other one back. Some are fetched at a time: each is several calls.
        """
        self._pull_heads([i for i in message_ids if i not in self._headed])
        fault: SuperLinkFault | None = None
        with ThreadPoolExecutor(TOGETHER) as pool:
            looks = {pool.submit(self._look, i): i for i in list(self._coming)}
            for look in as_completed(looks):
                try:
                    message = look.result()
                except SuperLinkFault as err:
                    fault = err
                    continue
                if message is not None:
                    yield message
                    pool.submit(self._confirm, looks[look])
        if fault is not None:
            raise fault

    def _pull_heads(self, message_ids: list[str]) -> None:
        """Note which replies are coming, and of what objects they are made."""
        with converted(begun=True):
            reply = self._client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
            heads = list(zip(reply.messages_list, reply.message_object_trees, strict=True))
        for proto, tree in heads:
            self._headed.add(str(proto.metadata.reply_to_message_id))
            self._coming[str(proto.metadata.message_id)] = _Coming(
                answers=str(proto.metadata.reply_to_message_id),
                missing={str(part.object_id): None for part in iterate_object_tree(tree)},
                since=time.monotonic(),
            )

    def _push(self, message: Message) -> str:
        """Push one message; the same message again completes one that was pushed by half."""
        for attempt in range(1, PUSH_TRIES + 1):
            try:
                with converted(begun=True):
                    return self._push_once(message)
            except SuperLinkFault:
                if attempt == PUSH_TRIES:
                    raise
                time.sleep(_RETRY_SECONDS)
        return ""

    def _push_once(self, message: Message) -> str:
        """Push what a message is, then the objects that the SuperLink does not have."""
        message.metadata.__dict__["_message_id"] = message.object_id
        reply = self._client.PushMessages(
            PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(message))],
                message_object_trees=[get_object_tree(message)],
            )
        )
        if not reply.message_ids:
            raise ValueError("no answer to a push")
        objects = get_all_nested_objects(message)
        for object_id in set(reply.objects_to_push) & set(objects):
            request = PushObjectRequest(
                node=self._node,
                run_id=self._run_id,
                object_id=object_id,
                object_content=objects[object_id].deflate(),
                session_id=reply.session_id,
            )
            if not self._client.PushObject(request).stored:
                raise ValueError("an object was not stored")
        return str(reply.message_ids[0])

    def _look(self, message_id: str) -> Message | None:
        """Return a reply if it is whole now, an error if it never will be.

        It is out of the others' sight meanwhile: a call that was left alone may still be at it.
        """
        coming = self._coming.pop(message_id, None)
        if coming is None:
            return None
        if time.monotonic() - coming.since > COMING_SECONDS:
            return _lost(coming)
        try:
            found = self._fetch(coming)
        except SuperLinkFault:
            self._coming[message_id] = coming
            raise
        if found and coming.missing:
            self._coming[message_id] = coming
            return None
        return _inflate(message_id, coming) if found else _lost(coming)

    def _fetch(self, coming: _Coming) -> bool:
        """Take the objects that are there; return False when the SuperLink does not know one."""
        for object_id in list(coming.missing):
            request = PullObjectRequest(node=self._node, run_id=self._run_id, object_id=object_id)
            with converted(begun=True):
                reply = self._client.PullObject(request)
            if not reply.object_found:
                return False
            if not reply.object_available or get_object_id(reply.object_content) != object_id:
                return True
            coming.contents[object_id] = reply.object_content
            coming.missing.pop(object_id, None)
        return True

    def _confirm(self, message_id: str) -> None:
        """Let the SuperLink drop a reply that we have; it drops it with the run in any case."""
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=self._run_id, message_object_id=message_id
        )
        try:
            with converted(begun=True):
                self._client.ConfirmMessageReceived(request)
        except SuperLinkFault:
            log("reply-not-confirmed")


def _inflate(message_id: str, coming: _Coming) -> Message:
    """Make a message of its objects; an error where they make none."""
    try:
        message = inflate_object_from_contents(message_id, dict(coming.contents))
    except Exception as err:
        # A node chooses these bytes, and Flower's parsers raise whatever they come upon.
        log("reply-unreadable", why=type(err).__name__)
        return _lost(coming)
    if not isinstance(message, Message):
        return _lost(coming)
    message.metadata.__dict__["_message_id"] = message_id
    return message


def _lost(coming: _Coming) -> Message:
    """Return an error in the place of a reply that cannot be had."""
    log("reply-lost")
    metadata = Metadata(
        run_id=0,
        message_id="",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=SUPERLINK_NODE_ID,
        message_type=SYSTEM_MESSAGE_TYPE,
        group_id="",
        ttl=0,
        reply_to_message_id=coming.answers,
        created_at=time.time(),
    )
    return make_message(
        metadata=metadata, error=Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason="reply lost")
    )
