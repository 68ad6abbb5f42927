"""A copy of the project in which one file may be another, and runs of its tests there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.privacy.mutants import fresh, verdicts
from tests.privacy.mutants.mutant import Mutant
from tests.privacy.mutants.swap import changed_functions
from tests.privacy.mutants.warm import belongs

ROOT = Path(__file__).parents[3]
OPTIONS = (
    *("-p", verdicts.__name__, "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of hypothesis, which is imported before
)
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
        return belongs(self.node, named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a run of named tests."""

    verdicts: tuple[Verdict, ...]
    output: str

    def of(self, named: str) -> tuple[Verdict, ...]:
        """Return the verdicts of a named test."""
        return tuple(v for v in self.verdicts if v.belongs(named))

    @property
    def claims_fail(self) -> bool:
        """Say whether a test failed by a claim."""
        return any(v.asserted for v in self.verdicts)

    @property
    def is_green(self) -> bool:
        """Say whether tests ran, and none failed."""
        ran = any(v.when == "call" for v in self.verdicts)
        return ran and all(v.outcome != "failed" for v in self.verdicts)


class Tree:
    """Own a copy of the project, and a process that runs tests in it."""

    def __init__(self, root: Path, mutants: Sequence[Mutant]) -> None:
        """Copy what tests need, with the compiled files: what did not change is not compiled."""
        self.root = root
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, symlinks=True)
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt"):
            shutil.copy2(ROOT / name, root / name)
        self._verdicts, self._output = root / "verdicts.jsonl", root / "output.txt"
        self._green: set[str] = set()
        self._anew = sorted({n for m in mutants if not self._changes(m) for n in m.killed_by})
        warm = {
            "options": [*OPTIONS, *sorted({node for m in mutants for node in m.killed_by})],
            "files": sorted({str(root / m.path) for m in mutants}),
            "output": str(root / "collected.txt"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", fresh.__name__, json.dumps(warm)],
            cwd=root,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._hear("ready")
        except EOFError:
            self.__exit__()
            raise

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
        """Apply a mutant to its file, and take it back."""
        path = self.root / mutant.path
        text, changed = path.read_text(), mutant.mutated(self.root)
        path.write_text(changed)
        try:
            yield
        finally:
            path.write_text(text)

    def alive(self, mutant: Mutant) -> dict[str, str]:
        """Return the tests that a mutant names and that do not fail by a claim, with their output.

        Where it changes functions alone they are changed in a project that is imported already.
        What does not die by that is imported anew, and dies of what was green just before.
        """
        changes, found = self._changes(mutant), {}
        for node in mutant.killed_by:
            with self.with_mutant(mutant):
                dead = changes and self.run_warm([node], changes, stops=True).claims_fail
            if not dead and (said := self._survives_anew(node, mutant)):
                found[node] = said
        return found

    def _changes(self, mutant: Mutant) -> dict[str, tuple[str, str]]:
        """Return the text of the mutant's file and its other text, if functions alone differ."""
        text, changed = (self.root / mutant.path).read_text(), mutant.mutated(self.root)
        return {mutant.path: (text, changed)} if changed_functions(text, changed) else {}

    def _survives_anew(self, node: str, mutant: Mutant) -> str:
        """Say what a test said that does not notice a mutant, or is red without it as well."""
        if said := self._red_anew(node):
            return f"red without a mutant: {said}"
        with self.with_mutant(mutant):
            ran = self.run([node], stops=True)
        return "" if ran.claims_fail else f"green with the mutant: {ran.output}"

    def _red_anew(self, node: str) -> str:
        """Say what a test said that is not green anew; those that are surely asked, in one run."""
        if node in self._green:
            return ""
        nodes = self._anew if node in self._anew else [node]
        ran = self.run(nodes)
        if not ran.is_green or not all(ran.of(named) for named in nodes):
            return ran.output
        self._green |= {*nodes}
        return ""

    def run_warm(
        self, nodes: Sequence[str], changes: Mapping[str, tuple[str, str]], *, stops: bool
    ) -> Ran:
        """Run tests that were collected before, with other texts of some files.

        Args: changes: by path the text of a file, and its other text; they differ in functions.
        """
        return self._ask({"nodes": list(nodes), "changes": changes, "stops": stops})

    def run(self, nodes: Sequence[str], *, stops: bool = False) -> Ran:
        """Run tests in a process that imports the project anew, and compiles nothing to a file."""
        return self._ask({"arguments": [*OPTIONS, *nodes], "stops": stops})

    def _ask(self, asked: dict[str, Any]) -> Ran:
        """Let tests run and return what came of it."""
        self._verdicts.unlink(missing_ok=True)
        self._output.unlink(missing_ok=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked | {"output": str(self._output)}) + "\n")
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
        if said != word:
            output = self.root / "collected.txt"
            told = output.read_text() if output.exists() else ""
            raise EOFError(f"the process that runs tests said {said!r}: {told}")

    def _environment(self) -> dict[str, str]:
        """Return an environment in which the copy is imported, and nothing is compiled."""
        paths = (self.root / ".typing", self.root)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        return kept | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            verdicts.PLACE: str(self._verdicts),
        }
