"""One table splits into silos without losing, doubling or misplacing a row."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidTable
from silosynth.simulations.tables import match_roster, silo_name, split_table

VALUES = st.sampled_from(["north", "south", "New York", "D.C.", None])


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=40))
def test_every_row_is_in_exactly_the_silo_of_its_value(values: list[str | None]) -> None:
    table = pa.table({"where": pa.array(values, pa.string()), "row": range(len(values))})
    parts = split_table(table, by="where")
    assert sorted(r for p in parts.values() for r in p["row"].to_pylist()) == list(
        range(len(values))
    )
    for name, part in parts.items():
        assert {silo_name(v) for v in part["where"].to_pylist()} == {name}


def test_a_split_works_on_chunked_and_dictionary_columns() -> None:
    column = pa.chunked_array([["a", "b"], ["b"]]).dictionary_encode()
    table = pa.table({"where": column, "row": [0, 1, 2]})
    assert {n: p["row"].to_pylist() for n, p in split_table(table, by="where").items()} == {
        "a": [0],
        "b": [1, 2],
    }


@pytest.mark.parametrize(
    ("value", "name"),
    [("New York", "New-York"), (None, "missing"), ("../../etc", "etc"), ("é", "e"), (5, "5")],
)
def test_silo_names_are_safe_as_names_of_directories(value: object, name: str) -> None:
    assert silo_name(value) == name


def test_two_values_that_give_one_name_are_refused() -> None:
    table = pa.table({"where": ["a b", "a-b"]})
    with pytest.raises(InvalidTable, match="'a-b'"):
        split_table(table, by="where")


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidTable, match="where"):
        split_table(pa.table({"where": ["a"]}), by="region")


@pytest.mark.parametrize(
    ("names", "words"), [(("a",), "no table, 'b' first"), (("a", "b", "c"), "'c' first")]
)
def test_tables_and_roster_must_be_the_same_silos(names: tuple[str, ...], words: str) -> None:
    tables = {name: pa.table({"x": [1]}) for name in names}
    with pytest.raises(InvalidTable, match=words):
        match_roster(tables, roster=("a", "b"))
