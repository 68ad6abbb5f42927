"""A relay's first SuperNode is forked from it, so that both hold once what both load.

What a relay loads is nearly what a SuperNode loads, and each holds it for the weeks in which
nobody asks. A fork beside gRPC's threads aborts at times, so the first SuperNode is forked while
the relay has one thread, and waits until it is told its options. One that has to be started later
is a fresh interpreter. See docs/decisions/092.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import IO, Any, NoReturn, Protocol

from silosynth.common.flower.lean import be_quiet, spare_sql
from silosynth.common.parents import end_with

SUPERNODE = "silosynth.client.relay.supernode"
_POLL_SECONDS = 0.05
_FAILED = 1


class Node(Protocol):
    """A SuperNode's process: as much of :class:`subprocess.Popen` as a relay asks of it."""

    stdout: IO[bytes] | None

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(slots=True)
class FirstNode:
    """A SuperNode that is loaded and waits for its options. Errors and codes are Popen's."""

    pid: int
    _options: int
    _lines: int
    stdout: IO[bytes] | None = field(init=False, default=None)
    code: int | None = field(init=False, default=None)

    def start(self, words: Sequence[str], *, limits: dict[str, Any], piped: bool) -> None:
        """Let it begin, with Flower's ``words`` and our ``limits`` (see supernode.py).

        ``piped``: what it writes is read from ``stdout``; otherwise it goes where the relay's goes.
        """
        asked = {"words": list(words), "limits": limits, "piped": piped}
        with suppress(BrokenPipeError), os.fdopen(self._options, "wb") as options:
            options.write(json.dumps(asked).encode())
        if piped:
            self.stdout = os.fdopen(self._lines, "rb")
        else:
            os.close(self._lines)

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number after a kill; None while it runs.

        0 where nobody can know it, as where the relay was started with SIGCHLD ignored.
        """
        if self.code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise TimeoutExpired where it still runs after ``timeout`` s."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("SuperNode", timeout or 0)
            time.sleep(_POLL_SECONDS)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def fork_first_node() -> FirstNode:
    """Load what a SuperNode needs and fork the first; call it while there is one thread.

    Guarantees: it ends with this process, whatever ends it, and at once where it is told nothing.
    """
    be_quiet()
    spare_sql()
    import_module(SUPERNODE)
    gc.collect()
    gc.freeze()
    options, lines, parent = os.pipe(), os.pipe(), os.getpid()
    pid = os.fork()
    if not pid:
        os.close(options[1])
        os.close(lines[0])
        _live(options[0], lines[1], parent)
    os.close(options[0])
    os.close(lines[1])
    return FirstNode(pid, options[1], lines[0])


def _live(options: int, lines: int, parent: int) -> NoReturn:
    """Be the SuperNode; whatever happens, never go where the relay goes."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if end_with(parent):
            _begin(options, lines)
    except BaseException as err:
        sys.stderr.write(f"{type(err).__name__} where a SuperNode begins\n")
    finally:
        os._exit(_FAILED)


def _begin(options: int, lines: int) -> None:
    """Wait for the options, and run Flower's SuperNode, which ends this process."""
    with os.fdopen(options, "rb") as told:
        text = told.read()
    if not text:
        return
    asked = json.loads(text)
    _redirect(lines if asked["piped"] else None)
    os.close(lines)
    sys.argv = ["flower-supernode", *asked["words"]]
    import_module(SUPERNODE).main(**asked["limits"])


def _redirect(lines: int | None) -> None:
    """Read nothing, and write where it was said."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if lines is not None:
        os.dup2(lines, 1)
        os.dup2(lines, 2)
