"""A real proxy that takes CONNECT, leads every name to this machine, and counts."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

USER, WORD = "relay", "p@ss:word"
_HEAD_BYTES = 8_192


@dataclass(kw_only=True)
class Proxy:
    """A proxy at ``port``; ``asked`` are the names of the CONNECTs that it let through."""

    port: int
    asked: list[str] = field(default_factory=list)
    turned_away: int = 0

    @property
    def url(self) -> str:
        """Return what goes into HTTPS_PROXY, with the word that it asks for."""
        return f"http://{USER}:p%40ss%3Aword@127.0.0.1:{self.port}"


@contextmanager
def connect_proxy() -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(port=listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, proxy), daemon=True).start()
        yield proxy
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, proxy: Proxy) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_lead, args=(connection, proxy), daemon=True).start()


def _lead(connection: socket.socket, proxy: Proxy) -> None:
    """Take one CONNECT, and move bytes until either side ends."""
    with connection, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
            head += connection.recv(_HEAD_BYTES) or b"\r\n\r\n"
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = [*lines[0].split(" "), "", ""][:3]
        shown = base64.b64encode(f"{USER}:{WORD}".encode()).decode()
        allowed = any(
            line.lower().startswith("proxy-authorization:") and line.endswith(f"Basic {shown}")
            for line in lines
        )
        if method != "CONNECT" or not allowed:
            proxy.turned_away += 1
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        name, _, port = target.rpartition(":")
        with socket.create_connection(("127.0.0.1", int(port))) as there:
            proxy.asked.append(name)
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_move, args=(there, connection), daemon=True)
            back.start()
            _move(connection, there)
            back.join()


def _move(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
