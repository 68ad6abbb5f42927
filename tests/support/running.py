"""What a run of the tests says before its end: each failure, and what ran when it was ended.

A summary comes at the end alone; a run that hangs has none, and says nothing to who ends it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import pytest


class Running:
    """A plugin of the process that people see: not of the workers, whose reports come to it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.begun: dict[str, float] = {}

    def write(self, text: str) -> None:
        """Write at once, wherever the reporter writes."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write(text, flush=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note that a test has begun, here or at a worker."""
        self.begun[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that a test has ended."""
        self.begun.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Name a test that failed when it fails."""
        if report.failed:
            self.write(f"\nFAILED {report.nodeid} ({report.when})\n")

    def terminated(self, signum: int, frame: FrameType | None) -> None:
        """Name the tests that run, the longest first, and end as Ctrl-C does."""
        now = time.monotonic()
        for test, begun in sorted(self.begun.items(), key=lambda pair: pair[1]):
            self.write(f"\nended after {now - begun:.0f} s in {test}\n")
        raise KeyboardInterrupt


def announce(config: pytest.Config) -> None:
    """Let a session say these things, unless it is a worker's."""
    if hasattr(config, "workerinput"):
        return
    running = Running(config)
    config.pluginmanager.register(running, "running")
    if config.getoption("numprocesses", None):
        signal.signal(signal.SIGTERM, running.terminated)
