"""Tables of every storage are read as declared, and faults name file, column and remedy."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.source import read_table, read_untyped
from silosynth.client.source.table import check_table
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import parse_schema

SCHEMA = parse_schema(
    {
        "name": "t",
        "attributes": [
            {"name": "zip", "kind": "categorical", "categories": ["01", "1"], "missing": True},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "missing": True},
            {"name": "key", "kind": "identifier"},
        ],
    }
)
TABLE = pa.table({"zip": ["01", "1", None], "age": [3, None, 9], "key": ["007", "8", "9"]})
CSV = 'zip,age,key\n01,3,007\n"1",,8\n,9,9\n'


def codes(table: pa.Table) -> list[list[int]]:
    return [column.tolist() for column in Codec(SCHEMA).encode(table).codes]


def write(table: pa.Table, path: Path) -> Path:
    """Write a table in the kind of file that the name says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.name == "stream.arrow":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather", "stream.arrow"])
def test_stored_tables_are_read(tmp_path: Path, name: str) -> None:
    table = read_table(write(TABLE, tmp_path / name), schema=SCHEMA)
    assert codes(table) == [[0, 1, 3], [3, 10, 9]]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "A.CSV"])
def test_text_files_keep_leading_zeros_and_read_empty_as_missing(tmp_path: Path, name: str) -> None:
    text = CSV.replace(",", "\t") if "tsv" in name else CSV
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = read_table(path, schema=SCHEMA)
    assert codes(table) == [[0, 1, 3], [3, 10, 9]]
    assert table["key"].to_pylist() == ["007", "8", "9"]
    assert read_untyped(path)["age"].to_pylist() == ["3", None, "9"]


@pytest.mark.parametrize("odd", ["N", "2020-01-01", "12:30", "x y"])
def test_numbers_in_a_csv_may_hold_text(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"zip,age,key\n01,{odd},1\n01,{odd},2\n")
    assert codes(read_table(path, schema=SCHEMA))[1] == [10, 10]


def test_a_quoted_empty_text_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('zip,age,key\n"",3,1\n,4,2\n')
    assert read_table(path, schema=SCHEMA)["zip"].to_pylist() == ["", None]


def test_line_breaks_inside_quotes_survive_in_large_files(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    letter = "line\n" * 200
    path.write_text("zip,age,key\n" + f'01,3,"{letter}"\n' * 3000)
    assert set(read_table(path, schema=SCHEMA)["key"].to_pylist()) == {letter}


def test_a_line_break_inside_quotes_is_part_of_the_value(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('zip,age,key\n"0\n1",3,"a\nb"\n')
    assert read_table(path, schema=SCHEMA)["key"].to_pylist() == ["a\nb"]


def test_frames_in_memory_are_read() -> None:
    frame = pd.DataFrame({"zip": ["01", "1", None], "age": [3, None, 9], "key": [1, 2, 3]})
    assert codes(read_table(frame, schema=SCHEMA)) == [[0, 1, 3], [3, 10, 9]]
    assert codes(read_table(TABLE, schema=SCHEMA)) == [[0, 1, 3], [3, 10, 9]]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_column_faults_name_the_file_and_the_remedy(tmp_path: Path, name: str) -> None:
    extra = write(TABLE.append_column("e", pa.array([1, 2, 3])), tmp_path / name)
    with pytest.raises(InvalidTable, match=f"{name}: column 'e' is not in the schema; drop it"):
        read_table(extra, schema=SCHEMA)
    assert read_table(extra, schema=SCHEMA, allow_extra=True).column_names == ["zip", "age", "key"]
    absent = write(TABLE.drop_columns("age"), tmp_path / name)
    with pytest.raises(InvalidTable, match=f"{name}: column 'age' is missing; add it"):
        read_table(absent, schema=SCHEMA)
    wrong = TABLE.set_column(1, "age", pa.array([[1], [2], [3]]))
    with pytest.raises(InvalidTable, match=f"{name}: column 'age' has type list"):
        read_table(write(wrong, tmp_path / name), schema=SCHEMA)


def test_column_faults_of_a_csv_and_of_a_frame_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("zip,age,key,e\n01,1,1,1\n")
    with pytest.raises(InvalidTable, match=r"a\.csv: column 'e' is not in the schema"):
        read_table(path, schema=SCHEMA)
    assert read_table(path, schema=SCHEMA, allow_extra=True).num_rows == 1
    path.write_text("zip,key\n01,1\n")
    with pytest.raises(InvalidTable, match=r"a\.csv: column 'age' is missing"):
        read_table(path, schema=SCHEMA)
    path.write_text("zip,age,zip\n01,1,1\n")
    with pytest.raises(InvalidTable, match="column 'zip' is there twice"):
        read_table(path, schema=SCHEMA)
    with pytest.raises(InvalidTable, match="column 'age' is missing"):
        read_table(pd.DataFrame({"zip": ["01"]}), schema=SCHEMA)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "with a header line"),
        ("a.csv", b"zip,age,key\nSECRET,1\n", "more or fewer fields than its header line"),
        ("a.csv", b"zip,age,key\nSECRET\xff,1,1\n", "is not UTF-8 text"),
        ("a.csv", b"zip\xff,age,key\nSECRET,1,1\n", "is not UTF-8 text"),
        ("a.csv.gz", b"zip,age\nSECRET", "cannot be read"),
        ("a.parquet", b"SECRET", "is damaged, or not the kind of file"),
        ("a.parquet", b"", "is damaged, or not the kind of file"),
        ("a.arrow", b"SECRET", "is damaged, or not the kind of file"),
        ("a.xlsx", b"SECRET", "is no Excel file, or is damaged"),
        ("a.doc", b"SECRET", "unknown kind of file; use one of .parquet"),
    ],
)
def test_damaged_files_are_named_without_their_content(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidTable) as caught:
        read_table(path, schema=SCHEMA)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet", "x.arrow"):
        with pytest.raises(InvalidTable, match=f"{name}: no such file"):
            read_table(tmp_path / name, schema=SCHEMA)
    (tmp_path / "d.parquet").mkdir()
    with pytest.raises(InvalidTable, match=r"d\.parquet: is a folder; name a file in it"):
        read_table(tmp_path / "d.parquet", schema=SCHEMA)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_table_without_rows_is_read_and_the_operator_is_warned(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("zip,age,key\n")
    else:
        write(TABLE.slice(0, 0), path)
    table = read_table(path, schema=SCHEMA)
    assert table.num_rows == 0
    assert codes(table) == [[], []]
    assert check_table(table, schema=SCHEMA) == (
        "the table has no rows: this silo would add nothing but noise",
    )


def test_the_operator_is_told_what_was_bent() -> None:
    table = pa.table({"zip": ["01", "9"], "age": ["x", "12"]})
    assert check_table(table, schema=SCHEMA) == (
        "zip: 1 values not listed",
        "age: 1 values beyond the bounds; 1 values unreadable",
        "key: not in the table; nothing is counted from it",
    )
    with pytest.raises(InvalidTable, match="silo a: column 'age' is missing"):
        check_table(table.drop_columns("age"), schema=SCHEMA, origin="silo a")
