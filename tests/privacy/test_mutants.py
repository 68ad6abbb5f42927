"""Every mutant dies, by each test that is said to kill it; without mutants these tests are green.

A mutant is a change to one file of a copy of the project. Each runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from privacy.mutants.listed import listed
from privacy.mutants.mutant import Mutant
from privacy.mutants.tree import ROOT, Tree

MUTANTS = listed()
NODES = sorted({node for mutant in MUTANTS for node in mutant.killed_by})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Copy the project, once."""
    with Tree(tmp_path_factory.mktemp("tree")) as copied:
        yield copied


def test_the_tests_that_kill_are_green_without_a_mutant(tree: Tree) -> None:
    ran = tree.run(NODES)
    red = [v for v in ran.verdicts if v.outcome == "failed"]
    assert red == [], ran.output
    unseen = [n for n in NODES if not any(v.when == "call" for v in ran.of(n))]
    assert unseen == [], ran.output


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_dies_by_each_test_that_is_named(mutant: Mutant, tree: Tree) -> None:
    with tree.with_mutant(mutant):
        ran = tree.run(mutant.killed_by)
    alive = [node for node in mutant.killed_by if not any(v.asserted for v in ran.of(node))]
    assert alive == [], ran.output


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
            killed_by=("tests/client/test_mask.py",),
        )
        with tree.with_mutant(broken):
            assert not any(v.asserted for v in tree.run(broken.killed_by).verdicts)
