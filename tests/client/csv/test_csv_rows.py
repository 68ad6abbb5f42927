"""No row of a CSV file decides whether the file is read, or how another row is."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from silosynth.client.csv import is_legal
from silosynth.client.csv import odd as odd_csv
from silosynth.client.source import SourceFormat, SourceSpec, open_source
from silosynth.client.source.files import open_csv_files
from silosynth.client.source.table import Wanted
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import parse_schema

SCHEMA = parse_schema(
    {
        "name": "t",
        "attributes": [
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True},
            {"name": "note", "kind": "text"},
        ],
    }
)
ROWS = 400
MEGABYTE = 1_000_000


def plain_rows() -> list[bytes]:
    return [b"sex,note"] + [f"{'fm'[i % 2]},n{i}".encode() for i in range(ROWS)]


def spec_of(path: Path) -> SourceSpec:
    return SourceSpec(format=SourceFormat.CSV, path=path)


def counts(path: Path, told: list[str] | None = None) -> list[int]:
    """Return how many rows are f, m, other and missing."""
    tell = told.append if told is not None else lambda _: None
    source = open_source(spec_of(path), schema=SCHEMA, tell_operator=tell)
    query = [MarginalQuery(clique=("sex",))]
    return [int(n) for n in source.count(query, levels={"fine": Grouping()})[0]]


def columns_of(path: Path) -> dict[str, list[str | None]]:
    """Return what is read of a file, whichever way."""
    reader = open_csv_files([path], dialect=None, wanted=Wanted(schema=SCHEMA))
    tables = [fragment() for fragment in reader.fragments()]
    kind = pa.large_string()
    return {
        name: [v for t in tables for v in t[name].cast(kind).to_pylist()]
        for name in ("sex", "note")
    }


ODD: dict[str, tuple[bytes, list[int]]] = {
    "a field of 2.2 MB": (b'f,"' + b"y" * 2_200_000 + b'"', [1, 0, 0, 0]),
    "a field of 2.2 MB without quotes": (b"f," + b"y" * 2_200_000, [1, 0, 0, 0]),
    "a field of 2.2 MB of lines": (b'f,"' + b"y\n" * 1_100_000 + b'"', [1, 0, 0, 0]),
    "a field of 70 MB": (b'f,"' + b"y" * 70 * MEGABYTE + b'"', [1, 0, 0, 0]),
    "latin 1": (b"f,Z\xfcrich", [1, 0, 0, 0]),
    "latin 1 where a category should be": (b"\xfc,x", [0, 0, 1, 0]),
    "half a character at the end of a field": (b"f,\xe2\x82", [1, 0, 0, 0]),
    "a NUL": (b"f,\0", [1, 0, 0, 0]),
    "too few fields": (b"f", [0, 0, 0, 0]),
    "too many fields": (b"f,1,2", [0, 0, 0, 0]),
    "an empty line": (b"", [0, 0, 0, 0]),
    "a quote in the middle": (b'f,5" tall', [1, 0, 0, 0]),
    "a quote that does not close": (b'f,"open', [1, 0, 0, 0]),
    "text behind a quote": (b'f,"a"b', [1, 0, 0, 0]),
    "a return alone": (b'f,"a\rb"', [1, 0, 0, 0]),
    "lines within a field": (b'f,"a\r\nb\nc,d"', [1, 0, 0, 0]),
    "a comment": (b"#f,x", [0, 0, 1, 0]),
    "nothing": (b",", [0, 0, 0, 1]),
    "an empty text": (b'"",""', [0, 0, 1, 0]),
}


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("name", ODD)
def test_one_row_of_any_kind_changes_at_most_its_own_cell(
    tmp_path: Path, name: str, place: str
) -> None:
    row, own = ODD[name]
    if place != "middle" and len(row) > 10 * MEGABYTE:
        pytest.skip("once is enough for a large one")
    rows = plain_rows()
    rows.insert({"first": 1, "middle": ROWS // 2, "last": ROWS + 1}[place], row)
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\n".join(rows) + b"\n")
    assert counts(path) == [ROWS // 2 + own[0], ROWS // 2 + own[1], *own[2:]]


def test_the_operator_hears_how_many_records_were_left_out(tmp_path: Path) -> None:
    path, told = tmp_path / "rows.csv", list[str]()
    path.write_bytes(b"\n".join([*plain_rows(), b"f", b"f,1,2", b"", b"f,1,2,3"]))
    counts(path, told)
    assert told == ["3 records have too few or too many fields: not counted"]


def test_a_field_above_the_maximum_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_csv, "LONGEST_RECORD", 50)
    monkeypatch.setattr(odd_csv, "LONGEST_FIELD", 60)
    path = tmp_path / "rows.csv"
    path.write_bytes(b"sex,note\nf," + b"y" * 100 + b'\nm,"' + b"z" * 100 + b'"\n')
    assert columns_of(path) == {"sex": ["f", "m"], "note": ["y" * 60, "z" * 60]}


FIELD = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=6
) | st.sampled_from(
    ["", '"', '""', "a,b", "x\ny", "x\r\ny", " ", "#", "\ufeff", "é" * 3, "NULL", "NA"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(FIELD | st.none(), FIELD | st.none()), max_size=8),
    ending=st.sampled_from(["\n", "\r\n"]),
    ends=st.booleans(),
    chunk=st.sampled_from([1, 2, 3, 7, 1 << 22]),
)
def test_legal_files_are_told_as_such_and_both_readers_agree_on_them(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, str | None]],
    ending: str,
    ends: bool,
    chunk: int,
) -> None:
    """Whichever row makes the slow reader read a file, the others are read as by the fast one."""
    lines = ["sex,note"]
    for row in rows:
        spelled = ["" if f is None else f'"{f.replace(chr(34), chr(34) * 2)}"' for f in row]
        lines.append(",".join(spelled))
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes((ending.join(lines) + (ending if ends else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(odd_csv, "_CHUNK", chunk)
        assert is_legal(path, delimiter=",")
    expected = {"sex": [r[0] for r in rows], "note": [r[1] for r in rows]}
    assert columns_of(path) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("silosynth.client.source.files.is_legal", lambda *_, **__: False)
        assert columns_of(path) == expected


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=30) | st.text('a,"\n\r', max_size=14).map(str.encode))
def test_no_bytes_make_a_file_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Also where they are taken for legal, and DuckDB reads them."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(b"sex,note\nf,x\n" + data)
    assert counts(path)[0] >= 1


def test_compressed_files_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    for rows in (plain_rows(), [*plain_rows(), b"f,\xff"]):
        with gzip.open(path, "wb") as file:
            file.write(b"\n".join(rows))
        assert sum(counts(path)) == len(rows) - 1


def test_a_folder_of_which_one_file_is_odd_is_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"\n".join(plain_rows()))
    (folder / "b.csv").write_bytes(b"sex,note\nf,\xff\n")
    assert counts(folder) == [ROWS // 2 + 1, ROWS // 2, 0, 0]


def test_what_python_writes_is_legal(tmp_path: Path) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["sex", "note"], ["f", 'say "a", or\nb'], ["m", ""]])
    (tmp_path / "rows.csv").write_text(buffer.getvalue(), newline="")
    assert is_legal(tmp_path / "rows.csv", delimiter=",")
