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
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.silo.draft import draft_schema
from silosynth.client.source.table import check_table, read_table
from silosynth.common.errors import InvalidSchema, InvalidTable
from silosynth.common.schema.schema import dump_schema, parse_schema


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
        (["a", "?", "", None], {"kind": "categorical", "missing_tokens": ("?", "")}),
        (["01", "02", "10"], {"kind": "categorical", "categories": ("01", "02", "10")}),
        ([0.5, 1.5, math.nan], {"kind": "real", "missing": True}),
        ([18, 93], {"kind": "integer", "minimum": 10, "maximum": 100}),
        ([18.0, None, 93.0], {"kind": "integer", "minimum": 10, "maximum": 100, "missing": True}),
        (["18", "93", "N"], {"kind": "integer", "minimum": 10, "missing_tokens": ("N",)}),
        (["1.5", " 2"], {"kind": "real"}),
        ([math.inf, math.nan], {"kind": "text"}),
        ([None, None], {"kind": "text"}),
        ([f"word {i} " * 10 for i in range(30)], {"kind": "text"}),
        ([f"k{i}" for i in range(30)], {"kind": "identifier"}),
        (list(range(1000, 1030)), {"kind": "identifier"}),
        ([date(2020, 5, 5)], {"kind": "datetime", "minimum": datetime(2020, 1, 1)}),
        ([datetime(2020, 5, 5)], {"kind": "datetime", "maximum": datetime(2021, 1, 1)}),
        (["2020-05-05", "1999-01-01T10:00"], {"kind": "datetime"}),
        (["2020-05-05", "x"], {"kind": "categorical"}),
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
        "x: whole numbers with 3 values; if they are codes, make it categorical or ordinal and "
        "list them",
    )
    assert draft(list(range(0, 100, 3)) * 2)[1] == ()


def test_numbers_named_like_keys_become_identifiers() -> None:
    values = [int(v) for v in np.arange(0, 9000, 3)] * 2
    assert draft(values, name="patient_id")[0]["kind"] == "identifier"
    assert draft(values, name="income")[0]["kind"] == "integer"


def test_columns_that_cannot_be_modelled_are_left_out_and_told() -> None:
    drafted = draft_schema(pa.table({"l": [[1]], "x": ["a"]}), name="t")
    assert [a.name for a in drafted.schema.attributes] == ["x"]
    assert "l: type list<item: int64> cannot be modelled; left out, so drop the column" in (
        drafted.notes
    )
    with pytest.raises(InvalidTable, match="no column that can be drafted"):
        draft_schema(pa.table({"l": [[1]]}), name="t")


def test_names_that_a_schema_cannot_hold_are_refused() -> None:
    with pytest.raises(InvalidSchema, match=r"draft: .*name"):
        draft_schema(pa.table({"": ["a", "b"]}), name="t")
    with pytest.raises(InvalidSchema, match="draft: name"):
        draft_schema(pa.table({"x": ["a", "b"]}), name="a b")


def test_a_csv_is_drafted_without_losing_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("zip,n\n01,5\n02,7\n")
    kinds = {a.name: a.kind for a in draft_schema(path, name="t").schema.attributes}
    assert kinds == {"zip": "categorical", "n": "integer"}


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
@settings(max_examples=200, deadline=None)
def test_every_value_lies_in_its_drafted_domain(values: list[Any]) -> None:
    table = pa.table({"x": values})
    schema = draft_schema(table, name="t").schema
    assert parse_schema(yaml.safe_load(dump_schema(schema))) == schema
    told = check_table(read_table(table, schema=schema), schema=schema)
    finite = all(not isinstance(v, float) or math.isfinite(v) for v in values)
    assert told == () or not finite
