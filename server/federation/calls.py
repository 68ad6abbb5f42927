"""Calls into Flower's grid: none takes longer than its time, none ends a run by how it fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from flwr.app import Message

from silosynth.common.errors import SilosynthError
from silosynth.common.flower.wire import RunNotRunningException
from silosynth.common.reach import Overdue, within
from silosynth.common.telemetry import log
from silosynth.server.federation.link import Patience, SuperLinkFault, SuperLinkLost

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

    def push(self, message: Message, *, size: int = 0) -> str:
        """Push a message of ``size`` bytes; return its id, or nothing when it was not taken."""
        ids = self._call("push", lambda: list(self._grid.push_messages([message])), size=size)
        return str(ids[0] or "") if ids else ""

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
