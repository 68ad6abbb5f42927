"""What a coordinator has on its way to silos and back, and the calls that carry it.

Letters, challenges and their replies. No call into Flower's grid takes longer than its time, none
ends a run by how it fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from flwr.app import ConfigRecord, Message
from flwr.app.typing import ConfigRecordValues

from silosynth.common.errors import SilosynthError
from silosynth.common.flower.wire import RunNotRunningException
from silosynth.common.messages import RECORD
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.reach import Overdue, within
from silosynth.common.telemetry import log
from silosynth.common.trust import PublicKey, Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.federation.superlink_calls import Patience, SuperLinkFault, SuperLinkLost

Fields = dict[str, ConfigRecordValues]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressees:
    """Silos by their keys, where there is no plan, and what is proposed to them instead."""

    roster: Mapping[str, PublicKey]
    sealed: bytes
    deadline_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is sent to a silo until it answers, and when to send it next.

    ``write`` makes its fields each time it is sent: a thousand letters of a sum hold 1.6 GB.
    ``pending`` says that the silo has it and waits for a person; ``approval_seconds`` is how long
    that is left alone the next time.
    """

    kind: str
    write: Callable[[], Fields]
    due: float = 0.0
    wait_seconds: float
    approval_seconds: float
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a node was asked to sign."""

    node: int
    challenge: bytes


@dataclass(slots=True)
class Post:
    """Letters on their way: message ids, and when each node may be challenged again.

    ``listed`` are the nodes that were connected when they were last looked at.
    """

    letters: dict[str, str] = field(default_factory=dict)
    challenges: dict[str, Challenge] = field(default_factory=dict)
    challenge_due: dict[int, float] = field(default_factory=dict)
    listed: frozenset[int] | None = None
    nodes_due: float = 0.0
    active: float = 0.0


def seal_plan(plan: Plan, key: SigningKey) -> bytes:
    """Return a plan in the coordinator's envelope."""
    return seal(encode_plan(plan), purpose=Purpose.PLAN, key=key)


def size_of(fields: Fields) -> int:
    """Return how many bytes a letter carries, about."""
    values = [v for f in fields.values() for v in (f if isinstance(f, list) else [f])]
    return sum(len(v) for v in values if isinstance(v, bytes))


def field_of(reply: Message, name: str) -> ConfigRecordValues | None:
    """Return a field of a reply; None when the node failed or answered something else."""
    if reply.has_error() or not reply.has_content():
        return None
    return reply.content.config_records.get(RECORD, ConfigRecord()).get(name)


T = TypeVar("T")


class Grid(Protocol):
    """What is asked of Flower's grid, or of what stands in for it."""

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that are connected."""
        ...

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages; return their ids, empty for one that was not taken."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there."""
        ...


class Calls:
    """Own since when each kind of call fails, and the replies that nobody has looked at.

    Guarantees: every method returns within the time that ``patience`` states. A call that is
    overdue or fails counts as one whose answer was lost; a reply that it brings later is kept.
    It raises SuperLinkLost when the run is over at the SuperLink, or when calls of one kind have
    failed for ``patience.away_seconds``.
    """

    def __init__(self, grid: Grid, *, patience: Patience) -> None:
        self._grid = grid
        self._patience = patience
        self._failing: dict[str, float] = {}
        self._taken: deque[Message] = deque()

    def nodes(self) -> frozenset[int] | None:
        """Return the nodes that are connected; None when that cannot be known now."""
        return self._call("nodes", lambda: frozenset(int(n) for n in self._grid.get_node_ids()))

    def push(self, messages: Sequence[Message], *, size: int = 0) -> list[str]:
        """Push messages of ``size`` bytes; return their ids, nothing for one that was not taken."""
        ids = self._call("push", lambda: list(self._grid.push_messages(messages)), size=size)
        return [str(i or "") for i in ids] if ids else [""] * len(messages)

    def pull(self, message_ids: Iterable[str]) -> Sequence[Message]:
        """Return the replies that came, also those that came before a call failed or after it."""
        wanted = list(message_ids)

        def take() -> None:
            for message in self._grid.pull_messages(wanted):
                if not isinstance(message, Message):
                    raise TypeError("no message")
                self._taken.append(message)

        if wanted:
            self._call("pull", take)
        return [self._taken.popleft() for _ in range(len(self._taken))]

    def _call(self, kind: str, call: Callable[[], T], *, size: int = 0) -> T | None:
        """Return what a call returns, or None when its answer is lost."""
        begun = time.monotonic()
        seconds = self._patience.call_seconds + size / self._patience.bytes_per_second
        try:
            result = within(seconds, call, what=kind)
        except (SuperLinkFault, Overdue) as err:
            self._note(kind, err, begun=begun)
            return None
        except RunNotRunningException as err:
            raise SuperLinkLost("the SuperLink ended the run") from err
        except SilosynthError:
            raise
        except Exception as err:
            # Flower raises what its parsers and its transport come upon: there is no other name.
            self._note(kind, err, begun=begun)
            return None
        if self._failing.pop(kind, None) is not None:
            log("superlink-answers-again", call=kind)
        return result

    def _note(self, kind: str, err: Exception, *, begun: float) -> None:
        """Note a failure; raise SuperLinkLost after too long a time of nothing else."""
        if kind not in self._failing:
            log("superlink-fault", call=kind, why=type(err.__cause__ or err).__name__)
        since = self._failing.setdefault(kind, begun)
        if time.monotonic() - since > self._patience.away_seconds:
            raise SuperLinkLost(
                f"the SuperLink has not answered for {self._patience.away_seconds:g} s"
            ) from err
