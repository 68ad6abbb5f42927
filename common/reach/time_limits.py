"""Wait for foreign code no longer than a stated time.

A call that blocks cannot be ended from outside in Python; it can be left alone. The thread that
waits for it is a daemon, so it never keeps a process from ending either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

from silosynth.common.errors import ConnectionFailed

T = TypeVar("T")


class Overdue(ConnectionFailed):
    """A call did not return in its time, and is not waited for any more."""


def within(seconds: float, call: Callable[[], T], *, what: str) -> T:
    """Return what ``call`` returns; raise what it raises, and Overdue after ``seconds``.

    Guarantees: it returns or raises within ``seconds``, whatever ``call`` does. A call that is
    overdue goes on by itself, and what it comes to is dropped.

    >>> within(1.0, lambda: 7, what="a number")
    7
    """
    future: Future[T] = Future()
    threading.Thread(target=_settle, args=(future, call), name=what, daemon=True).start()
    if not wait([future], timeout=seconds).done:
        raise Overdue(f"{what} did not return within {seconds:g} s")
    return future.result()


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    """Put what a call comes to into its future."""
    try:
        future.set_result(call())
    except BaseException as err:
        # Whatever it is belongs to the caller: raised here it would end in a thread's traceback.
        future.set_exception(err)


@contextmanager
def repeated(
    look: Callable[[], None], *, name: str, seconds: float, end_seconds: float
) -> Iterator[None]:
    """Call ``look`` in a thread beside the block: at once, and again after so many seconds.

    The end waits ``end_seconds`` at most: a thread that is cut off in the middle of a step may hold
    what the process ends by.
    """
    stop = threading.Event()

    def go() -> None:
        while not stop.is_set():
            look()
            stop.wait(seconds)

    thread = threading.Thread(target=go, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(end_seconds)
