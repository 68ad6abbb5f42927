"""Print a benchmark's figures, and write them to bench/ROOM/results/NAME.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
QUICK_RESULTS = BENCH / ".peers" / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number, the peer's beside it, and the gate it must pass, if any.

    ``spread`` is half the range over repetitions.
    """

    figure: str
    value: float
    unit: str
    spread: float | None = None
    peer: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def gate(self) -> str | None:
        """Return the gate as text, such as ``<= 300``."""
        bounds = (("<=", self.at_most), (">=", self.at_least))
        texts = [f"{sign} {_short(bound)}" for sign, bound in bounds if bound is not None]
        return " and ".join(texts) or None

    @property
    def ok(self) -> bool:
        """Say whether the gate is passed; a figure without one always is."""
        above = self.at_least is None or self.value >= self.at_least
        below = self.at_most is None or self.value <= self.at_most
        return above and below


def results_of(room: str) -> Path:
    """Return where figures of a room of bench lie; with QUICK=1 under bench/.peers."""
    return QUICK_RESULTS if is_quick() else BENCH / room / "results"


def publish(
    name: str,
    figures: Iterable[Figure],
    *,
    room: str,
    directory: Path | None = None,
    update: bool = False,
) -> int:
    """Print and write the figures; return the exit code: 1 when a gate is missed, else 0.

    The figures of a QUICK=1 run go to bench/.peers/results, so that they never replace full ones.
    With ``update`` the file keeps what it says of other figures.
    """
    figures = tuple(figures)
    directory = directory or results_of(room)
    names = {f.figure for f in figures}
    kept = [f for f in read_facts(name, room=room, directory=directory) if f["figure"] not in names]
    _show(name, figures)
    directory.mkdir(parents=True, exist_ok=True)
    facts = (kept if update else []) + [
        {
            "figure": f.figure,
            "value": f.value if math.isfinite(f.value) else None,
            "spread": f.spread,
            "unit": f.unit,
            "peer": f.peer,
            "gate": f.gate,
            "ok": f.ok,
        }
        for f in figures
    ]
    path = directory / f"{name}.json"
    partial = path.with_suffix(".json.tmp")
    partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    missed = [f.figure for f in figures if not f.ok]
    if missed:
        print(f"{len(missed)} of {len(figures)} figures miss their gate: {'; '.join(missed)}")
    return 1 if missed else 0


def read_facts(name: str, *, room: str, directory: Path | None = None) -> list[dict[str, Any]]:
    """Return what the file of a benchmark says, nothing where there is none."""
    path = (directory or results_of(room)) / f"{name}.json"
    facts: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return facts


def is_quick() -> bool:
    """Say whether QUICK=1 asks for the short form of a benchmark."""
    return os.environ.get("QUICK", "") not in ("", "0")


def _show(name: str, figures: tuple[Figure, ...]) -> None:
    table = Table(title=name, title_justify="left")
    for header in ("figure", "value", "peer", "unit", "gate", "ok"):
        table.add_column(header, justify="right" if header in ("value", "peer") else "left")
    for f in figures:
        peer = "" if f.peer is None else _short(f.peer)
        verdict = "" if f.gate is None else "yes" if f.ok else "NO"
        value = _short(f.value) + ("" if f.spread is None else f" ± {_short(f.spread)}")
        table.add_row(f.figure, value, peer, f.unit, f.gate or "", verdict)
    width = None if (console := Console()).is_terminal else 140
    (console if width is None else Console(width=width)).print(table)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
