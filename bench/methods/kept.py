"""Runs that were done before are kept under bench/.peers, by what they ran and by its code."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bench.peers.run import CACHE
from bench.support.results import ROOT

_BOTH = ("server/methods/marginals.py", "server/methods/budget.py", "bench/methods/once.py")
_DRAW = ("common/sampler/conditional.py", "common/sampler/draw.py")
_PAIRS = (*_BOTH, *_DRAW, "server/mixture", "common/sampler/mixture.py")
_MIXED = ("server/methods/mixed.py", "server/measuring")
_TREES = (*_BOTH, *_DRAW, "server/model", "server/measuring")
CODE = {
    "independent": (*_TREES, "server/methods/independent.py"),
    "mst": (*_TREES, "server/methods/mst.py"),
    "aim": (*_TREES, "server/methods/aim", "server/mixture", *_MIXED),
    "mixture": (*_PAIRS, "server/methods/mixture.py", *_MIXED),
    "copula": (*_PAIRS, "server/methods/copula.py"),
    "one-shot": ("server/methods/training.py", "server/generator", "common/sampler/mixture.py"),
    "real": ("bench/methods/once.py",),
}
"""By method, where the code of a run lies; a run is done again when it changed."""

MOST_SECONDS = 240
TOO_LONG = "over"
"""In the place of figures: a run was stopped after so many seconds."""


def run_kept(table: str, method: str, *, epsilon: float, silos: int, seed: int) -> dict[str, float]:
    """Return what a run gave, in a process of its own, or what it gave before."""
    asked = [table, method, epsilon, silos, seed]
    target = place_of(asked)
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".tmp")
        partial.write_text(json.dumps(_run(asked)), encoding="utf-8")
        partial.replace(target)
    found: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return found


def find_kept(
    table: str, method: str, *, epsilon: float, silos: int, seed: int
) -> dict[str, float] | None:
    """Return what a run gave before, if it was done."""
    target = place_of([table, method, epsilon, silos, seed])
    return json.loads(target.read_text(encoding="utf-8")) if target.exists() else None


def place_of(asked: list[Any]) -> Path:
    """Return where the figures of a run are kept."""
    question = json.dumps(asked)
    digest = hashlib.sha256(f"{question} {_code(asked[1])}".encode()).hexdigest()[:16]
    return CACHE / f"methods-{digest}.json"


def _run(asked: list[Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.methods.once", json.dumps(asked)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {TOO_LONG: MOST_SECONDS}
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, asked))} ended with {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


@cache
def _code(method: str) -> str:
    digest = hashlib.sha256()
    for path in _files(ROOT / room for room in CODE[method]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(rooms: Iterable[Path]) -> list[Path]:
    return sorted(p for room in rooms for p in ([room] if room.is_file() else room.rglob("*.py")))
