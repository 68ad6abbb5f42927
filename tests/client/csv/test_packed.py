"""Text files are read whatever capitals their names have, and whichever half of a sign is first."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from silosynth.client.csv import count_bad_lines, read_csv, sniff_dialect
from silosynth.client.drafting import draft_schema
from silosynth.client.source import open_source
from silosynth.client.source.spec import SourceFormat, SourceSpec
from silosynth.common.errors import InvalidTable
from silosynth.common.likeness.read import _lines
from silosynth.common.schema import CsvDialect

ROWS = "a,b\n" + "1,x\n2,y\n" * 40


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.GZ", ".CSV.GZ", ".tsv.Gz"])
def test_a_packed_file_is_read_whatever_its_capitals(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"z{ending}"
    text = ROWS.replace(",", "\t") if "tsv" in ending else ROWS
    path.write_bytes(gzip.compress(text.encode()))
    how = sniff_dialect(path)
    assert read_csv(path, dialect=how).num_rows == 80
    assert count_bad_lines(path, dialect=how) == 0
    schema = draft_schema(path, name="t").schema
    source = open_source(SourceSpec(format=SourceFormat.CSV, path=path, csv=how), schema=schema)
    assert source.survey().rows == 80
    assert sum(t.num_rows for t in _lines(path, how, names=())) == 80


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named_and_read_where_declared(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "z.csv"
    path.write_bytes(ROWS.encode(encoding))
    with pytest.raises(InvalidTable) as caught:
        sniff_dialect(path)
    assert f"--encoding {encoding}" in str(caught.value.hint)
    with pytest.raises(InvalidTable, match="does not begin with the mark") as caught:
        sniff_dialect(path, like=CsvDialect(encoding="utf-16"))
    assert "utf-16-le" in str(caught.value.hint)
    how = sniff_dialect(path, like=CsvDialect.model_validate({"encoding": encoding}))
    assert read_csv(path, dialect=how).to_pydict()["b"][:2] == ["x", "y"]


def test_columns_without_a_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "z.csv"
    path.write_text("a,,b,\n" + "1,2,x,7\n2,3,y,9\n" * 40)
    told = "\n".join(draft_schema(path, name="t").notes)
    assert "columns 2, 4 have no name; they are called column_2 and so on" in told
    path.write_text("a,,column_7\n" + "1,2,x\n2,3,y\n" * 40)
    notes = draft_schema(path, name="t").notes
    assert "column 2 has no name; it is called column_2" in notes
    assert not any("column 3 has" in note for note in notes)
