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
from typing import Self

from privacy.mutants import fresh, verdicts
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


class Tree:
    """Own a copy of the project, and a process that runs tests in it."""

    def __init__(self, root: Path) -> None:
        """Copy what tests need, with the compiled files: what did not change is not compiled."""
        self.root = root
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, symlinks=True)
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt"):
            shutil.copy2(ROOT / name, root / name)
        self._verdicts, self._output = root / "verdicts.jsonl", root / "output.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-m", fresh.__name__],
            cwd=root,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

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

    def run(self, nodes: Sequence[str]) -> Ran:
        """Run tests in a process of their own, of which nothing is compiled to a file."""
        self._verdicts.unlink(missing_ok=True)
        options = ["-p", verdicts.__name__, "-p", "no:cacheprovider", "-p", "no:xdist"]
        asked = {"arguments": [*options, *nodes], "output": str(self._output)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        self._hear("ended")
        lines = self._verdicts.read_text().splitlines() if self._verdicts.exists() else []
        return Ran(
            verdicts=tuple(
                Verdict(node=node, when=when, outcome=outcome, asserted=asserted)
                for node, when, outcome, asserted in map(json.loads, lines)
            ),
            output=self._output.read_text(),
        )

    def _hear(self, word: str) -> None:
        """Wait for a word of the process."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == word, f"the process that runs tests said {said!r}"

    def _environment(self) -> dict[str, str]:
        """Return an environment in which the copy is imported, and nothing is compiled."""
        paths = (self.root / ".typing", self.root / "tests", self.root)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        return kept | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            verdicts.PLACE: str(self._verdicts),
        }
