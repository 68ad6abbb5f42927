"""Sheets are read from their names on, and the one that was read is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.source import read_untyped


def book(path: Path, *sheets: list[list[Any]]) -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for place, rows in enumerate(sheets):
        sheet = made.create_sheet(f"s{place}")
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


ROWS: list[list[Any]] = [["a", "b", "c"]] + [[n, n * 2, "x"] for n in range(40)]


@pytest.mark.parametrize("titles", [[], [["Visits 2024"]], [["Visits"], [None], ["of all wards"]]])
def test_titles_above_the_names_are_passed_over_and_told(tmp_path: Path, titles: Any) -> None:
    path = book(tmp_path / "t.xlsx", [*titles, *ROWS])
    assert read_untyped(path).column_names == ["a", "b", "c"]
    assert read_untyped(path).num_rows == 40
    told = [note for note in draft_schema(path, name="t").notes if "above the names" in note]
    assert len(told) == bool(titles)


def test_rows_with_gaps_are_no_titles(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["a", None, "c"], *[[n, n, "x"] for n in range(40)]]
    assert read_untyped(book(tmp_path / "t.xlsx", rows)).column_names == ["a", "column_2", "c"]


def test_of_several_sheets_the_one_that_was_read_is_told(tmp_path: Path) -> None:
    notes = draft_schema(book(tmp_path / "t.xlsx", ROWS, ROWS), name="t").notes
    assert "sheet 's0' was read, the first; not read: 's1'" in notes
    notes = draft_schema(book(tmp_path / "u.xlsx", ROWS), name="t").notes
    assert not any("sheet" in note for note in notes)
