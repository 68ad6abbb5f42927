"""A proxy before an HTTPS server that takes requests one by one, for who decides about each.

It ends TLS with the server's own certificate, so it sees what kind of request it is; what is in
plans, requests and releases is sealed before Flower sees it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from silosynth.common.errors import InvalidArgument

LOOPBACK = "127.0.0.1"
_MOST_HEAD = 2**26
_TIMEOUT_SECONDS = 60.0
_GOODBYE_SECONDS = 0.05
_CLOSING = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError)
_SKIPPED = ("content-length", "transfer-encoding", "connection", "content-encoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCerts:
    """The server's certificate and key, which the proxy shows too, and the CA that signed it."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A port to listen at.

    ``route`` gives the address that a path stands for, and the request's kind in few words, as
    ``fleet/push-object``.
    """

    port: int
    route: Callable[[str], tuple[str, str]]
    tls: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as it is to be passed on."""

    kind: str
    request: httpx.Request


class Proxy:
    """Own listening ports on loopback; every request goes through :meth:`treat`."""

    def __init__(self, certs: ServerCerts, *, kept_seconds: float = 0.0) -> None:
        """Take what is shown and trusted.

        Args: kept_seconds: how long connections to the server are kept open for the next request.
        """
        self._certs, self._kept = certs, kept_seconds
        self._client: httpx.AsyncClient
        self._talks: set[asyncio.Task[None]] = set()

    async def serve(
        self,
        doors: Sequence[Door],
        *,
        until: asyncio.Event,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen until it is said; raise InvalidArgument for a port that is taken."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._certs.certificate, self._certs.key)
        trusted = ssl.create_default_context(cafile=str(self._certs.ca))
        limits = httpx.Limits(
            max_keepalive_connections=None if self._kept else 0, keepalive_expiry=self._kept
        )
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(
                httpx.AsyncClient(verify=trusted, timeout=_TIMEOUT_SECONDS, limits=limits)
            )
            servers = [
                await stack.enter_async_context(await self._listen(door, tls)) for door in doors
            ]
            ready()
            await until.wait()
            await self._hang_up(servers)

    async def _hang_up(self, servers: Sequence[asyncio.Server]) -> None:
        """Let nobody begin anew, and end every connection: none outlives the loop."""
        for server in servers:
            server.close()
        await asyncio.sleep(_GOODBYE_SECONDS)  # Whoever was let in has begun by now.
        while self._talks:
            for talk in self._talks:
                talk.cancel()
            await asyncio.wait(self._talks)
        await asyncio.sleep(_GOODBYE_SECONDS)  # What was aborted is closed.

    async def treat(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Do with a request what is to become of it; return whether its connection goes on."""
        reply = await self.forward(asked)
        if reply is not None:
            await write(writer, reply.status_code, reply.content, reply.headers)
        return reply is not None

    async def forward(self, asked: Asked) -> httpx.Response | None:
        """Return the server's answer to a request; None where none can be had."""
        try:
            return await self._client.send(asked.request)
        except httpx.HTTPError:
            return None

    async def _listen(self, door: Door, tls: ssl.SSLContext) -> asyncio.Server:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = asyncio.current_task()
            assert talk is not None, "a server begins one for each connection"
            self._talks.add(talk)
            talk.add_done_callback(self._talks.discard)
            await self._converse(door, reader, writer)

        shown = tls if door.tls else None
        try:
            return await asyncio.start_server(
                converse, LOOPBACK, door.port, ssl=shown, limit=_MOST_HEAD
            )
        except OSError as err:
            raise InvalidArgument(f"port {door.port} cannot be had: {err.strerror}") from err

    async def _converse(
        self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Treat the requests of one connection, until one ends it."""
        try:
            while await self.treat(await self._read(door, reader), reader, writer):
                pass
        except _CLOSING:
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            with suppress(*_CLOSING, RuntimeError):
                writer.close()

    async def _read(self, door: Door, reader: asyncio.StreamReader) -> Asked:
        """Read one request; raise IncompleteReadError at the end of the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        named = {name.lower(): value for name, value in named.items()}
        body = await reader.readexactly(int(named.get("content-length", "0")))
        method, path, _ = head[0].split(" ", 2)
        url, kind = door.route(path)
        kept = {n: v for n, v in named.items() if n not in ("host", "connection")}
        request = self._client.build_request(method, url, headers=kept, content=body)
        return Asked(kind=kind, request=request)


def superlink_route(address: Callable[[], str]) -> Callable[[str], tuple[str, str]]:
    """Return the way of paths to a SuperLink at ``HOST:PORT``, and what kind of call each is."""

    def route(path: str) -> tuple[str, str]:
        parts = path.split("/")
        kind = f"{parts[2]}/{parts[-1]}" if len(parts) > 2 else path
        return f"https://{address()}{path}", kind

    return route


async def write(
    writer: asyncio.StreamWriter, status: int, content: bytes, headers: httpx.Headers
) -> None:
    """Write one whole answer."""
    writer.write(head_of(status, len(content), headers) + content)
    await writer.drain()


def head_of(status: int, length: int, headers: httpx.Headers) -> bytes:
    """Return the head of an answer."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in _SKIPPED]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
