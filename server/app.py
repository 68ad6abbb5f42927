"""The coordinator's Flower edge: requests become messages, replies become events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.typing import ConfigRecordValues
from flwr.serverapp import Grid

from silosynth.common.errors import DeadlineExceeded
from silosynth.common.plan import Plan, Request, encode_plan, encode_request
from silosynth.common.wire import IDENTIFY, MEASURE, RECORD
from silosynth.server.coordinator import Absent, Answered, Event

_POLL_SECONDS = 0.1


def find_silos(grid: Grid, *, silos: Sequence[str], timeout_seconds: float) -> dict[str, int]:
    """Return the node id of every silo of the roster.

    Nodes that are connected but not in the roster get no plan. Raises DeadlineExceeded naming the
    silos that did not show up.
    """
    deadline = time.monotonic() + timeout_seconds
    found: dict[str, int] = {}
    asked: set[int] = set()
    while set(silos) - set(found):
        new = [node for node in grid.get_node_ids() if node not in asked]
        asked.update(new)
        names = _identify(grid, new, timeout_seconds=max(deadline - time.monotonic(), 1.0))
        found |= {name: node for name, node in names.items() if name in silos}
        if time.monotonic() > deadline:
            missing = sorted(set(silos) - set(found))
            raise DeadlineExceeded(
                f"{len(missing)} silos did not connect: {', '.join(missing[:5])}",
                hint="start them and resume the run",
            )
        if not new:
            time.sleep(_POLL_SECONDS)
    return found


def send_requests(
    grid: Grid, requests: Sequence[Request], *, plan: Plan, nodes: Mapping[str, int]
) -> Iterable[Event]:
    """Send each request to its silo's node and yield one event for each silo.

    A silo whose node stays silent until the plan's deadline, or whose relay failed, is absent.
    """
    sealed = encode_plan(plan)
    silos = {nodes[r.silo]: r.silo for r in requests}
    messages = [
        _message(nodes[r.silo], MEASURE, {"plan": sealed, "request": encode_request(r)})
        for r in requests
    ]
    answered = set()
    for reply in grid.send_and_receive(messages, timeout=float(plan.deadline_seconds)):
        silo = silos.get(reply.metadata.src_node_id)
        data = _field(reply, "release")
        if silo is not None and isinstance(data, bytes):
            answered.add(silo)
            yield Answered(phase=requests[0].phase, silo=silo, data=data)
    for request in requests:
        if request.silo not in answered:
            yield Absent(phase=request.phase, silo=request.silo)


def _identify(grid: Grid, nodes: Sequence[int], *, timeout_seconds: float) -> dict[str, int]:
    """Ask nodes for the name of their silo."""
    messages = [_message(node, IDENTIFY, {"version": 1}) for node in nodes]
    replies: Iterator[Message] = iter(grid.send_and_receive(messages, timeout=timeout_seconds))
    return {str(_field(r, "silo")): r.metadata.src_node_id for r in replies}


def _field(reply: Message, name: str) -> ConfigRecordValues | None:
    """Return a field of a reply; None when the node failed or answered something else."""
    if reply.has_error():
        return None
    return reply.content.config_records.get(RECORD, ConfigRecord()).get(name)


def _message(node: int, kind: str, fields: dict[str, ConfigRecordValues]) -> Message:
    """Make one message to one node."""
    return Message(
        content=RecordDict({RECORD: ConfigRecord(fields)}),
        dst_node_id=node,
        message_type=f"query.{kind}",
    )
