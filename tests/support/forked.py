"""Processes that one launcher forks (see :mod:`forks`), as far as tests need them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forked:
    """A process that the launcher forked, as far as tests need one.

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
        self, module: str, *, environment: Mapping[str, str], log: Path, words: Sequence[str] = ()
    ) -> None:
        """Start a module that ends in ``fork_as_asked``."""
        self.changed = threading.Condition()
        self._running: dict[int, Forked] = {}
        self._started: list[Forked] = []
        self._gone = False
        self._asking = threading.Lock()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT,
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
        """Fork one process, in the launcher's environment or in one of its own."""
        assert self._process.stdin is not None
        asked = {"kind": kind, "arguments": list(arguments), "environment": environment, **files}
        with self._asking:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            with self.changed:
                self.changed.wait_for(lambda: self._started or self._gone, timeout=120)
                assert self._started, "the launcher ended; its log says why"
                return self._started.pop()

    def close(self) -> None:
        """End the launcher and with it all that it forked."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._reader.join(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        """Take what the launcher says."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
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
