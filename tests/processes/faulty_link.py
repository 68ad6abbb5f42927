"""A proxy before a SuperLink, and before SuperNodes' own ports, that spoils requests one by one.

    with FaultyLink(front=port, back=superlink_port, certs=certs) as link:
        link.arm("fleet/push-object", Fault.STALL)
        link.spoilt          what was spoilt, and when the last fault was over

Each fault that is armed spoils the next request of its kind, once; all others pass. It listens on
loopback alone, in a thread of its own, and ends with the block.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx

from silosynth.server.federation.certs import Certs
from silosynth.simulations.real_time.proxy import (
    Asked,
    Door,
    Proxy,
    ServerCerts,
    head_of,
    superlink_route,
    write,
)
from tests.support.patience import patience

GARBAGE = b"\xff\xfe no protocol buffer \x00\x80"
TRICKLE_SECONDS = 0.5
DELAY_SECONDS = 2.0


class Fault(StrEnum):
    """What becomes of a request. ``AFTER``: the server has done what it was asked."""

    LOSE = "no answer, not passed on"
    LOSE_AFTER = "no answer, passed on"
    TRUNCATE_AFTER = "half an answer, and the end of the connection"
    HALF_AFTER = "half an answer that says it is whole"
    EMPTY = "an empty answer, not passed on"
    EMPTY_AFTER = "an empty answer, passed on"
    GARBAGE = "an answer of another protocol"
    ERROR = "500, not passed on"
    ERROR_AFTER = "500, passed on"
    UNAVAILABLE = "503, not passed on"
    DENIED = "401, not passed on"
    FORBIDDEN = "403, not passed on"
    STALL = "silence, not passed on"
    STALL_AFTER = "silence, passed on"
    TRICKLE_AFTER = "a byte now and then"
    DELAY = "passed on late"
    TWICE = "passed on twice"


_CODES = {
    Fault.ERROR: 500,
    Fault.ERROR_AFTER: 500,
    Fault.UNAVAILABLE: 503,
    Fault.DENIED: 401,
    Fault.FORBIDDEN: 403,
}
_SILENT = (Fault.LOSE, Fault.LOSE_AFTER, Fault.STALL, Fault.STALL_AFTER)
_NOT_PASSED = (
    Fault.LOSE,
    Fault.EMPTY,
    Fault.GARBAGE,
    Fault.ERROR,
    Fault.UNAVAILABLE,
    Fault.DENIED,
    Fault.FORBIDDEN,
    Fault.STALL,
)


class FaultyLink(Proxy):
    """Own two listening ports: one before the SuperLink (TLS), one before SuperNodes.

    A request to the second begins with the SuperNode's port: ``/41234/v1/runtime/acquire-task``.
    """

    def __init__(
        self, *, front: int, back: int, nodes: int, certs: Certs, stall_seconds: float
    ) -> None:
        place = certs.identity.parent
        shown = ServerCerts(
            ca=certs.ca,
            certificate=place / "superlink.pem",
            key=place / "superlink-key.pem",
        )
        super().__init__(shown)
        self._front = front
        self._back = back
        self._nodes = nodes
        self._stall_seconds = stall_seconds
        self._armed: dict[str, deque[Fault]] = defaultdict(deque)
        self.spoilt: list[tuple[str, Fault]] = []
        self.last_fault = time.time()
        self._busy = 0
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(patience(5)), "the proxy does not listen"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=patience(5))

    def arm(self, kind: str, fault: Fault) -> None:
        """Spoil the next request of a kind: ``fleet/push-object``, ``node/acquire-task``."""
        self._armed[kind].append(fault)

    def disarm(self) -> list[str]:
        """Spoil nothing more; return the kinds that no request came of."""
        left = [kind for kind, faults in self._armed.items() if faults]
        self._armed.clear()
        return left

    @property
    def over(self) -> float:
        """Return when the last fault was over: now, while one goes on."""
        return time.time() if self._busy else self.last_fault

    def _run(self) -> None:
        """Serve until the block ends."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        doors = [
            Door(port=self._front, route=superlink_route(lambda: f"127.0.0.1:{self._back}")),
            Door(port=self._nodes, route=_node_route, tls=False),
        ]
        await self.serve(doors, until=self._stop, ready=self._ready.set)

    async def treat(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether the connection goes on."""
        armed = self._armed.get(asked.kind)
        if not armed:
            return await super().treat(asked, reader, writer)
        return await self._spoil(armed.popleft(), asked, reader, writer)

    async def _spoil(
        self,
        fault: Fault,
        asked: Asked,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Spoil a request, and note when that is over."""
        self._busy += 1
        try:
            return await self._do(fault, asked, reader, writer)
        finally:
            self._busy -= 1
            self.last_fault = time.time()
            self.spoilt.append((asked.kind, fault))
            print(f"{self.last_fault:.1f} {asked.kind}: {fault}", flush=True)

    async def _do(
        self,
        fault: Fault,
        asked: Asked,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        status, content = _CODES.get(fault, 200), GARBAGE if fault is Fault.GARBAGE else b""
        headers = httpx.Headers({"content-type": "application/protobuf"})
        if fault not in _NOT_PASSED:
            reply = await self.forward(asked)
            if reply is not None and fault is Fault.TWICE:
                reply = await self.forward(asked)
            if reply is None:
                return False
            headers = reply.headers
            if fault in (Fault.DELAY, Fault.TWICE):
                status, content = reply.status_code, reply.content
            elif fault is Fault.HALF_AFTER:
                content = reply.content[: len(reply.content) // 2]
            elif fault in (Fault.TRUNCATE_AFTER, Fault.TRICKLE_AFTER):
                return await self._break(fault, reply, reader, writer)
        if fault in (Fault.STALL, Fault.STALL_AFTER):
            await self._hold(reader)
        if fault in _SILENT:
            return False
        await write(writer, status, content, headers)
        return True

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        """Say nothing, as long as the other side waits and the stall lasts."""
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), self._stall_seconds)

    async def _break(
        self,
        fault: Fault,
        reply: httpx.Response,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Begin an answer that does not come to its end."""
        content = reply.content or b"\x00\x00"
        writer.write(head_of(reply.status_code, len(content) + 1000, reply.headers))
        await writer.drain()
        if fault is Fault.TRUNCATE_AFTER:
            writer.write(content[: len(content) // 2])
            await writer.drain()
            return False
        until = time.monotonic() + self._stall_seconds
        while time.monotonic() < until and not reader.at_eof():
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(TRICKLE_SECONDS)
        return False


def _node_route(path: str) -> tuple[str, str]:
    """Return the way to a SuperNode's own port, with which the path begins."""
    _, port, rest = path.split("/", 2)
    return f"http://127.0.0.1:{port}/{rest}", f"node/{path.rsplit('/', 1)[1]}"
