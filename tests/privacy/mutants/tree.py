"""A copy of the project in which one file may be another, and runs of its tests there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from privacy.mutants import verdicts
from privacy.mutants.mutant import Mutant

ROOT = Path(__file__).parents[3]
COPIED = ("client", "common", "server", "simulations", "tests", ".typing", "deploy", "docs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one step of one test ended; ``asserted``: by a claim that failed."""

    node: str
    when: str
    outcome: str
    asserted: bool

    def belongs(self, named: str) -> bool:
        """Say whether this is the named test, or a case of it."""
        return self.node == named or self.node.startswith((f"{named}[", f"{named}::"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a run of named tests."""

    verdicts: tuple[Verdict, ...]
    output: str

    def of(self, named: str) -> tuple[Verdict, ...]:
        """Return the verdicts of a named test."""
        return tuple(v for v in self.verdicts if v.belongs(named))


@dataclass(frozen=True, slots=True)
class Tree:
    """A copy of the project."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> Tree:
        """Copy what tests need, with the compiled files: what did not change is not compiled."""
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, symlinks=True)
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt"):
            shutil.copy2(ROOT / name, root / name)
        return cls(root)

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """Apply a mutant, and take it back."""
        path = self.root / mutant.path
        text, changed = path.read_text(), mutant.mutated(self.root)
        path.write_text(changed)
        try:
            yield
        finally:
            path.write_text(text)

    def run(self, nodes: Sequence[str], *, stop: bool = False) -> Ran:
        """Run tests in a process of their own, of which nothing is compiled to a file."""
        place = self.root / "verdicts.jsonl"
        place.unlink(missing_ok=True)
        paths = (self.root / ".typing", self.root / "tests", self.root)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            verdicts.PLACE: str(place),
        }
        options = ["-p", verdicts.__name__, "-p", "no:cacheprovider", "-p", "no:xdist"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(["-x"] if stop else []), *nodes],
            cwd=self.root,
            env={k: v for k, v in environment.items() if not k.startswith("PYTEST_")},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = place.read_text().splitlines() if place.exists() else []
        return Ran(
            verdicts=tuple(
                Verdict(node=node, when=when, outcome=outcome, asserted=asserted)
                for node, when, outcome, asserted in map(json.loads, lines)
            ),
            output=ended.stdout + ended.stderr,
        )
