"""What is said of files of tests is said of files that are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NOT_QUICK
from tests.privacy.mutants.listed import places
from tests.support.dearest import DEAREST, begun_first
from tests.support.deep import (
    KEPT_MUTANTS,
    MATRICES,
    TWICE,
    Depth,
    Matrix,
    chosen,
    is_deep,
    unwatched,
)
from tests.support.patience import patience

TESTS = Path(__file__).parent


def test_every_file_that_is_named_is_there() -> None:
    assert [path for path in DEAREST if not (TESTS.parent / path).is_file()] == []
    assert [path for path in NOT_QUICK if not (TESTS / path).exists()] == []


def test_the_dearest_files_are_begun_first_and_no_test_is_lost() -> None:
    nodes = ["tests/a.py::x", f"{DEAREST[1]}::y", "tests/b.py::x", f"{DEAREST[0]}::z[1]"]
    assert begun_first(nodes) == [3, 1, 0, 2]


# What is run every time, and what is run deep


CELLS = Matrix(cells=("tests/a.py::m", "tests/b.py"), kept=("tests/a.py::m[one]", "tests/a.py::k*"))
NODES = [f"tests/{n}" for n in ("a.py::m[one]", "a.py::m[two]", "a.py::kept", "b.py::x", "b.py::y")]


def test_every_deep_matrix_names_tests_that_are_there_and_has_a_cell_in_every_run() -> None:
    """What a case is called is looked at where its file is collected: see conftest."""
    for name in [n for matrix in MATRICES for n in (*matrix.cells, *matrix.kept)] + [*TWICE]:
        path, _, test = name.partition("::")
        text = (TESTS.parent / path).read_text()
        assert f"\ndef {test.partition('[')[0].rstrip('*')}" in text, name
    kept = [name.rstrip("*") for matrix in MATRICES for name in matrix.kept]
    assert [name for name in (*kept, *TWICE) if is_deep(name)] == []


def test_every_place_of_mutants_has_one_in_every_run() -> None:
    for place, mutants in places().items():
        assert {m.name for m in mutants} & {*KEPT_MUTANTS}, place


def test_each_depth_takes_its_tests_and_both_take_all() -> None:
    assert [CELLS.has(node) for node in NODES] == [False, True, False, True, True]
    everything = [node for matrix in MATRICES for node in (*matrix.cells, *matrix.kept)]
    usual, deep = (chosen(everything, depth=d, named=()) for d in (Depth.USUAL, Depth.DEEP))
    assert [a or b for a, b in zip(usual, deep, strict=True)] == [True] * len(everything)
    assert chosen(everything, depth=Depth.ALL, named=()) == [True] * len(everything)
    node = MATRICES[0].cells[0]
    assert chosen([f"{node}[any]"], depth=Depth.USUAL, named=()) == [False]
    assert chosen([f"{node}[any]"], depth=Depth.USUAL, named=[node]) == [True], "it was asked for"


def test_a_matrix_that_nobody_watches_is_refused() -> None:
    assert unwatched(NODES, matrices=[CELLS], twice=()) == []
    assert unwatched(NODES[1:], matrices=[CELLS], twice=()) == ["tests/a.py::m[one]"]
    assert unwatched(NODES[:3], matrices=[CELLS], twice=()) == [], "a file that was not collected"
    other = Matrix(cells=("tests/a.py::k*",), kept=("tests/b.py::x",))
    left = unwatched(NODES, matrices=[CELLS, other], twice=())
    assert left == ["tests/a.py::k*", "tests/b.py::x"], "what is kept is no cell of another"
    with pytest.raises(ValueError, match="nothing watches"):
        Matrix(cells=("tests/a.py",), kept=())


def test_continuous_integration_runs_both() -> None:
    run = (TESTS.parent / ".ci/run").read_text()
    assert "\nmake test DEPTH=--all\nmake wheel\n" in run
    assert "\nmake test-flower FLWR=1.41 " in run, "the pin is the other version of Flower"
    targets = (TESTS.parent / "Makefile").read_text()
    (test,) = re.findall(r"^test:.*\n((?:\t.*\n)+)", targets, re.MULTILINE)
    (suite,) = re.findall(r"^suite:.*\n((?:\t.*\n)+)", targets, re.MULTILINE)
    (deep,) = re.findall(r"^deep:.*\n((?:\t.*\n)+)", targets, re.MULTILINE)
    assert "--deep" in deep
    assert {"suite", "types"} <= {*test.split()}
    assert suite.strip() == "$(BIN)/python -m pytest $(WORKERS) $(DEPTH)", "all that is not deep"


def test_what_a_failure_says_is_cut_short_in_continuous_integration_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, the difference of these two lists takes longer to write than the suite takes."""
    monkeypatch.setenv("CI", "true")
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    lines = [
        "def test_x() -> None:",
        "    assert [*range(9_000)] == [n + 9_000 for n in range(9_000)]",
    ]
    (tmp_path / "test_x.py").write_text("\n".join(lines))
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            str(tmp_path / "test_x.py"),
        ],
        cwd=TESTS.parent,
        capture_output=True,
        timeout=patience(60),
    )
    assert ran.returncode == 1, ran.stdout
    assert len(ran.stdout) < 4_000
