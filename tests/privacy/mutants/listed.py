"""Find the mutants of every place."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.privacy.mutants.mutant import Mutant

HERE = Path(__file__).parent
MACHINERY = {"__init__", "child", "fresh", "listed", "mutant", "swap", "tree", "verdicts", "warm"}


def places() -> dict[str, tuple[Mutant, ...]]:
    """Return the mutants of each place."""
    found = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in MACHINERY)
    return {
        place: importlib.import_module(f"tests.privacy.mutants.{place}").MUTANTS for place in found
    }


def listed() -> tuple[Mutant, ...]:
    """Return the mutants of all places; raise ValueError where two share a name."""
    found = [mutant for mutants in places().values() for mutant in mutants]
    names = [mutant.name for mutant in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two mutants are called {twice}")
    return tuple(found)
