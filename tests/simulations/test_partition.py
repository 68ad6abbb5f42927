"""One table splits into silos without losing, doubling or misplacing a row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidTable
from silosynth.common.schema import parse_schema
from silosynth.simulations.tables import match_roster, read_silos, silo_name, split_table

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


@pytest.mark.parametrize("by", [None, "where"])
def test_lines_that_are_passed_over_are_counted(
    by: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "silos"
    folder.mkdir()
    lines = ["where,ill", *["a,yes", "b,no"] * 60]
    (folder / "whole.csv").write_text("\n".join(lines) + "\n")
    (folder / "torn.csv").write_text("\n".join([*lines, "End of report", "a,yes,1"]) + "\n")
    attributes = [{"name": n, "kind": "categorical", "categories": ["x"]} for n in ("where", "ill")]
    schema = parse_schema({"name": "s", "attributes": attributes, "source": "public"})
    path = folder if by is None else folder / "torn.csv"
    assert read_silos(path, schema=schema, by=by)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("2 lines have more or fewer fields than the header line: not read") == 1
    assert said.count("not read") == 1
