"""The relay's process, as ``silosynth relay`` turns into it, and whether it does its work.

    python -m silosynth.client.relay.process --superlink host:9092 --silo north ...

A fresh interpreter: the command line has loaded the commands of every installed part by then.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from silosynth.client.relay.first import FirstNode, fork_first_node
from silosynth.client.relay.relay import RelaySettings, serve_relay
from silosynth.client.rpc import is_serving
from silosynth.common.errors import EXIT_BUG, ConnectionFailed, SilosynthError
from silosynth.common.reach import Expiry
from silosynth.common.telemetry import (
    Page,
    Role,
    Telemetry,
    TelemetryServer,
    log,
    start_logging,
    take_in_others,
)

_PAGE_SECONDS = 5.0
_MOST_BYTES = 1_000_000

HEARD_SECONDS = 90.0
"""A SuperNode asks every 3 s, and beats every 30 s while it has work."""


def is_healthy(*, gateway: Path, heard: Path, now: Callable[[], float] = time.time) -> bool:
    """Tell whether letters get from the SuperLink to the gateway now.

    Args: gateway: the gateway's socket. heard: the file whose time is when the SuperLink last
        answered the SuperNode well.
    """
    return _is_recent(heard, now=now()) and is_serving(gateway)


def gateway_pages(metrics: Path) -> Mapping[str, Page]:
    """Return the pages that pass on what a gateway without a network shows on its socket."""
    return {f"/gateway{path}": partial(_fetch, metrics, path) for path in ("/metrics", "/health")}


def _fetch(metrics: Path, path: str) -> tuple[int, bytes]:
    """Ask the gateway for one page; 503 where it does not answer."""
    asking = _UnixConnection(metrics)
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read(_MOST_BYTES)
    except (OSError, HTTPException):
        return 503, b"the gateway does not answer\n"
    finally:
        asking.close()


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PAGE_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PAGE_SECONDS)
        self.sock.connect(str(self._path))


def _is_recent(heard: Path, *, now: float) -> bool:
    """Tell whether the SuperLink answered a short while ago."""
    try:
        return now - heard.stat().st_mtime < HEARD_SECONDS
    except OSError:
        return False


def main(arguments: list[str] | None = None) -> int:
    """Run a relay as the command line says; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        first = fork_first_node()
    except OSError as err:
        sys.stderr.write(f"error: no process can be made for a SuperNode: {err.strerror}\n")
        return ConnectionFailed.exit_code
    start_logging(as_json=options.json_logs)
    if options.json_logs:
        take_in_others(text=True)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        _serve(options, first=first, stopping=stopping)
    except SilosynthError as err:
        sys.stderr.write(f"error: {err}\n")
        return err.exit_code
    except Exception as err:
        log("not-serving", code="bug", exception=type(err).__name__)
        return EXIT_BUG
    return 0


def _serve(options: argparse.Namespace, *, first: FirstNode, stopping: Event) -> None:
    """Serve a relay and its pages."""
    telemetry = Telemetry(role=Role.RELAY)
    with ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="silosynth-heard-"))
        heard = Path(directory) / "heard"
        settings = RelaySettings(
            superlink=options.superlink,
            silo=options.silo,
            gateway=options.gateway,
            key=options.key,
            heard=heard,
            ca=options.ca,
            json_logs=options.json_logs,
        )
        if options.metrics_port is not None:
            stack.enter_context(_pages(options, heard=heard, telemetry=telemetry))
        serve_relay(settings, telemetry=telemetry, first=first, stopping=stopping.is_set)


def _pages(options: argparse.Namespace, *, heard: Path, telemetry: Telemetry) -> TelemetryServer:
    """Return the server of metrics and health."""
    healthy = partial(is_healthy, gateway=options.gateway, heard=heard)
    expiry = Expiry(telemetry, superlink=options.superlink, ca=options.ca)

    def show() -> None:
        telemetry.connected(options.silo, is_connected=healthy())
        expiry.show()

    return TelemetryServer(
        telemetry,
        port=options.metrics_port,
        healthy=healthy,
        before_metrics=show,
        pages=gateway_pages(options.gateway_metrics) if options.gateway_metrics else {},
    )


def _parser() -> argparse.ArgumentParser:
    """Return the options, which ``silosynth relay`` has checked and explains."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--superlink", required=True)
    parser.add_argument("--silo", required=True)
    parser.add_argument("--gateway", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--metrics-port", type=int)
    parser.add_argument("--gateway-metrics", type=Path)
    parser.add_argument("--json-logs", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
