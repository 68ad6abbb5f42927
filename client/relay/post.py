"""How a relay hears that its SuperNode has a message: the SuperNode touches a file.

A SuperNode's server takes as much work to say that there is no task as to hand one out, and a
silo's machine does nothing else for days. So it is asked when a message came, and else seldom.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

COMING_SECONDS = 20.0
"""How long a task may take to be there after its message."""
IDLE_SECONDS = 3.0
"""How long a SuperNode is left alone of which nothing is heard."""


class Post:
    """Own when a SuperNode is asked for a task: it touches a file when a message came for it."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Take the file; ask at once, and until the SuperNode was heard."""
        self._path, self._now = path, now
        self._seen: int | None = None
        self._until = self._next = now()

    def is_due(self) -> bool:
        """Say whether to ask now: there was a message a moment ago, or none for long."""
        now = self._now()
        with suppress(OSError):
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._seen:
                self._seen, self._until = stamp, now + COMING_SECONDS
        return now < self._until or now >= self._next

    def asked(self, *, heard: bool, answered: bool) -> None:
        """Note that it was asked: whether it was ``heard`` at all, and a task was ``answered``.

        It takes one message at a time, so after a task there is none before the next message.
        """
        now = self._now()
        self._next = now + IDLE_SECONDS if heard else now
        if answered:
            self._until = now


def post_of(secret_file: Path) -> Path:
    """Return the file that a SuperNode touches when a message came, in a folder of the relay's."""
    return secret_file.with_name("post")


def touching(path: str | None) -> Callable[[], None]:
    """Return what touches a file; a relay that is not told looks by itself, only later."""

    def touch() -> None:
        if path is not None:
            with suppress(OSError):
                Path(path).touch(mode=0o600)

    return touch
