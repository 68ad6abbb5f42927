"""The front door of a socket: who connects is asked of the operating system before a byte is read.

gRPC does not tell who is at the other end of a Unix-domain socket. So the public socket is this
one: it lets in whom the policy names, and moves bytes between them and gRPC's own socket, which
lies in a directory that nobody else can enter.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Thread

_CREDENTIALS = struct.Struct("3i")
_BUFFER_BYTES = 65_536
_LAST_WORDS_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 0.1


class TurnedAway(StrEnum):
    """Why a connection was not let in, or was ended."""

    STRANGER = "stranger"
    FULL = "full"
    SILENT = "silent"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRules:
    """Who may come in, how many at once, and how long they may say nothing.

    ``first_byte_seconds`` holds until the first byte, ``idle_seconds`` between any two after it,
    in either direction; it has to be longer than the longest count takes.
    """

    users: frozenset[int]
    most_connections: int = 64
    first_byte_seconds: float = 10.0
    idle_seconds: float = 3600.0


def peer_user(connection: socket.socket) -> int:
    """Return the user id that connected, as the kernel noted it at that moment."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


class FrontDoor:
    """Own a listening socket, and move bytes between those it lets in and a socket inside.

    Guarantees: of a user who is not in the rules no byte is read. All connections together take
    one thread. ``turned_away`` is told of each who is not let in, with the user's id.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        inner: Callable[[int], Path],
        rules: DoorRules,
        turned_away: Callable[[TurnedAway, int], None] = lambda _why, _user: None,
    ) -> None:
        """Open the door.

        Args: inner: the socket inside for a user's id, where somebody must listen already. Users
            who have one each are told apart inside by where they came in.
        """
        listener.setblocking(False)
        self._listener = listener
        self._inner = inner
        self._rules = rules
        self._turned_away = turned_away
        self._visits: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(listener, self._knock)
        self._thread = Thread(target=self._run, name="front-door", daemon=True)
        self._thread.start()

    def close_to_new(self) -> None:
        """Let nobody in any more; those who are in stay."""
        self._call(self._shut)

    def close(self) -> None:
        """End every connection and the thread."""
        if self._thread.is_alive():
            self._call(self._loop.stop)
        self._thread.join()

    def _call(self, function: Callable[[], object]) -> None:
        """Have the thread call a function; nothing when it has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        """Run until the door closes, then end what is left."""
        try:
            self._loop.run_forever()
            self._shut()
            self._loop.run_until_complete(_end(asyncio.all_tasks(self._loop)))
        finally:
            self._loop.close()

    def _shut(self) -> None:
        """Stop listening."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _knock(self) -> None:
        """Take one connection; whatever keeps the system from giving it may pass."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_TRY_AGAIN_SECONDS, self._listen_again)
            return
        self._let_in(connection)

    def _listen_again(self) -> None:
        """Listen after a pause, unless the door was closed in the meantime."""
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._knock)

    def _let_in(self, connection: socket.socket) -> None:
        """Start a visit, or close the connection with nothing read."""
        try:
            user = peer_user(connection)
        except OSError:
            connection.close()
            return
        full = len(self._visits) >= self._rules.most_connections
        if user not in self._rules.users or full:
            why = TurnedAway.FULL if user in self._rules.users else TurnedAway.STRANGER
            self._turned_away(why, user)
            connection.close()
            return
        visit = self._loop.create_task(self._visit(connection, user))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)
        visit.add_done_callback(lambda _: connection.close())

    async def _visit(self, connection: socket.socket, user: int) -> None:
        """Move bytes both ways until one side has ended or has been silent for too long."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inside:
            connection.setblocking(False)
            inside.setblocking(False)
            try:
                await self._loop.sock_connect(inside, str(self._inner(user)))
            except OSError:
                self._turned_away(TurnedAway.CLOSED, user)
                return
            clock = _Clock()
            both = (
                asyncio.create_task(self._move(connection, inside, clock, inward=True)),
                asyncio.create_task(self._move(inside, connection, clock, inward=False)),
            )
            try:
                if not await self._watch(both, clock):
                    self._turned_away(TurnedAway.SILENT, user)
            finally:
                await _end(both)

    async def _watch(self, both: Collection[asyncio.Task[None]], clock: _Clock) -> bool:
        """Wait until a direction has ended, and a moment for the other; False when silent."""
        while True:
            patience = self._rules.idle_seconds if clock.spoken else self._rules.first_byte_seconds
            left = clock.last + patience - time.monotonic()
            if left <= 0:
                return False
            done, going = await asyncio.wait(
                both, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                if going:
                    await asyncio.wait(going, timeout=_LAST_WORDS_SECONDS)
                return True

    async def _move(
        self, source: socket.socket, target: socket.socket, clock: _Clock, *, inward: bool
    ) -> None:
        """Move bytes one way until they end."""
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        with suppress(OSError):
            while size := await self._loop.sock_recv_into(source, buffer):
                clock.last = time.monotonic()
                clock.spoken = clock.spoken or inward
                await self._loop.sock_sendall(target, buffer[:size])
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class _Clock:
    """When bytes last moved, and whether the visitor has said anything."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.spoken = False


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
