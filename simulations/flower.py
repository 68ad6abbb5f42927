"""The coordinator's Flower edge in simulations: requests become messages, replies become events.

A federation's is :mod:`silosynth.server.federation.channel`, where everything is signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.typing import ConfigRecordValues
from flwr.serverapp import Grid, ServerApp

from silosynth.common.errors import DeadlineExceeded, RunFailed
from silosynth.common.messages import (
    AGREE,
    IDENTIFY,
    MEASURE,
    RECORD,
    Request,
    encode_request,
    encode_sum_statement,
)
from silosynth.common.plan import Plan, encode_plan
from silosynth.server.coordinator import Absent, Agree, Answered, Event, Mute, Stated

_POLL_SECONDS = 0.02
_IN_FLIGHT = 64
"""Messages at a time: Flower's engine walks all that are in flight for each of its nodes."""
_QUIET_SECONDS = 20.0
"""After which more are sent beside those that nobody answers."""

app = ServerApp()
"""The component that ``deploy/flower`` names. It runs nothing: see its message."""


@app.main()
def main(_grid: Grid, _context: Context) -> None:
    """Refuse to be started by a SuperLink, which would then hold the coordinator's key."""
    raise RunFailed(
        "a SuperLink does not run the coordinator",
        hint="start it with --isolation process, and begin runs with 'silosynth run'",
    )


def find_silos(
    grid: Grid,
    *,
    silos: Sequence[str],
    timeout_seconds: float,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
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
        messages = [_message(node, IDENTIFY, {"version": 1}) for node in new]
        for reply in _exchange(grid, messages, deadline=deadline, stopping=stopping):
            name = _field(reply, "silo")
            if isinstance(name, str) and name in silos:
                found[name] = reply.metadata.src_node_id
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
    grid: Grid,
    requests: Sequence[Request],
    *,
    plan: Plan,
    nodes: Mapping[str, int],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Send each request to its silo's node and yield one event for each silo, as they answer.

    A silo whose node stays silent until the plan's deadline, or whose relay failed, is absent.
    Raises RunFailed soon after ``stopping`` says so.
    """
    sealed = encode_plan(plan)
    silos = {nodes[r.silo]: r.silo for r in requests}
    messages = (
        _message(nodes[r.silo], MEASURE, {"plan": sealed, "request": encode_request(r)})
        for r in requests
    )
    answered = set()
    deadline = time.monotonic() + plan.deadline_seconds
    for reply in _exchange(grid, messages, deadline=deadline, stopping=stopping):
        silo = silos.get(reply.metadata.src_node_id)
        data = _field(reply, "release")
        if silo is not None and isinstance(data, bytes):
            answered.add(silo)
            yield Answered(phase=requests[0].phase, silo=silo, data=data)
    for request in requests:
        if request.silo not in answered:
            yield Absent(phase=request.phase, silo=request.silo)


def send_steps(
    grid: Grid,
    steps: Sequence[Agree],
    *,
    plan: Plan,
    nodes: Mapping[str, int],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Ask silos for their keys or votes; yield one event for each silo, as they answer."""
    sealed = encode_plan(plan)
    silos = {nodes[a.silo]: a.silo for a in steps}
    asked, session = steps[0].asked, steps[0].step.session
    texts = {step: encode_sum_statement(step) for step in {a.step for a in steps}}
    messages = (
        _message(nodes[a.silo], AGREE, {"plan": sealed, "step": texts[a.step]}) for a in steps
    )
    heard = set()
    deadline = time.monotonic() + plan.deadline_seconds
    for reply in _exchange(grid, messages, deadline=deadline, stopping=stopping):
        silo = silos.get(reply.metadata.src_node_id)
        data = _field(reply, "statement")
        if silo is not None and isinstance(data, bytes):
            heard.add(silo)
            yield Stated(asked=asked, session=session, silo=silo, data=data)
    for step in steps:
        if step.silo not in heard:
            yield Mute(asked=asked, session=session, silo=step.silo)


def _exchange(
    grid: Grid,
    messages: Iterable[Message],
    *,
    deadline: float,
    stopping: Callable[[], bool],
) -> Iterator[Message]:
    """Send messages, some at a time, and yield replies until all have come or time is up.

    Each is made when it is sent: a thousand requests of a sum hold 1.6 GB.
    """
    unsent = iter(messages)
    waiting: set[str] = set()
    moved = time.monotonic()
    while time.monotonic() < deadline:
        quiet = time.monotonic() - moved > _QUIET_SECONDS
        fresh = list(islice(unsent, max(_IN_FLIGHT - (0 if quiet else len(waiting)), 0)))
        if fresh:
            waiting.update(grid.push_messages(fresh))
            moved = time.monotonic()
        if not waiting:
            return
        if stopping():
            raise RunFailed("the run was stopped", hint="the same command goes on from here")
        replies = list(grid.pull_messages(list(waiting)))
        waiting -= {reply.metadata.reply_to_message_id for reply in replies}
        yield from replies
        if replies:
            moved = time.monotonic()
        else:
            time.sleep(_POLL_SECONDS)


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
