"""What is found of a table before its columns: how its file is written, its sheets, its names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from silosynth.client.csv import count_bad_lines, csv_columns, header_fields, sniff_dialect
from silosynth.client.source import TableSource, is_text_file
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import CsvDialect

_ONE_COLUMN = (
    "one column alone was found; if fields are parted by another mark, say which with --delimiter, "
    "and if they stand in columns of fixed width or are parted by several spaces, export the table "
    "with delimiters (pandas reads both: read_fwf, or read_csv with sep=r'\\s+')"
)
_LONGEST_NAME = 512


def told_unnamed(source: TableSource) -> list[str]:
    """Say which columns of a frame or a table have no name, and what they are called."""
    return _unnamed([] if isinstance(source, Path) else _names_of(source))


def told_sheets(source: TableSource) -> list[str]:
    """Say which sheet of an Excel file was read, and what stands above its names."""
    if not (isinstance(source, Path) and source.suffix.lower() in (".xlsx", ".xlsm")):
        return []
    from silosynth.common.codec import sheet_facts  # pandas, which other files do not need

    try:
        names, above = sheet_facts(source)
    except (ValueError, KeyError, OSError, ImportError, BadZipFile):
        return []  # what is wrong with it is said where it is read
    left = ", ".join(map(repr, names[1:6])) + (", ..." if names[6:] else "")
    told = [f"sheet {names[0]!r} was read, the first; not read: {left}"] if names[1:] else []
    lines = "1 row" if above == 1 else f"{above} rows"
    return [*told, *([f"{lines} above the names passed over"] if above else [])]


def _names_of(table: Any) -> list[str]:
    """Return the names of a frame's or a table's columns, as they are there."""
    names = table.column_names if hasattr(table, "column_names") else getattr(table, "columns", ())
    return [str(name) for name in names]


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidSchema for a name that no attribute can have; it is told by its place."""
    for place, name in enumerate(names, start=1):
        if re.search(r"[\x00-\x1f]", name):
            raise InvalidSchema(
                f"draft: the name of column {place} has a line break or a control sign in it",
                hint="rename it in the file",
            )
        if len(name) > _LONGEST_NAME:
            raise InvalidSchema(
                f"draft: the name of column {place} has {len(name)} signs, and {_LONGEST_NAME} "
                "are the most",
                hint="rename it in the file; if it is no name, draft again with --no-header",
            )


def find_dialect(
    source: TableSource, *, like: CsvDialect | None
) -> tuple[CsvDialect | None, tuple[str, ...]]:
    """Find out how a text file is written, and say so where it is not plain.

    Args: like: what is known of it.
    """
    if not isinstance(source, Path) or not source.is_file():
        return None, ()
    if not is_text_file(source):
        return None, ()
    how = sniff_dialect(source, like=like)
    plain = how.reads_as(CsvDialect()) and not how.quoted
    told = [] if plain else [f"read as a text file with {how.describe()}"]
    names = csv_columns(source, dialect=how, names=())
    told += _unnamed(header_fields(source, dialect=how) if how.header else ())
    if len(names) == 1 and re.search(r"\S(  +|[^\w ])\S", names[0]):
        told.append(_ONE_COLUMN)
    odd = count_bad_lines(source, dialect=how, names=names) if how.header else 0
    return how, (*told, *([_odd_lines(odd)] if odd else []))


def _unnamed(names: Sequence[str]) -> list[str]:
    """Say which columns have no name, and what they are called."""
    places = [str(place) for place, name in enumerate(names, start=1) if not name.strip()]
    if not places:
        return []
    if len(places) == 1:
        return [f"column {places[0]} has no name; it is called column_{places[0]}"]
    return [
        f"columns {', '.join(places)} have no name; they are called column_{places[0]} and so on"
    ]


def _odd_lines(count: int) -> str:
    lines = "1 line has" if count == 1 else f"{count} lines have"
    return f"{lines} more or fewer fields than the header line, which is no row here or in a run"
