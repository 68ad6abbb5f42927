"""The pages that operators watch: metrics and health, on loopback or on a Unix socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_UNIX
from socket import socket as Socket
from socketserver import TCPServer
from threading import Thread
from types import TracebackType
from typing import Self

from silosynth.common.errors import InvalidArgument
from silosynth.common.telemetry.telemetry import Telemetry

Page = Callable[[], tuple[int, bytes]]
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class TelemetryServer:
    """Own a loopback port, or a Unix socket, that serves ``/metrics`` and ``/health``.

    ``pages`` are more of them, by path: what each returns as status and text.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        port: int | Socket,
        host: str = "127.0.0.1",
        healthy: Callable[[], bool] = lambda: True,
        before_metrics: Callable[[], None] = lambda: None,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        """Bind the port (0 picks a free one), or take a listening socket; answer in a thread.

        Args: before_metrics: states what is worked out when it is asked for, and not before.
        Raises InvalidArgument when the address is not a loopback one, or the port is taken.
        """
        if not ip_address(host).is_loopback:
            raise InvalidArgument(
                f"metrics are served on loopback addresses alone, not on {host}",
                hint="let a reverse proxy with authentication publish them",
            )
        answering = _handler(telemetry, healthy, before_metrics, pages or {})
        try:
            self._server = (
                _Server((host, port), answering)
                if isinstance(port, int)
                else _SocketServer(port, answering)
            )
        except OSError as err:
            raise InvalidArgument(
                f"the metrics port {port} cannot be used: {err.strerror}", hint="choose another"
            ) from err
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the port."""
        self.close()

    def close(self) -> None:
        """Free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Bind without asking the name service who this machine is, which can take seconds."""

    def server_bind(self) -> None:
        """Bind the port."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class _SocketServer(_Server):
    """Answer on a Unix socket that listens already; no other kind is opened on the way."""

    address_family = AF_UNIX

    def __init__(self, listener: Socket, answering: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("", 0), answering, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def _handler(
    telemetry: Telemetry,
    healthy: Callable[[], bool],
    before_metrics: Callable[[], None],
    more: Mapping[str, Page],
) -> type[BaseHTTPRequestHandler]:
    """Return the handler of the two pages."""

    def metrics() -> tuple[int, bytes]:
        before_metrics()
        return 200, telemetry.text()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages: dict[str, Page] = {
                **more,
                "/metrics": metrics,
                "/health": lambda: (200, b"ok\n") if healthy() else (503, b"not ready\n"),
            }
            page = pages.get(self.path)
            status, body = page() if page is not None else (404, b"not found\n")
            self.send_response(status)
            self.send_header("Content-Type", _TEXT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a scrape is no event."""

    return Handler
