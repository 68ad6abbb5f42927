"""What rules make of a schema: what is counted, what comes back, and what cannot be."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import Codec, allowed_codes, keeps_rules
from silosynth.common.document import load_document
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.schema import Schema, dump_schema, parse_schema

_ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "a", "kind": "integer", "minimum": 0, "maximum": 50, "missing": True},
    {"name": "b", "kind": "integer", "minimum": 0, "maximum": 60, "missing": True},
    {"name": "c", "kind": "integer", "minimum": -200, "maximum": 200, "missing": True},
    {"name": "x", "kind": "real", "minimum": 0, "maximum": 10},
    {"name": "y", "kind": "real", "minimum": 0, "maximum": 10},
    {"name": "z", "kind": "real", "minimum": 0, "maximum": 100},
    {"name": "day", "kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-02-01"},
    {
        "name": "due",
        "kind": "datetime",
        "minimum": "2020-01-01",
        "maximum": "2020-03-01",
        "missing": True,
    },
    {"name": "word", "kind": "categorical", "categories": ["p", "q"], "missing": True},
    {"name": "yes", "kind": "boolean"},
    {"name": "no", "kind": "boolean"},
]


def schema(*rules: str, **more: Any) -> Schema:
    attributes = [{"source": "public", **a} for a in _ATTRIBUTES]
    return parse_schema({"name": "t", "attributes": attributes, "rules": list(rules), **more})


def coded(ruled: Schema, rows: int = 400, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = ruled.domain.shape
    return [rng.integers(0, s, rows).astype(np.uint8 if s <= 256 else np.uint16) for s in sizes]


def rows_of(values: dict[str, list[Any]]) -> pa.Table:
    rows = len(next(iter(values.values())))
    defaults: dict[str, list[Any]] = {
        **{n: [1] * rows for n in "abc"},
        **{n: [1.0] * rows for n in "xyz"},
        **{n: ["2020-01-05"] * rows for n in ("day", "due")},
        "word": ["p"] * rows,
        "yes": [True] * rows,
        "no": [False] * rows,
    }
    return pa.table(defaults | values)


def test_a_schema_without_rules_keeps_its_bytes_and_its_digest() -> None:
    plain = schema()
    assert "rules" not in dump_schema(plain)
    assert plain.digest == schema(rules=[]).digest
    assert schema("a <= b").digest != plain.digest
    assert schema("a <= b").digest != schema("a < b").digest


def test_rules_are_written_and_read_again(tmp_path: Any) -> None:
    ruled = schema("a <= b", "word null if a null")
    (tmp_path / "s.yaml").write_text(dump_schema(ruled))
    assert parse_schema(load_document(tmp_path / "s.yaml")) == ruled


@pytest.mark.parametrize(
    "rules",
    [
        ("a <= b",),
        ("a < b",),
        ("day < due <= day + 3 days",),
        ("day <= due", "due <= day + 10 hours"),
        ("a + 5 <= b",),
        ("x <= y",),
        ("a <= b", "b step 5"),
        ("c = a - b",),
        ("a = b - c",),
        ("c = a * 2 + b",),
        ("z = x + y",),
        ("c = (due - day) // 1 day",),
        ("b = a % 7", "c = b - a"),
        ("c = difference(a, b)",),
        ("c step 25",),
        ("one of: yes, no",),
    ],
)
def test_any_codes_come_back_as_rows_that_keep_the_rule(rules: tuple[str, ...]) -> None:
    ruled = schema(*rules)
    table = Codec(ruled).decode(coded(ruled), uniform=np.random.default_rng(2).random)
    assert table.column_names == [a["name"] for a in _ATTRIBUTES]
    plain = Codec(schema()).decode(coded(schema()), uniform=np.random.default_rng(2).random)
    assert table.schema.types == plain.schema.types
    for rule, kept in keeps_rules(table, schema=ruled).items():
        assert kept.mean() > 0.99, rule  # what bounds cut off is drawn again
    if not any("step" in r or "+" in r for r in rules):
        assert all(kept.all() for kept in keeps_rules(table, schema=ruled).values())


def test_a_row_comes_back_near_where_it_was() -> None:
    ruled = schema("day <= due", "c = a - b", "z = x + y", "one of: yes, no")
    table = rows_of(
        {
            "a": [3, 40, None],
            "b": [9, 2, 5],
            "c": [-6, 38, None],
            "x": [1.0, 2.0, 3.0],
            "y": [1.0, 0.5, 0.0],
            "z": [2.0, 2.5, 3.0],
            "day": ["2020-01-05", "2020-01-05", "2020-01-31"],
            "due": ["2020-01-05T00:10:00", "2020-01-09", None],
            "yes": [True, False, True],
            "no": [False, True, False],
        }
    )
    encoded = Codec(ruled).encode(table)
    assert [n for n in encoded.notes if n.broken] == []
    back = Codec(ruled).decode(encoded.codes, uniform=lambda n: np.full(n, 0.5)).to_pylist()
    for got, row in zip(back, table.to_pylist(), strict=True):
        assert (got["yes"], got["no"], got["a"] is None) == (
            row["yes"],
            row["no"],
            row["a"] is None,
        )
        assert got["c"] is None if row["c"] is None else abs(got["c"] - row["c"]) <= 4
        assert abs(got["z"] - row["z"]) < 0.5
    gaps = [(r["due"] - r["day"]).total_seconds() for r in back[:2]]
    assert (300 < gaps[0] < 1200, 3 * 86_400 < gaps[1] < 5 * 86_400) == (True, True)
    assert back[2]["due"] is None


def test_nulls_are_told_by_one_small_attribute() -> None:
    ruled = schema("a null iff b null", "c null if a null")
    (name,) = ruled.ruled.patterns
    assert ruled.domain.size((name,)) == 3
    cliques = [z.clique for z in ruled.impossible()]
    assert cliques == [("a", name), ("b", name), ("c", name)]
    codes = Codec(ruled).encode(rows_of({"a": [None, 1, 1], "b": [None, 1, None], "c": [1, 1, 1]}))
    told = Codec(ruled).decode(codes.codes, uniform=np.zeros)
    kept = keeps_rules(told, schema=ruled)
    assert all(k.all() for k in kept.values())
    assert [str(n) for n in codes.notes] == [
        "rule 'a null iff b null': 1 rows break it; the nearest is counted",
        "rule 'c null if a null': 1 rows break it; the nearest is counted",
    ]


def test_the_widest_column_of_a_sum_follows_where_nothing_is_lost() -> None:
    attributes = [
        {"name": "small", "kind": "integer", "minimum": 0, "maximum": 20, "source": "public"},
        {"name": "wide", "kind": "integer", "minimum": 0, "maximum": 2000, "source": "public"},
        {"name": "other", "kind": "integer", "minimum": 0, "maximum": 900, "source": "public"},
    ]
    rules = ["small = wide - other"]
    ruled = parse_schema({"name": "t", "attributes": attributes, "rules": rules})
    assert ruled.domain.attributes == ("small", "other")
    attributes[0]["missing"] = True
    lossy = parse_schema({"name": "t", "attributes": attributes, "rules": rules})
    assert lossy.domain.attributes == ("wide", "other")


def test_rules_on_values_are_impossible_cells_and_uncertain_bins_are_left() -> None:
    ruled = schema("never word = p and yes = true", "due null unless word in (q)")
    first, second = ruled.impossible()
    assert first.clique == ("word", "yes")
    assert first.mask.sum() == 1
    assert second.clique == ("due", "word")
    assert second.mask.sum() == (second.mask.shape[0] - 1) * 3
    bins = schema("never a > 25 and word = p").impossible()[0]
    high = np.flatnonzero(bins.mask[:, 0])
    attribute = schema().coded[0]
    assert all(attribute.edges()[i] > 25 for i in high)  # type: ignore[union-attr]
    assert len(high) > 10


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (("a < b", "b < a"), "contradict one another"),
        (("a < b", "b <= c", "c <= a"), "contradict one another"),
        (("a + 100 <= b",), "leave no value"),
        (("a = b + 1", "b = a - 1"), "in a circle"),
        (("a = b + 1", "a = c + 2", "b = c"), "circle"),
        (("never word = p or word = q or word null or not word null",), "leaves nothing"),
        (("keep word = p and word = q",), "leaves nothing"),
        (
            ("c null if c not null", "c null iff a null", "a null iff b null", "never b null"),
            "nothing",
        ),
        (("z step 1000",), "leaves one value"),
        (("a < a",), "rule 'a < a' leaves nothing"),
        (("a <= a - 1",), "leaves nothing"),
        (("x < x",), "leaves nothing"),
        (("never word = p", "keep word = p"), "no value of 'word' is left"),
        (("keep a > 30", "keep a < 20"), "'keep a > 30' and rule 'keep a < 20' contradict"),
        (("word null iff yes = true", "word null iff yes = false"), "contradict one another"),
        (("keep word = p", "keep yes = true", "never word = p and yes = true"), "contradict"),
        (("never yes = true and no = true", "never yes != no", "keep no = true"), "contradict"),
        (("a <= b", "a <= b"), "stands twice"),
        (("a <= nobody",), "column 6: there is no column 'nobody'"),
        (("a <= due",), "cannot order"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused_in_one_line(
    rules: tuple[str, ...], what: str
) -> None:
    with pytest.raises(InvalidSchema) as raised:
        schema(*rules)
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.lists(st.integers(-100, 400), min_size=8, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_one_row_moves_one_cell_whatever_it_holds(values: list[int], random: Any) -> None:
    """A row that leaves changes no other's codes, and its own are the same without the others."""

    def row() -> dict[str, Any]:
        pick = [*values, None]
        return {
            **{n: random.choice(pick) for n in ("a", "b", "c")},
            **{n: float(random.choice(values)) for n in ("x", "y", "z")},
            **{n: random.choice(["2020-01-05", "2031-01-01", "x", None]) for n in ("day", "due")},
            "word": random.choice(["p", "other", None]),
            "yes": random.choice([True, False]),
            "no": random.choice([True, False]),
        }

    rows = [row() for _ in range(40)]
    leaves = random.randrange(len(rows))
    whole, alone, others = map(_encoded, (rows, [rows[leaves]], rows[:leaves] + rows[leaves + 1 :]))
    assert (whole[:, leaves] == alone[:, 0]).all()
    assert (np.delete(whole, leaves, axis=1) == others).all()


_MANY = schema("a <= b", "c null iff b null", "z = x + y", "one of: yes, no", "day <= due")
_CODEC = Codec(_MANY)
_TYPES = rows_of({"a": [1]}).schema


def _encoded(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.stack(_CODEC.encode(pa.Table.from_pylist(rows, schema=_TYPES)).codes)


def test_a_condition_on_a_column_that_follows_says_so() -> None:
    with pytest.raises(InvalidArgument, match="'z' follows from a rule"):
        allowed_codes(schema("z = x + y"), {"z": "1..2"})


TRUTHS = ("p", "q", "r", "s")


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(TRUTHS), st.booleans()), min_size=1, max_size=3),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=300, deadline=None)
def test_rules_are_refused_just_where_no_row_keeps_them_all(
    clauses: list[list[tuple[str, bool]]],
) -> None:
    """Held against every row that there can be: four truths have sixteen."""
    rules = [
        "never " + " and ".join(f"{n} = {str(v).lower()}" for n, v in clause) for clause in clauses
    ]
    rows = product((False, True), repeat=len(TRUTHS))
    kept = any(
        not any(all(dict(zip(TRUTHS, row, strict=True))[n] is v for n, v in c) for c in clauses)
        for row in rows
    )
    attributes = [{"name": n, "kind": "boolean", "source": "public"} for n in TRUTHS]
    document = {"name": "t", "attributes": attributes, "rules": list(dict.fromkeys(rules))}
    if kept:
        assert parse_schema(document).rules
    else:
        with pytest.raises(InvalidSchema, match=r"contradict one another|leaves nothing"):
            parse_schema(document)
