"""Whether a relay does its work: its gateway answers, and its SuperNode hears the SuperLink."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from silosynth.client.rpc.caller import is_serving

HEARD_SECONDS = 90.0
"""A SuperNode asks every 3 s, and beats every 30 s while it has work."""


def is_healthy(*, gateway: Path, heard: Path, now: Callable[[], float] = time.time) -> bool:
    """Tell whether letters get from the SuperLink to the gateway now.

    Args: gateway: the gateway's socket. heard: the file whose time is when the SuperLink last
        answered the SuperNode well.
    """
    return _is_recent(heard, now=now()) and is_serving(gateway)


def _is_recent(heard: Path, *, now: float) -> bool:
    """Tell whether the SuperLink answered a short while ago."""
    try:
        return now - heard.stat().st_mtime < HEARD_SECONDS
    except OSError:
        return False
