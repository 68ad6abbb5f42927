"""Flower's grid without Flower's servers: messages go through the relay's app to the gateways.

The channel above it, the relay's app and the gateways' sockets below it are the product's; a
SuperLink and SuperNodes between them are left out, for tests that have no time for them.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from silosynth.client.relay.messages import make_sealed_relay
from silosynth.client.rpc import RemoteGateway


class SocketGrid:
    """Own a relay for each gateway's socket, and the replies that nobody took yet."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._relays = {
            node: _relay_to(path) for node, (_, path) in enumerate(sorted(sockets.items()), start=2)
        }
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self._replies: dict[str, Message] = {}
        self._lock = threading.Lock()

    def get_node_ids(self) -> list[int]:
        """Return the nodes, in no order that says which silo they are."""
        return sorted(self._relays, reverse=True)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; each has a thread that waits for its answer."""
        ids = []
        for message in messages:
            ids.append(str(uuid.uuid4()))
            message.metadata.__dict__["_message_id"] = ids[-1]
            relay = self._relays[message.metadata.dst_node_id]
            threading.Thread(target=self._pass, args=(relay, message), daemon=True).start()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Take the replies that are there."""
        with self._lock:
            return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def _pass(self, relay: ClientApp, message: Message) -> None:
        node = message.metadata.dst_node_id
        context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
        reply = relay(message=message, context=context)
        with self._lock:
            self._replies[message.metadata.message_id] = reply


def _relay_to(socket: Path) -> ClientApp:
    """Return the relay's app in front of one gateway."""
    gateway = RemoteGateway(socket)
    return make_sealed_relay(lambda _: gateway)
