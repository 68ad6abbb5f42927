"""Processes that end with the one that began them."""

from __future__ import annotations

import ctypes
import os
import signal

_DIE_WITH_PARENT = 1  # of prctl


def end_with(parent: int) -> bool:
    """Let the kernel kill this process when its parent ends; return whether that is still there."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    return os.getppid() == parent
