"""Kill a piece of work at each step that it takes on the disk, one after the other.

Steps are counted before and after every call that changes what a disk holds or makes it durable,
and before and after every commit of a ledger. The work runs in a child that is forked; what it
leaves is what SIGKILL leaves.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from silosynth.client.ledger.batch import Batch

CALLS = ("fsync", "rename", "replace", "link", "unlink", "mkdir", "open", "write", "chmod")
_MOST = 400


class _Steps:
    """Count steps, and die at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last
        self._lock = threading.Lock()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with a step before it and one after."""

        def stepped(*words: Any, **named: Any) -> Any:
            self._step()
            done = call(*words, **named)
            self._step()
            return done

        return stepped

    def _step(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: str, work: Callable[[Callable[[str], None]], object]) -> int:
    """Do work in a child that dies when a step is reached; return the signal that ended it.

    Args: work: is given what it calls with the name of each step.
    """

    def reached(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            work(reached)
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def killed_everywhere(work: Callable[[], object]) -> Iterator[int]:
    """Yield after each kill, from the first step on; stop once the work ends by itself.

    What is to be looked at between has to be put back by whoever asks: every kill begins anew.
    """
    for step in range(1, _MOST):
        child = os.fork()
        if not child:
            _die_at(step, work)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), "the work failed; see above"
        yield step
        if code == 0:
            return
    raise AssertionError("the work takes more steps than are tried")


def _die_at(step: int, work: Callable[[], object]) -> None:
    """Do the work in this process, and end it."""
    code = 1
    try:
        steps = _Steps(step)
        for name in CALLS:
            setattr(os, name, steps.around(getattr(os, name)))
        Batch.write = steps.around(Batch.write)  # type: ignore[method-assign]  # in a child alone
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
