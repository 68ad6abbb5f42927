"""A proxy before a SuperLink, and before SuperNodes' own ports, that spoils requests one by one.

    with FaultyLink(front=port, back=superlink_port, certs=certs) as link:
        link.arm("fleet/push-object", Fault.STALL)
        link.spoilt          what was spoilt, and when the last fault was over

Each fault that is armed spoils the next request of its kind, once; all others pass. It listens on
loopback alone, in a thread of its own, and ends with the block.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx

from silosynth.server.federation.certs import Certs

GARBAGE = b"\xff\xfe no protocol buffer \x00\x80"
TRICKLE_SECONDS = 0.5
DELAY_SECONDS = 2.0
_CLOSING = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError)


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


class FaultyLink:
    """Own two listening ports: one before the SuperLink (TLS), one before SuperNodes.

    A request to the second begins with the SuperNode's port: ``/41234/v1/runtime/acquire-task``.
    """

    def __init__(
        self, *, front: int, back: int, nodes: int, certs: Certs, stall_seconds: float
    ) -> None:
        self._front = front
        self._back = back
        self._nodes = nodes
        self._certs = certs
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
        assert self._ready.wait(30), "the proxy does not listen"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

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
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        place = self._certs.identity.parent
        tls.load_cert_chain(place / "superlink.pem", place / "superlink-key.pem")
        trusted = ssl.create_default_context(cafile=str(self._certs.ca))
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(verify=trusted, timeout=60, limits=limits) as self._client:
            link = await asyncio.start_server(
                self._to_link, "127.0.0.1", self._front, ssl=tls, limit=2**26
            )
            node = await asyncio.start_server(self._to_node, "127.0.0.1", self._nodes, limit=2**26)
            self._ready.set()
            async with link, node:
                await self._stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.05)

    async def _to_link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._converse(reader, writer, at_node=False)

    async def _to_node(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._converse(reader, writer, at_node=True)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, at_node: bool
    ) -> None:
        """Answer the requests of one connection, until one is spoilt or it ends."""
        try:
            while await self._answer(reader, writer, at_node=at_node):
                pass
        except _CLOSING:
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            with suppress(*_CLOSING, RuntimeError):
                writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, at_node: bool
    ) -> bool:
        """Answer one request; return whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head[1:] if line]
        named = {name.lower(): value for name, value in headers}
        body = await reader.readexactly(int(named.get("content-length", "0")))
        path = head[0].split(" ")[1]
        if at_node:
            _, port, rest = path.split("/", 2)
            url, api = f"http://127.0.0.1:{port}/{rest}", "node"
        else:
            url, api = f"https://127.0.0.1:{self._back}{path}", path.split("/")[2]
        kind = f"{api}/{path.rsplit('/', 1)[1]}"
        kept = {n: v for n, v in named.items() if n not in ("host", "connection")}
        request = self._client.build_request("POST", url, headers=kept, content=body)
        armed = self._armed.get(kind)
        if not armed:
            return await self._pass(request, writer)
        return await self._spoil(kind, armed.popleft(), request, reader, writer)

    async def _pass(self, request: httpx.Request, writer: asyncio.StreamWriter) -> bool:
        """Pass a request and its answer on."""
        try:
            reply = await self._client.send(request)
        except httpx.HTTPError:
            return False
        await _write(writer, reply.status_code, reply.content, reply.headers)
        return True

    async def _spoil(
        self,
        kind: str,
        fault: Fault,
        request: httpx.Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Spoil a request, and note when that is over."""
        self._busy += 1
        try:
            return await self._do(fault, request, reader, writer)
        finally:
            self._busy -= 1
            self.last_fault = time.time()
            self.spoilt.append((kind, fault))
            print(f"{self.last_fault:.1f} {kind}: {fault}", flush=True)

    async def _do(
        self,
        fault: Fault,
        request: httpx.Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        status, content = _CODES.get(fault, 200), GARBAGE if fault is Fault.GARBAGE else b""
        headers = httpx.Headers({"content-type": "application/protobuf"})
        if fault not in _NOT_PASSED:
            for _ in range(2 if fault is Fault.TWICE else 1):
                try:
                    reply = await self._client.send(request)
                except httpx.HTTPError:
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
        await _write(writer, status, content, headers)
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
        writer.write(_head(reply.status_code, len(content) + 1000, reply.headers))
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


async def _write(
    writer: asyncio.StreamWriter, status: int, content: bytes, headers: httpx.Headers
) -> None:
    """Write one whole answer."""
    writer.write(_head(status, len(content), headers) + content)
    await writer.drain()


def _head(status: int, length: int, headers: httpx.Headers) -> bytes:
    """Return the head of an answer."""
    skipped = ("content-length", "transfer-encoding", "connection", "content-encoding")
    lines = [f"HTTP/1.1 {status} X", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in skipped]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
