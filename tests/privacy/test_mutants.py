"""Every mutant dies, by each test that is said to kill it; without mutants these tests are green.

A mutant is a change to one file of a copy of the project. Each runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.privacy.mutants.listed import listed
from tests.privacy.mutants.mutant import Mutant
from tests.privacy.mutants.swap import changed_functions, swap
from tests.privacy.mutants.tree import ROOT, Tree

MUTANTS = listed()
NODES = sorted({node for mutant in MUTANTS for node in mutant.killed_by})


@pytest.fixture(scope="module")
def asked(request: pytest.FixtureRequest) -> tuple[Mutant, ...]:
    """Return the mutants of this session: those of one place each, or the others, or all."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    given = [call.params.get("mutant") for call in calls if call is not None]
    return tuple(mutant for mutant in given if isinstance(mutant, Mutant)) or MUTANTS


@pytest.fixture(scope="module")
def tree(asked: tuple[Mutant, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Copy the project, once."""
    with Tree(tmp_path_factory.mktemp("tree"), asked) as copied:
        yield copied


def test_the_tests_that_kill_are_green_without_a_mutant(
    asked: tuple[Mutant, ...], tree: Tree
) -> None:
    """They run as with a mutant, and every function of the mutants' files is put in anew."""
    files = {mutant.path: (tree.root / mutant.path).read_text() for mutant in asked}
    nodes = sorted({node for mutant in asked for node in mutant.killed_by})
    ran = tree.run_warm(nodes, {path: (text, text) for path, text in files.items()}, stops=False)
    red = [v for v in ran.verdicts if v.outcome == "failed"]
    assert red == [], ran.output
    unseen = [n for n in nodes if not any(v.when == "call" for v in ran.of(n))]
    assert unseen == [], ran.output


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_dies_by_each_test_that_is_named(mutant: Mutant, tree: Tree) -> None:
    assert tree.alive(mutant) == {}


def undefined_names(mutants: Sequence[Mutant], folder: Path) -> list[str]:
    for number, mutant in enumerate(mutants):
        (folder / f"{number:04}.py").write_text(mutant.mutated(ROOT))
    asked = ["-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise"]
    told = subprocess.run(
        [sys.executable, *asked, str(folder)], capture_output=True, text=True, check=False
    )
    assert told.returncode in (0, 1), told.stderr
    return [line for line in told.stdout.splitlines() if "F821" in line]


def test_no_mutant_names_what_there_is_not(tmp_path: Path) -> None:
    """One that raises NameError dies of that, and says nothing of the line that it changes."""
    (tmp_path / "all").mkdir()
    assert undefined_names(MUTANTS, tmp_path / "all") == []
    known = next(m for m in MUTANTS if m.name == "a key is pinned for any silo")
    broken = replace(known, new="if nothing_of_this_name:")
    (tmp_path / "one").mkdir()
    assert len(undefined_names([broken], tmp_path / "one")) == 1


def test_a_change_that_fits_nowhere_or_twice_is_none() -> None:
    twice = Mutant(name="x", path="tests/conftest.py", old="import", new="", killed_by=("x",))
    with pytest.raises(ValueError, match="times in"):
        twice.mutated(ROOT)
    with pytest.raises(ValueError, match="0 times"):
        Mutant(name="x", path="LICENSE", old="\0", new="", killed_by=("x",)).mutated(ROOT)


def test_a_test_that_cannot_run_kills_nothing(tree: Tree) -> None:
    """A mutant that breaks the import, or makes a test raise, is no proof of anything."""
    kept = "from __future__ import annotations"
    for new in (f"{kept}\nimport nothing_of_this_name", f"{kept}\nraise RuntimeError"):
        broken = Mutant(
            name="broken",
            path="client/sums/mask.py",
            old=kept,
            new=new,
            killed_by=("tests/client/sums/test_mask.py",),
        )
        with tree.with_mutant(broken):
            assert not tree.run(broken.killed_by).claims_fail


def test_a_mutant_that_no_named_test_notices_is_told(tree: Tree) -> None:
    """It is asked in the imported project first, and then in one that is imported anew."""
    named = next(node for node in NODES if node.startswith("tests/client/sums/test_mask.py::"))
    harmless = Mutant(
        name="harmless",
        path="client/sums/mask.py",
        old="subtract=own > peer",
        new="subtract=peer < own",
        killed_by=(named,),
    )
    assert tree.alive(harmless)[named].startswith("green with the mutant")


MODULE = """
LIMIT = 3
class Kept:
    most = LIMIT
    def take(self, count=1):
        return [count + one for one in range(LIMIT)]
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("most = LIMIT", "most = 2"),
        ("count=1", "count=2"),
        ("    def", "    @property\n    def"),
        ("count=1", "count=1, more=()"),
        ("take", "took"),
    ],
)
def test_what_happens_at_import_is_no_change_of_functions_alone(old: str, new: str) -> None:
    assert changed_functions(MODULE, MODULE.replace(old, new)) is None


def test_a_change_within_a_function_is_found_at_its_place() -> None:
    found = changed_functions(MODULE, MODULE.replace("count +", "count -"))
    assert found is not None
    assert [place for place in found if place[0] == "Kept.take"] == [("Kept.take", 5)]
    taken: dict[str, Any] = {}
    exec(MODULE, taken)
    swap([taken["Kept"].take], found)
    assert taken["Kept"]().take() == [1, 0, -1]
