"""Processes that one launcher forks (see :mod:`forks`), as far as they are needed of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from silosynth.common.errors import RunFailed

_START_SECONDS = 900.0
_END_SECONDS = 30.0


class Forked:
    """A process that the launcher forked: as much of :class:`subprocess.Popen` as is needed.

    It holds its own exit code: a process id comes again once its process is gone.
    """

    def __init__(self, launcher: Launcher, pid: int) -> None:
        self._launcher = launcher
        self.pid = pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or nothing while it runs."""
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        with self._launcher.changed:
            self._launcher.changed.wait_for(lambda: self.code is not None, timeout=timeout)
        if self.code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self.code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.send_signal(signal.SIGKILL)


class Launcher:
    """Own the process that forks all others."""

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str],
        log: Path,
        words: Sequence[str] = (),
        directory: Path | None = None,
    ) -> None:
        """Start a module that ends in ``fork_as_asked``.

        Args:
            log: gets what the launcher itself says.
            words: its own arguments.
            directory: where the module is started; here by default.
        """
        self.changed = threading.Condition()
        self._running: dict[int, Forked] = {}
        self._started: list[Forked] = []
        self._gone = False
        self._asking = threading.Lock()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        kind: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        **files: str,
    ) -> Forked:
        """Fork one process, in the launcher's environment or in one of its own.

        Args: kind: one of the module's entries. files: ``directory``, ``out`` and ``log``.
        Raises RunFailed when the launcher has ended, or stands still.
        """
        asked = {"kind": kind, "arguments": list(arguments), "environment": environment, **files}
        with self._asking:
            self._ask(json.dumps(asked).encode() + b"\n")
            with self.changed:
                self.changed.wait_for(lambda: self._started or self._gone, timeout=_START_SECONDS)
                if not self._started:
                    raise RunFailed("what forks processes does not answer; its log says why")
                return self._started.pop()

    def close(self) -> None:
        """End the launcher and with it all that it forked."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is self._process.stdout:
                self._process.wait(timeout=_END_SECONDS)
                self._reader.join(timeout=_END_SECONDS)
            if pipe is not None:
                pipe.close()

    def _ask(self, line: bytes) -> None:
        """Write one order."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def _read(self) -> None:
        """Take what the launcher says."""
        for line in self._process.stdout or ():
            fact = json.loads(line)
            with self.changed:
                if "started" in fact:
                    process = self._running[fact["started"]] = Forked(self, fact["started"])
                    self._started.append(process)
                else:
                    self._running.pop(fact["ended"]).code = fact["code"]
                self.changed.notify_all()
        with self.changed:
            self._gone = True
            self.changed.notify_all()
