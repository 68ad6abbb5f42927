"""Rules of several kinds beside one another, over names of many scripts: drawn rows keep them."""

from __future__ import annotations

from typing import Any

import pytest

from silosynth.common.codec import keeps_rules
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import parse_schema
from silosynth.server.dummy import dummy_sampler

REFERENCES = {
    "towns": {"key": "stadt", "columns": {"stadt": ["Zürich", "Łódź"], "land": ["CH", "PL"]}},
    "pairs": {"columns": {"stadt": ["Zürich", "Łódź"], "land": ["CH", "PL"]}},
}


def number(name: str, high: int = 100, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "integer", "minimum": 0, "maximum": high, **more}


def day(name: str, first: str = "2020-01-01", **more: Any) -> dict[str, Any]:
    ends = {"minimum": first, "maximum": "2020-12-31", "resolution": "day"}
    return {"name": name, "kind": "datetime", **ends, **more}


def listed(name: str, *words: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "categories": list(words), "other": False, **more}


def maybe(*names: str) -> list[dict[str, Any]]:
    return [number(n, missing=True) for n in names]


@pytest.mark.parametrize(
    ("attributes", "rules"),
    [
        (
            [day("a", missing=True), day("b", missing=True), day("c", missing=True)],
            ["a < b <= c", "null together: a, b", "c null if a null", "keep c <= '2020-06-30'"],
        ),
        (
            [*maybe("a", "b", "c"), listed("k", "x", "y")],
            ["a null iff k = 'x'", "b null if a null", "null together: b, c", "c <= b"],
        ),
        (
            [number("a"), number("b"), number("s", 200), number("h")],
            ["s = a + b", "h = s // 2", "h <= 80"],
        ),
        (
            [day("birth", "1930-01-01"), day("visit"), number("age", 120)],
            ["birth <= visit", "age = (visit - birth) // 365.25 days", "keep age >= 18"],
        ),
        ([day("s"), day("e")], ["s <= e <= s + 2 weeks"]),
        ([number("lo"), number("hi")], ["lo <= hi", "hi step 5", "lo step 5"]),
        ([number("größe"), number("年齢", 200)], ["größe <= 年齢"]),
        ([number("عمر"), number("سن")], ["عمر <= سن"]),
        ([number("आयु"), number("कुल", 300)], ["आयु <= कुल"]),
        ([number("e\u0301"), number("\u00e9")], ["e\u0301 < \u00e9"]),
        ([number("A"), number("a")], ["A < a"]),
        ([number("and"), number("null")], ["`and` <= `null`"]),
        ([listed("wörd", 'a "no"', "it's"), number("a")], ['never wörd = "it\'s" and a > 3']),
        (
            [listed("stadt", "Zürich", "Łódź"), listed("land", "CH", "PL")],
            ["land = lookup(towns, stadt)"],
        ),
        (
            [listed("stadt", "Zürich", "Łódź"), listed("land", "CH", "PL")],
            ["together: stadt, land from pairs"],
        ),
        ([number("n", 10, missing_apart=["-7", "-9"]), number("m")], ["n <= m"]),
    ],
)
def test_rules_of_several_kinds_hold_in_every_row(
    attributes: list[dict[str, Any]], rules: list[str]
) -> None:
    used = {name: r for name, r in REFERENCES.items() if any(name in rule for rule in rules)}
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [{"source": "public", **a} for a in attributes],
            "rules": rules,
            **({"references": used} if used else {}),
        }
    )
    drawn = draw(dummy_sampler(schema), rows=600, seed=1)
    assert drawn.num_rows == 600
    for rule, kept in keeps_rules(drawn, schema=schema).items():
        assert kept.all(), rule
