"""What is said of files of tests is said of files that are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NOT_QUICK
from tests.support.dearest import DEAREST, begun_first
from tests.support.patience import patience

TESTS = Path(__file__).parent


def test_every_file_that_is_named_is_there() -> None:
    assert [path for path in DEAREST if not (TESTS.parent / path).is_file()] == []
    assert [path for path in NOT_QUICK if not (TESTS / path).exists()] == []


def test_the_dearest_files_are_begun_first_and_no_test_is_lost() -> None:
    nodes = ["tests/a.py::x", f"{DEAREST[1]}::y", "tests/b.py::x", f"{DEAREST[0]}::z[1]"]
    assert begun_first(nodes) == [3, 1, 0, 2]


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
