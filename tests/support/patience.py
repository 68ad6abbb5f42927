"""How long to wait for what must happen, on this machine and beside whatever else runs on it.

No test's verdict hangs on how fast the machine is: what must not take long is either counted in a
unit that is measured beside it, or only guarded against a hang, by a deadline far beyond any load.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

GENEROUS = 10.0
"""Deadlines that pass by unseen are so many times what was measured: load comes and goes."""

_QUIET_SECONDS = 0.05
"""What starting Python and counting to a million take on a quiet machine of the slower kind."""

_KEPT_SECONDS = 20.0
_QUIET_UNIT_SECONDS = 0.01


def slowness() -> float:
    """Return how many times slower than a quiet machine this one is now, at least 1.

    Measured in a process of its own, as what tests wait for are processes; kept for 20 seconds.
    """
    return _measured(int(time.monotonic() / _KEPT_SECONDS))


def patience(seconds: float) -> float:
    """Return a deadline that only a hang meets, for what takes ``seconds`` on a quiet machine."""
    return seconds * slowness() * GENEROUS


def paced(seconds: float) -> float:
    """Return ``seconds`` of a quiet machine on this one, for what a test really waits for."""
    return seconds * slowness()


@contextmanager
def cheap(*, units: float) -> Iterator[None]:
    """Fail when what is done takes more than ``units`` of 10 ms of a quiet machine's processor.

    Measured in the processor's time of this process. What is above is compared with the same work
    done here and now: what else runs takes caches away and makes every instruction slower.
    """
    started = time.process_time()
    yield
    spent = time.process_time() - started
    if spent > units * _QUIET_UNIT_SECONDS:
        unit = max(_unit() for _ in range(5))
        assert spent <= units * unit, f"{spent / unit:.1f} units of {1000 * unit:.0f} ms were spent"


@lru_cache(maxsize=1)
def _measured(_: int) -> float:
    started = time.monotonic()
    code = "for _ in range(1_000_000): pass"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], check=True)
    return max(1.0, (time.monotonic() - started) / _QUIET_SECONDS)


def _unit() -> float:
    """Return the processor's seconds of work that takes about 10 ms on a quiet machine."""
    started = time.process_time()
    sum(i * i for i in range(150_000))
    return time.process_time() - started
