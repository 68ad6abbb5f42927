"""Kinds of attribute have one home: nothing outside of it asks which kind an attribute is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from silosynth.common.codec import KINDS
from silosynth.common.schema import json_schema

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
HOME = ("common/schema/", "common/codec/")
KIND = re.compile(r"^([A-Z]\w*)?Attribute$")
MOST_NAMED = 20
"""Places outside of the home that compare ``kind`` with a word."""


Outside = dict[Path, list[ast.AST]]


@pytest.fixture(scope="module")
def outside() -> Outside:
    """Return what a ladder, a table or a group is made of, in each file outside of their home."""
    found = [p for part in PARTS for p in (ROOT / part).rglob("*.py")]
    apart = [p for p in found if not p.relative_to(ROOT).as_posix().startswith(HOME)]
    looked_at = ast.Call | ast.Compare | ast.Dict | ast.Assign
    return {
        p: [n for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, looked_at)]
        for p in apart
    }


def _names(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def test_no_ladder_over_kinds_stands_outside_of_their_home(outside: Outside) -> None:
    for path, nodes in outside.items():
        for node in nodes:
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {name for name in _names(node.args[1]) if KIND.match(name)}
                assert not asked, f"{path.relative_to(ROOT)}:{node.lineno}: {asked}"


def test_few_places_outside_compare_a_kind_with_a_word(outside: Outside) -> None:
    named = [
        path
        for path, nodes in outside.items()
        for node in nodes
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Attribute)
        and node.left.attr == "kind"
        and {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)} & set(KINDS)
    ]
    assert len(named) <= MOST_NAMED, sorted({str(p.relative_to(ROOT)) for p in named})


def test_every_kind_of_a_schema_has_its_module() -> None:
    mapping = json_schema()["properties"]["attributes"]["items"]["discriminator"]["mapping"]
    assert set(mapping) == set(KINDS)


def test_no_table_by_kind_stands_outside_of_their_home(outside: Outside) -> None:
    """Importers tell other tools' words apart, some of which are ours."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path, nodes in outside.items()
        for node in nodes
        if isinstance(node, ast.Dict)
        and len({k.value for k in node.keys if isinstance(k, ast.Constant)} & set(KINDS)) > 2
    ]
    assert [name for name in found if not name.startswith("common/importers/")] == []


def test_no_group_of_kinds_is_made_outside_of_their_home(outside: Outside) -> None:
    for path, nodes in outside.items():
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
                group = {name for name in _names(node.value) if KIND.match(name)}
                assert not group, f"{path.relative_to(ROOT)}:{node.lineno}: {group}"
