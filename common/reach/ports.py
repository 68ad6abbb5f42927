"""Ports on this machine that servers take up later, and nobody else in between."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _USUAL_END, _TRIES = 20_000, 32_768, 200


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now, which no connection that leaves this machine is given.

    A server takes it up a moment later, and again whenever it is started anew. A port from where
    the system takes those of connections is gone by then now and again. Where it takes them from
    everywhere, any port that is free.
    """
    span = _first_of_connections() - _LOWEST
    for _ in range(_TRIES if span > 0 else 0):
        port = _LOWEST + secrets.randbelow(span)
        if _is_free(host, port):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _first_of_connections() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_END


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
