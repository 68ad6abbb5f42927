"""Whether a relay does its work: its gateway answers, and its SuperNode hears the SuperLink."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from silosynth.client.rpc import is_serving
from silosynth.common.telemetry import Page

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
