"""Kill processes at named points: a trap is a file that says who, where and whom."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """When ``witness`` reaches ``label`` of a plan for the ``nth`` time, ``victims`` die.

    No victims: the witness itself dies.
    """

    witness: str
    label: str
    plan_digest: str
    nth: int = 1
    victims: tuple[int, ...] = ()

    def set(self, directory: Path, *, name: str) -> Path:
        """Set the trap whole; return where it will say that it went off."""
        directory.mkdir(exist_ok=True)
        path = directory / f"{self.witness}~{name}.trap"
        part = path.with_suffix(".part")
        part.write_text(
            json.dumps(
                {
                    "label": self.label,
                    "plan": self.plan_digest,
                    "nth": self.nth,
                    "victims": self.victims,
                }
            )
        )
        part.rename(path)
        return path.with_suffix(".fired")


class Tripwire:
    """Own what one process knows of the traps that are set for it."""

    def __init__(self, directory: Path, *, witness: str) -> None:
        self._directory = directory
        self._pattern = f"{witness}~*.trap"
        self._seen: Counter[tuple[str, str]] = Counter()

    def reach(self, label: str, *, plan_digest: str) -> None:
        """Note that this process is at a point; kill whom a trap for it names."""
        key = (plan_digest, label)
        self._seen[key] += 1
        for path in self._directory.glob(self._pattern):
            trap = _read(path)
            if trap is None or (trap["plan"], trap["label"]) != key:
                continue
            if trap["nth"] == self._seen[key]:
                _spring(path, trap["victims"])


def _read(path: Path) -> dict[str, Any] | None:
    """Return a trap; nothing when it has just gone off."""
    try:
        trap: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return trap


def _spring(path: Path, victims: list[int]) -> None:
    """Say when, and kill as kill -9 does; each trap goes off once."""
    part = path.with_suffix(".at")
    part.write_text(repr(time.time()))
    part.rename(path.with_suffix(".fired"))
    path.unlink()
    for pid in victims or [os.getpid()]:
        os.kill(pid, signal.SIGKILL)
