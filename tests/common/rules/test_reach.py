"""Rules over columns that follow from others: what leaves no row is named when a schema is read."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from silosynth.common.errors import InvalidSchema
from silosynth.common.rules import evaluate, holds, parse_rule
from silosynth.common.rules.spell import spell
from silosynth.common.schema import Follows, Schema, parse_schema

NAMED = "contradict one another: no row is left"
REFERENCE = {"r": {"key": "k", "columns": {"k": ["x", "y"], "v": [1, 2]}}}


def number(name: str, low: int = 0, high: int = 100, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "integer", "minimum": low, "maximum": high, **more}


def day(name: str) -> dict[str, Any]:
    ends = {"minimum": "2020-01-01", "maximum": "2020-12-31"}
    return {"name": name, "kind": "datetime", "resolution": "day", **ends}


def schema(attributes: list[dict[str, Any]], rules: list[str], **more: Any) -> Schema:
    attributes = [{"source": "public", **a} for a in attributes]
    return parse_schema({"name": "t", "attributes": attributes, "rules": rules, **more})


A, B, C, D = (number(n, 0, 200 if n == "d" else 100) for n in "abcd")
KEY = {"name": "k", "kind": "categorical", "categories": ["x", "y"], "other": False}
MISSING = number("a", missing=True)
SUM = number("d", 0, 200, missing=True)


@pytest.mark.parametrize(
    ("attributes", "rules"),
    [
        ([A, B, D], ["d = a + b", "d < a"]),
        ([number("a", 1), number("b", 1), D], ["d = a + b", "d <= a"]),
        ([A, B, D], ["d = a + b", "never d >= 0"]),
        ([A, B, D], ["d = a + b", "keep d > 300"]),
        ([A, B, D], ["d = a + b", "keep d > a + b"]),
        ([A, B, D], ["d = a + b", "keep d > 250 or d < 0"]),
        ([A, B, D], ["d = a + b", "keep not (d <= 200)"]),
        ([A, B, D], ["d = a + b", "keep d in (-5, 201)"]),
        ([A, B, C, D], ["c = a + b", "d = c * 2", "keep d = 1"]),
        ([A, B, C, D], ["c = a + b", "d = a - b", "keep c < d"]),
        ([A, B, C], ["c = a - b", "a <= b", "keep c > 0"]),
        ([A, B], ["b = a % 10", "keep b >= 10"]),
        ([A, B], ["b = a // 60", "keep b > 1"]),
        ([A, B, number("d", 0, 10_000)], ["d = a * b", "keep d < 0"]),
        ([number("lo"), number("hi"), number("g", 0, 50)], ["g = difference(hi, lo)", "hi < lo"]),
        (
            [day("s"), day("e"), number("n", 0, 400)],
            ["n = (e - s) / 1 day", "e <= s", "keep n > 0"],
        ),
        ([day("s"), day("e")], ["e = s + 3 days", "keep e < '2020-01-03'"]),
        ([KEY, number("v", 0, 9)], ["v = lookup(r, k)", "keep v > 5"]),
        ([MISSING, B, SUM], ["d = a + b", "keep a null", "keep d not null"]),
        ([MISSING, B, SUM], ["d = a + b", "keep a null", "never d null"]),
        ([MISSING, B, SUM], ["d = a + b", "keep d not null", "never d <= 200"]),
    ],
    ids=lambda value: "; ".join(value) if isinstance(value[0], str) else "",
)
def test_what_contradicts_what_follows_is_named_when_the_schema_is_read(
    attributes: list[dict[str, Any]], rules: list[str]
) -> None:
    references = {"references": REFERENCE} if "lookup" in rules[0] else {}
    with pytest.raises(InvalidSchema, match=NAMED) as caught:
        schema(attributes, rules, **references)
    known = [a["name"] for a in attributes]
    said = [spell(parse_rule(rule, columns=known)) for rule in rules]
    assert all(f"rule {rule!r}" in str(caught.value) for rule in said)
    # Without the last rule there are rows.
    assert schema(attributes, rules[:1], **references).ruled.recipes


def test_what_is_worked_out_beyond_the_bounds_of_its_column_is_named() -> None:
    with pytest.raises(InvalidSchema, match="rule 'c = a \\+ b' leaves nothing within the bounds"):
        schema([A, B, number("c", 500, 600)], ["c = a + b"])
    assert schema([A, B, number("c", 200, 600)], ["c = a + b"])
    # It is not held to them otherwise.
    assert schema([A, B, number("c", 0, 100)], ["c = a + b", "keep a > 90", "keep b > 90"])


_COLUMNS = ("a", "b", "e")


def _side(random: np.random.Generator) -> str:
    """Return a random sum of columns and numbers."""
    parts = [*_COLUMNS, "d", str(random.integers(-3, 7)), "2 * d", "a % 3", "d // 2"]
    chosen = random.choice(parts, size=random.integers(1, 3))
    return " + ".join(chosen).replace("+ -", "- ")


def _line(random: np.random.Generator) -> str:
    """Return a random rule over base columns and the one that is worked out."""
    sign = str(random.choice(["<", "<=", "=", "!=", ">", ">="]))
    said = f"{_side(random)} {sign} {_side(random)}"
    other = f"d {random.choice(['<', '>', '='])} {random.integers(-2, 20)}"
    return str(
        random.choice(
            [
                f"{_side(random)} {random.choice(['<', '<='])} {_side(random)}",
                f"keep {said}",
                f"never {said}",
                f"keep {said} or {other}",
                f"keep not ({said}) and {other}",
                f"never {said} or d null",
                "keep d not null",
                f"a null {random.choice(['iff', 'if', 'unless'])} {other}",
            ]
        )
    )


def _some_row(ruled: Schema, bounds: dict[str, tuple[int, int]]) -> bool:
    """Say by trying all whether a row keeps the rules; what follows has no bounds of its own."""
    facts, (follows,) = (
        ruled.ruled.facts,
        [r for r in ruled.ruled.recipes if isinstance(r, Follows)],
    )
    free = [n for n in (*_COLUMNS, "d") if n != follows.column]
    values = [
        [*range(bounds[n][0], bounds[n][1] + 1), *([np.nan] if facts[n].missing else [])]
        for n in free
    ]
    grid = np.array(list(product(*values)), dtype=np.float64)
    rows = {n: grid[:, i] for i, n in enumerate(free)}
    rows[follows.column] = np.round(evaluate(follows.value, rows=rows))
    low, high = bounds[follows.column]
    found = rows[follows.column]
    # One that never meets them is refused: then nothing is asked of other rules.
    kept = np.isnan(found) | bool(((found >= low) & (found <= high)).any())
    for rule in ruled.ruled.rules:
        kept &= holds(rule, rows=rows, facts=facts)
    return bool(kept.any())


@pytest.mark.parametrize("seed", range(4))
def test_no_rules_that_leave_a_row_are_said_to_leave_none(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small columns, so that every row can be tried; most of what leaves none is found."""
    random = np.random.default_rng(seed)
    found = missed = 0
    bounds = {"a": (0, 4), "b": (1, 3), "e": (-2, 2), "d": (-1, 9)}
    for _ in range(150):
        nullable = set(random.choice(["", *_COLUMNS, "d"], size=2)) | {"a", "d"}
        attributes = [number(n, *ends, missing=n in nullable) for n, ends in bounds.items()]
        value = str(random.choice(["a + b", "a - e", "2 * a", "a * b", "b - e + 1", "a // b"]))
        rules = [f"d = {value}", *(_line(random) for _ in range(random.integers(1, 4)))]
        said = ""
        try:
            schema(attributes, rules)
        except InvalidSchema as err:
            said = err.message
        if said and "no row is left" not in said and "within the bounds" not in said:
            continue
        with monkeypatch.context() as patched:
            patched.setattr(
                "silosynth.common.schema.compiled.ruled.check_reach", lambda *_, **__: None
            )
            try:
                ruled = schema(attributes, rules)
            except InvalidSchema:
                continue
        there = _some_row(ruled, bounds)
        assert not (there and said), (rules, said)
        found, missed = found + bool(said), missed + (not there and not said)
    assert found >= 4
    assert missed <= found, (found, missed)
