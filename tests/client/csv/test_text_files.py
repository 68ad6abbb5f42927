"""A gateway reads text files as they are declared, and no row decides whether it answers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.csv import count_bad_lines, sniff_dialect
from silosynth.client.csv.files import read_header
from silosynth.client.source import SourceFormat, SourceSpec, open_source, read_table
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import CsvDialect, parse_schema

SCHEMA = parse_schema(
    {
        "name": "t",
        "source": "public",
        "attributes": [
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9},
        ],
    }
)


def count(path: Path, *, dialect: CsvDialect | None = None) -> list[int]:
    """Count sex as a gateway does: f, m, other, missing."""
    spec = SourceSpec(format=SourceFormat.CSV, path=path, csv=dialect)
    query = MarginalQuery(clique=("sex",), level="fine")
    (counts,) = open_source(spec, schema=SCHEMA).count([query], levels={"fine": Grouping()})
    return list(np.asarray(counts).tolist())


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ({}, "sex,age\nf,1\nm,2\n,3\n"),
        ({"delimiter": ";"}, "sex;age\nf;1\nm;2\n;3\n"),
        ({"delimiter": "\t"}, "sex\tage\nf\t1\nm\t2\n\t3\n"),
        ({"quote": "'"}, "sex,age\n'f',1\nm,2\n,3\n"),
        ({"skip": 2}, "made by x\n\nsex,age\nf,1\nm,2\n,3\n"),
        ({"header": False}, "f,1\nm,2\n,3\n"),
        ({"newline": "\r\n"}, "sex,age\r\nf,1\r\nm,2\r\n,3\r\n"),
        ({"encoding": "utf-16"}, "sex,age\nf,1\nm,2\n,3\n"),
        ({}, "\ufeffsex,age\nf,1\nm,2\n,3\n"),
    ],
)
def test_a_declared_dialect_is_read(tmp_path: Path, dialect: dict[str, Any], text: str) -> None:
    how = CsvDialect.model_validate(dialect)
    path, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    path.write_bytes(text.encode(how.encoding))
    packed.write_bytes(gzip.compress(text.encode(how.encoding)))
    for file in (path, packed):
        assert count(file, dialect=how) == [1, 1, 0, 1]
        assert read_table(file, schema=SCHEMA, dialect=how).num_rows == 3


@pytest.mark.parametrize("row", [b"f", b"f,1,2", b"\xff\xfe,1", b"m,\xff", b'"f",1,"', b"f;1"])
def test_no_line_decides_whether_the_gateway_answers(tmp_path: Path, row: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"sex,age\nf,1\nm,2\n" + row + b"\n")
    counted = count(path)
    assert counted[:2] >= [1, 1]
    assert sum(counted) <= 3


def test_lines_that_are_passed_over_are_counted_for_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sex,age\nf,1\nm\nm,2,3\nm,4\n")
    assert count_bad_lines(path) == 2
    assert count(path) == [1, 1, 0, 0]
    with pytest.raises(InvalidTable, match="more or fewer fields than its header line"):
        read_table(path, schema=SCHEMA)


def test_what_is_found_out_is_what_the_header_shows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for mark in (";", "\t", "|", ","):
        path.write_text(f"sex{mark}age\nf{mark}1\n")
        assert sniff_dialect(path).delimiter == mark
    path.write_text("# a note\n# another\nsex;age\nf;1,5\nm;2,5\n")
    assert sniff_dialect(path) == CsvDialect(delimiter=";", skip=2)
    path.write_text('"sex, or gender";age\nf;1\nm;2\n')
    assert sniff_dialect(path).delimiter == ";"
    assert read_header(path, dialect=sniff_dialect(path)) == ["sex, or gender", "age"]


def test_a_dialect_is_for_text_files_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is no text file"):
        SourceSpec(format=SourceFormat.PARQUET, path=tmp_path, csv=CsvDialect())
