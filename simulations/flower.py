"""The coordinator's Flower edge in simulations: requests become messages, replies become events.

A message goes to the node of a chunk of silos, with a request for each. A federation's edge is
:mod:`silosynth.server.federation.channel`, where everything is signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.typing import ConfigRecordValues
from flwr.serverapp import Grid, ServerApp

from silosynth.common.errors import DeadlineExceeded, RunFailed
from silosynth.common.messages import Request, encode_request, encode_sum_statement
from silosynth.common.plan import Plan, encode_plan
from silosynth.server.coordinator import Absent, Agree, Answered, Event, Mute, Stated
from silosynth.simulations.on_ray import (
    AGREE,
    ANSWER,
    IDENTIFY,
    RECORD,
    Chunks,
    Fields,
    pack,
    unpack_answers,
)

T = TypeVar("T")
_POLL_SECONDS = 0.02
_IN_FLIGHT = 8
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """What speaks for silos: the node of each of their chunks."""

    chunks: Chunks
    nodes: Mapping[int, int]


def find_nodes(
    grid: Grid,
    *,
    chunks: Chunks,
    timeout_seconds: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Nodes:
    """Return the node of every chunk.

    Nodes of other numbers get no plan. Raises DeadlineExceeded where some do not show up, naming
    their silos.
    """
    deadline = time.monotonic() + timeout_seconds
    found: dict[int, int] = {}
    asked: set[int] = set()
    while len(found) < chunks.count:
        new = [node for node in grid.get_node_ids() if node not in asked]
        asked.update(new)
        messages = [_message(node, IDENTIFY, {}) for node in new]
        for reply in _exchange(grid, messages, deadline=deadline, stopping=stopping):
            number = _fields(reply).get("chunk")
            if isinstance(number, int) and 0 <= number < chunks.count:
                found[number] = reply.metadata.src_node_id
        if time.monotonic() > deadline:
            missing = sorted(s for s, number in chunks.of_silo().items() if number not in found)
            raise DeadlineExceeded(
                f"{len(missing)} silos did not connect: {', '.join(missing[:5])}",
                hint="start them and resume the run",
            )
        if not new:
            time.sleep(_POLL_SECONDS)
    return Nodes(chunks=chunks, nodes=found)


def send_requests(
    grid: Grid,
    requests: Sequence[Request],
    *,
    plan: Plan,
    nodes: Nodes,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Send each request to its silo's node and yield one event for each silo, as they answer.

    A silo that its node does not speak for until the plan's deadline is absent.
    Raises RunFailed soon after ``stopping`` says so.
    """
    phase = requests[0].phase
    asked = {r.silo: r for r in requests}
    answered = set()
    for silo, data in _ask(
        grid, asked, encode_request, kind=ANSWER, plan=plan, nodes=nodes, stopping=stopping
    ):
        answered.add(silo)
        yield Answered(phase=phase, silo=silo, data=data)
    for silo in [s for s in asked if s not in answered]:
        yield Absent(phase=phase, silo=silo)


def send_steps(
    grid: Grid,
    steps: Sequence[Agree],
    *,
    plan: Plan,
    nodes: Nodes,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Ask silos for their keys or votes; yield one event for each silo, as they answer."""
    question, session = steps[0].asked, steps[0].step.session
    texts = {step: encode_sum_statement(step) for step in {a.step for a in steps}}
    asked = {a.silo: a.step for a in steps}
    heard = set()
    for silo, data in _ask(
        grid, asked, texts.__getitem__, kind=AGREE, plan=plan, nodes=nodes, stopping=stopping
    ):
        heard.add(silo)
        yield Stated(asked=question, session=session, silo=silo, data=data)
    for silo in [s for s in asked if s not in heard]:
        yield Mute(asked=question, session=session, silo=silo)


def _ask(
    grid: Grid,
    asked: Mapping[str, T],
    write: Callable[[T], bytes],
    *,
    kind: str,
    plan: Plan,
    nodes: Nodes,
    stopping: Callable[[], bool],
) -> Iterator[tuple[str, bytes]]:
    """Ask silos by their chunks' nodes; yield what each said, once, of silos that were asked.

    Each message is made when it is sent: a thousand requests of a sum hold 1.6 GB.
    """
    sealed, deadline = encode_plan(plan), time.monotonic() + plan.deadline_seconds
    chunk_of, homes = nodes.chunks.of_silo(), nodes.chunks.homes()
    parts: dict[int, list[str]] = {}
    for silo in asked:
        parts.setdefault(nodes.nodes[chunk_of[silo]], []).append(silo)
    messages = (
        _message(node, kind, pack({s: write(asked[s]) for s in part}, plan=sealed, homes=homes))
        for node, part in parts.items()
    )
    waited = {node: set(part) for node, part in parts.items()}
    for reply in _exchange(grid, messages, deadline=deadline, stopping=stopping):
        of_node = waited.get(reply.metadata.src_node_id, set())
        for silo, data in unpack_answers(_fields(reply)).items():
            if silo in of_node:
                of_node.remove(silo)
                yield silo, data


def _exchange(
    grid: Grid,
    messages: Iterable[Message],
    *,
    deadline: float,
    stopping: Callable[[], bool],
) -> Iterator[Message]:
    """Send messages, some at a time, and yield replies until all have come or time is up."""
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


def _fields(reply: Message) -> Mapping[str, ConfigRecordValues]:
    """Return the fields of a reply; none where the node failed or answered something else."""
    return {} if reply.has_error() else reply.content.config_records.get(RECORD, ConfigRecord())


def _message(node: int, kind: str, fields: Fields) -> Message:
    """Make one message to one node."""
    return Message(
        content=RecordDict({RECORD: ConfigRecord(fields)}),
        dst_node_id=node,
        message_type=f"query.{kind}",
    )
