"""Runs that were done before are kept under bench/.peers, by what they ran and by all its code."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from typing import Any

from bench.peers.run import CACHE
from bench.support.results import ROOT

ROOMS = (
    *("server/families", "common/families", "common/forest", "common/generated", "common/tables"),
    *("client/families", "bench/families"),
)
"""Where the code of a run lies."""


def run_kept(module: str, asked: list[Any]) -> dict[str, float]:
    """Return what a module prints of a question, by a process of its own, or what it printed.

    A bench that was stopped goes on where it was; one whose code changed begins again.
    """
    question = json.dumps(asked)
    digest = hashlib.sha256(f"{module} {question} {_code()}".encode()).hexdigest()[:16]
    target = CACHE / f"families-{digest}.json"
    if not target.exists():
        command = [sys.executable, "-m", module, question]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".tmp")
        partial.write_text(done.stdout, encoding="utf-8")
        partial.replace(target)
    found: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return found


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
