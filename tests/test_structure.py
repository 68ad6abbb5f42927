"""The tree is as README draws it, and no harder to find one's way in than it was."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from bench.__main__ import module_of
from tests.structure import GATES, LEAST, ROOT, fan_outs, figures, written

# What is over its gate today may not grow; a figure that falls is lowered here.
CEILINGS = {
    "fullest folder": 14,
    "longest import chain": 12,
    "modules in circles": 0,
    "largest fan-out": 15,
    "most parameters of a command": 12,
    "modules that spell sigma2": 8,
    "median lines of a function": 8,
    "p90 lines of a function": 22,
    "median lines of a file": 250,
    "largest file": 400,
}
PATH = re.compile(r"`((?:common|client|server|simulations|tests|bench)/[\w/.-]+)`")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_draws_the_rooms_that_are_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == written(readme), "run 'make structure'"


def test_no_figure_of_the_tree_is_worse_than_it_was() -> None:
    found = figures()
    assert found.keys() == CEILINGS.keys()
    assert {name: value for name, value in found.items() if value > CEILINGS[name]} == {}


def test_no_module_imports_more_than_the_gate() -> None:
    assert {name: n for name, n in fan_outs().items() if n > GATES["largest fan-out"]} == {}


def test_half_of_all_files_are_a_whole_thought() -> None:
    found = figures()
    assert {name: found[name] for name, least in LEAST.items() if found[name] < least} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_files_that_are_there(page: Path) -> None:
    named = PATH.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_code_map_names_files() -> None:
    text = (ROOT / "docs" / "explanation" / "code-map.md").read_text(encoding="utf-8")
    assert len(PATH.findall(text)) > 30


# Tests and benchmarks


# Not what peers have installed.
SHARED = [
    path
    for part in ("tests", "bench")
    for path in (ROOT / part).rglob("*.py")
    if ".peers" not in path.parts
]
PARTS_OF = {p.stem for p in SHARED} | {p.parent.name for p in SHARED} - {"tests", "bench"}
BARE = PARTS_OF - sys.stdlib_module_names
PATHS = re.compile(r"\bsys\.path(\s*\+?=[^=]|\.(append|insert|extend)\b)")
MENDS_PATHS = {
    "bench/generators/step.py": "a peer's packages, on the project's own PyTorch",
    "tests/check_wheel.py": "the wheel that is tried",
}


def _imported(path: Path) -> set[str]:
    """Return the first words of what a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    return found


def test_what_tests_share_is_imported_by_its_full_name() -> None:
    bare = {p.relative_to(ROOT).as_posix(): _imported(p) & BARE for p in SHARED}
    assert {name: words for name, words in bare.items() if words} == {}
    found = {p.relative_to(ROOT).as_posix() for p in SHARED if PATHS.search(p.read_text())}
    assert found == MENDS_PATHS.keys()


def test_a_room_s_tests_stand_in_a_folder_of_its_name() -> None:
    rooms = {p.parent.relative_to(ROOT).as_posix() for p in ROOT.glob("*/*/__init__.py")}
    folders = {p.parent for p in (ROOT / "tests").glob("*/*/test_*.py")}
    mirrored = {f.relative_to(ROOT / "tests").as_posix() for f in folders}
    assert mirrored <= rooms
    assert len(mirrored) > 40
    for part in ("client", "server"):
        assert list((ROOT / "tests" / part).glob("test_*.py")) == []


def test_benchmarks_are_found_by_the_names_in_their_page() -> None:
    page = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"make bench-([\w-]+)", page)) - {"setup"}
    assert len(names) > 10
    for name in names:
        assert module_of(name).startswith("bench.")
