"""What is said of files of tests is said of files that are there."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import NOT_QUICK
from tests.support.dearest import DEAREST, begun_first

TESTS = Path(__file__).parent


def test_every_file_that_is_named_is_there() -> None:
    assert [path for path in DEAREST if not (TESTS.parent / path).is_file()] == []
    assert [path for path in NOT_QUICK if not (TESTS / path).exists()] == []


def test_the_dearest_files_are_begun_first_and_no_test_is_lost() -> None:
    nodes = ["tests/a.py::x", f"{DEAREST[1]}::y", "tests/b.py::x", f"{DEAREST[0]}::z[1]"]
    assert begun_first(nodes) == [3, 1, 0, 2]
