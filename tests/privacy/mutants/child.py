"""Runs of tests in forked children, whose output goes to a file."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

STOPS = "SILOSYNTH_VERDICT_STOPS"
"""The variable of a child whose tests end with the first claim that fails."""


def fork(run: Callable[[], object], *, output: str) -> int:
    """Call in a child that ends with it, whatever happens; return the child's process id."""
    if child := os.fork():
        return child
    try:
        written = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        for stream in (1, 2):
            os.dup2(written, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        run()
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    raise AssertionError("a child goes no further")


def fork_and_wait(run: Callable[[], object], *, output: str) -> None:
    """Call in a child and return once it has ended."""
    os.waitpid(fork(run, output=output), 0)
