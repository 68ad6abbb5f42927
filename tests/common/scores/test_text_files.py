"""Real rows are read as their schema says that they are written, as silos read them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CsvDialect
from silosynth.common.scores import read_sample

FRAME = pd.DataFrame({"age": ["31", "42", "53"], "city": ["Köln", "Århus", "a;b"]})
NAMES = ("age", "city")


def _text(**how: object) -> str:
    return FRAME.to_csv(index=False, **how)  # type: ignore[call-overload]  # any of its options


@pytest.mark.parametrize(
    ("name", "text", "dialect"),
    [
        ("a.csv", _text(), None),
        ("a.csv", _text(sep=";"), None),
        ("a.txt", _text(sep="|"), CsvDialect(delimiter="|")),
        ("a.tsv", _text(sep="\t"), None),
        ("a.csv", _text(sep="^"), CsvDialect(delimiter="^")),
        ("a.csv", f"# a\n# b\n{_text()}", CsvDialect(skip=2)),
        ("a.csv", _text(), CsvDialect(skip=2)),
        ("a.csv", _text(header=False), CsvDialect(header=False)),
        ("a.csv", _text(), CsvDialect(encoding="utf-16")),
        ("a.csv", _text(), CsvDialect(encoding="latin-1")),
        ("a.csv", "\ufeff" + _text(), CsvDialect(mark=True)),
        ("a.csv.gz", _text(sep=";"), CsvDialect(delimiter=";")),
        ("a.csv", f"{_text()}End of report\n", None),
    ],
    ids=[
        *("plain", "semicolons", "txt", "tabs", "rare", "comments", "no comments", "no names"),
        *("utf-16", "latin-1", "a mark", "packed", "a last line"),
    ],
)
def test_a_text_file_is_read_as_it_is_written(
    tmp_path: Path, name: str, text: str, dialect: CsvDialect | None
) -> None:
    data = text.encode("utf-8" if dialect is None else dialect.encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = read_sample(path, seed=1, dialect=dialect, names=NAMES)
    assert found.rows == 3
    assert found.table.to_pandas().to_dict("list") == FRAME.to_dict("list")


def test_columns_without_a_name_are_called_after_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",age,\n1,2,3\n", encoding="utf-8")
    assert read_sample(path, seed=1).table.column_names == ["column_1", "age", "column_3"]


def test_a_sheet_is_read(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    FRAME.to_excel(tmp_path / "a.xlsx", index=False)
    assert read_sample(tmp_path / "a.xlsx", seed=1).table.to_pylist() == FRAME.to_dict("records")


def test_what_is_no_sheet_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"no sheet")
    with pytest.raises(InvalidTable, match="is damaged"):
        read_sample(tmp_path / "a.xlsx", seed=1)
