"""A page as the process that people start, with what it says at the terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Where a page is, what lets in, and what its process said."""

    address: str
    token: str
    code: str
    log: Path
    pid: int


@contextmanager
def shown(*words: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Shown]:
    """Start a page by its command; yield where it is."""
    command = [sys.executable, "-m", "silosynth.common.cli", *words]
    with log.open("wb") as err:
        process = subprocess.Popen(
            command, stdout=err, stderr=err, cwd="/", env=os.environ | dict(env or {})
        )
    try:
        until = time.monotonic() + patience(30)
        while not (found := re.search(r"the page is at (\S+)/[,\n]", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "the page did not start"
            time.sleep(0.05)
        said = log.read_text()
        yield Shown(
            address=found.group(1),
            token=_word(said, r"with the token (\S+)"),
            code=_word(said, r"with the code ([^;]+);"),
            log=log,
            pid=process.pid,
        )
    finally:
        process.terminate()
        process.wait(patience(20))


def _word(text: str, pattern: str) -> str:
    """Return what a pattern finds; nothing where it finds none."""
    found = re.search(pattern, text)
    return found.group(1) if found else ""
