"""Drafts guess kinds, round bounds outward, and are unreviewed throughout."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silosynth.client.drafting import draft_schema
from silosynth.client.source import read_table
from silosynth.client.source.table import check_table
from silosynth.common.errors import InvalidSchema, InvalidTable
from silosynth.common.schema import dump_schema, parse_schema


def draft(values: Any, *, name: str = "x") -> tuple[dict[str, Any], tuple[str, ...]]:
    """Draft one column; return its attribute and its own notes."""
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    drafted = draft_schema(pa.table({name: column}), name="t")
    attribute = drafted.schema.attributes[0]
    assert attribute.source == "unreviewed"
    return attribute.model_dump(exclude_defaults=True) | {"kind": attribute.kind}, drafted.notes[1:]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False, None], {"kind": "boolean", "missing": True}),
        (["TRUE", "false"], {"kind": "boolean"}),
        (["b", "a", "b"], {"kind": "categorical", "categories": ("a", "b")}),
        (["a", "?", "", None], {"missing_apart": ("?",), "missing_tokens": ("",)}),
        (["a", "NA"], {"missing": True, "missing_tokens": ("NA",), "missing_as": "NA"}),
        (["01", "02", "10"], {"kind": "categorical", "categories": ("01", "02", "10")}),
        ([0.5, 1.5, math.nan], {"kind": "real", "missing": True, "decimals": 1}),
        ([18, 19, 93, *range(30, 60)], {"kind": "integer", "minimum": 18, "maximum": 93}),
        ([1, 8507, 8532], {"kind": "categorical", "categories": (1, 8507, 8532)}),
        ([18.0, None, 19.0], {"kind": "integer", "minimum": 18, "missing": True}),
        (["18", "19", "N"], {"kind": "integer", "minimum": 18, "missing_tokens": ("N",)}),
        (["1.5", " 2"], {"kind": "real"}),
        ([math.inf, math.nan], {"kind": "text"}),
        ([None, None], {"kind": "empty"}),
        ([f"word {i} " * 10 for i in range(30)], {"kind": "text", "blank": True}),
        ([f"k{i}" for i in range(30)], {"kind": "identifier", "prefix": "k"}),
        ([f"P-{i:06}" for i in range(30)], {"prefix": "P-", "digits": 6}),
        (list(range(1000, 1030)), {"kind": "identifier"}),
        (list(range(0, 3000, 50)) * 2, {"kind": "integer", "step": 50}),
        ([date(2020, 5, 5)], {"kind": "datetime", "minimum": datetime(2020, 1, 1)}),
        ([date(2020, 5, 5)], {"resolution": "day", "stored": "date32"}),
        ([datetime(2020, 5, 5)], {"kind": "datetime", "maximum": datetime(2020, 12, 31)}),
        (["2020-05-05", "1999-01-01T10:00"], {"kind": "datetime"}),
        (["2020-05-05", "x"], {"kind": "categorical"}),
        (["5/1/2020", "31/1/2020"], {"kind": "datetime", "format": "%-d/%-m/%Y"}),
        (["09:30", "23:59"], {"kind": "time", "resolution": "minute"}),
        (["26:30:00", "1:00:00"], {"kind": "duration", "format": "clock"}),
        ([timedelta(days=1), timedelta(hours=2)], {"kind": "duration", "resolution": "hour"}),
        (["oui", "Non"], {"kind": "boolean", "spelled": ("Non", "oui")}),
        (["$1,200", "$90"], {"kind": "integer", "minimum": 0, "maximum": 1200}),
        (["12,5", "3,25"], {"kind": "real", "decimals": 2}),
        (["x"], {"kind": "categorical", "categories": ("x",), "other": False}),
    ],
)
def test_kinds_and_bounds_are_guessed(values: list[Any], expected: dict[str, Any]) -> None:
    attribute, _ = draft(values)
    assert {key: attribute.get(key) for key in expected} == expected


def test_an_ordered_dictionary_becomes_ordinal_in_its_order() -> None:
    column = pa.array(pd.Series(pd.Categorical(["low", "high"], ["low", "high"], ordered=True)))
    attribute, _ = draft(column)
    assert attribute["kind"] == "ordinal"
    assert attribute["categories"] == ("low", "high")


def test_whole_numbers_with_few_values_get_a_suggestion() -> None:
    attribute, notes = draft([1, 2, 3] * 20)
    assert attribute["kind"] == "integer"
    assert notes == (
        "x: few whole numbers; if they are codes, make it categorical or ordinal and list them",
    )
    assert draft(list(range(40)) * 2)[1] == ()


def test_a_persons_key_repeats_and_what_a_person_is_stays_with_it() -> None:
    keys = [int(v) for v in np.arange(0, 9000, 7)] * 2
    _, notes = draft(keys, name="patient_id")
    assert "look like a person's key" in notes[0]
    assert draft(keys, name="income")[0]["kind"] == "integer"
    sex = [["f", "m"][int(v) % 2] for v in keys]
    table = pa.table({"code": [f"x{v}" for v in keys], "sex": sex})
    drafted = draft_schema(table, name="t")
    assert drafted.schema.attributes[0].kind == "identifier"
    assert any("'sex' never changes with it" in note for note in drafted.notes)


def test_long_numbers_that_all_differ_are_keys_and_amounts_are_not() -> None:
    rng = np.random.default_rng(1)
    wide = rng.choice(np.arange(10**9, 10**10, 12347), 800, replace=False)
    assert draft([int(v) for v in wide])[0]["kind"] == "identifier"
    assert draft([str(2**54 + 3 * i) for i in range(30)])[0]["kind"] == "identifier"
    amounts = np.unique(np.exp(rng.normal(9, 2, 900)).astype(int))
    assert draft([int(v) for v in amounts])[0]["kind"] == "integer"


def test_columns_that_cannot_be_modelled_are_left_out_and_told() -> None:
    drafted = draft_schema(pa.table({"l": [[1]], "x": ["a"]}), name="t")
    assert [a.kind for a in drafted.schema.attributes] == ["ignored", "categorical"]
    assert any(
        note.startswith("l: type list<item: int64> cannot be modelled; it is not read")
        for note in drafted.notes
    )
    with pytest.raises(InvalidTable, match="no column that can be drafted"):
        draft_schema(pa.table({"l": [[1]]}), name="t")


def test_names_that_a_schema_cannot_hold_are_refused() -> None:
    with pytest.raises(InvalidSchema, match=r"draft: .*name"):
        draft_schema(pa.table({"\n": ["a", "b"]}), name="t")
    with pytest.raises(InvalidSchema, match="draft: name"):
        draft_schema(pa.table({"x": ["a", "b"]}), name="a b")


def test_a_csv_is_drafted_without_losing_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("zip,n\n01,5\n02,6\n")
    kinds = {a.name: a.kind for a in draft_schema(path, name="t").schema.attributes}
    assert kinds == {"zip": "categorical", "n": "integer"}
    assert "# texts that repeat" in draft_schema(path, name="t").text()


START = datetime(1800, 1, 1)
COLUMNS = st.one_of(
    st.lists(st.none() | st.integers(-(2**60), 2**60), min_size=1, max_size=40),
    st.lists(st.none() | st.floats(width=32), min_size=1, max_size=40),
    st.lists(st.none() | st.floats(), min_size=1, max_size=10),
    st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=5), min_size=1),
    st.lists(st.booleans() | st.none(), min_size=1),
    st.lists(st.sampled_from(["1", "2.5", "N", "", "1e3"]), min_size=1),
    st.lists(
        st.integers(0, 10**9).map(lambda minutes: START + timedelta(minutes=minutes)), min_size=1
    ),
)


@given(COLUMNS)
@example(["0\x1b"])
@example(["3\u0663", "4\u0663"])
@example([0.0, 7.0, -0.0, -1.0])
@settings(max_examples=200, deadline=None)
def test_every_value_lies_in_its_drafted_domain(values: list[Any]) -> None:
    table = pa.table({"x": values})
    schema = draft_schema(table, name="t").schema
    assert parse_schema(yaml.safe_load(dump_schema(schema))) == schema
    told = check_table(read_table(table, schema=schema), schema=schema)
    finite = all(not isinstance(v, float) or math.isfinite(v) for v in values)
    assert told == () or not finite


def test_comments_in_a_draft_hold_no_count_and_no_value(tmp_path: Path) -> None:
    n = 60
    table = pa.table(
        {
            "ticket": [f"T{k % 47}" for k in range(n)],
            "person_id": [k % 31 for k in range(n)],
            "gap": [[8507, 8532][k % 2] for k in range(n)],
            "odd": [[-999, k][k % 9 > 0] for k in range(n)],
            "step": [k * 7 for k in range(n)],
            "paid": [f"{k % 28 + 1}/12/2020" for k in range(n)],
        }
    )
    comments = [line for line in draft_schema(table, name="t").text().splitlines() if "#" in line]
    assert len(comments) == len(table.column_names)
    assert not any(character.isdigit() for line in comments for character in line)
