"""How a text file is written, found out from its first lines where a draft or a run asks for it."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from silosynth.client.csv.files import first_lines, open_text
from silosynth.client.csv.quoting import quoting_of
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CsvDialect

DELIMITERS = (",", ";", "\t", "|")
_UTF8 = (codecs.BOM_UTF8,)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NAMES_DELIMITER = re.compile(r"^\ufeff?sep=(\\t|.)\r?\n?$", re.IGNORECASE)
_FEWEST_BELOW = 2
"""Lines below the names that show how many fields a table has."""
_LONGEST_TITLED, _NARROW = 100_000, 2
_A_NUMBER = r"[+-]?[\d.,]*\d[\d.,]*"
_SAMPLE = 50
"""Lines that are looked at."""
_RARE_DELIMITERS = "^~\x01\x1f!*: "
"""Looked for where none of the usual ones stands in a header line."""
_OTHER_FILES = (
    (b"PK", "is an archive or a file of Excel", "unpack it, or name it .xlsx"),
    (b"\xd0\xcf\x11\xe0", "is an old file of Excel", "save it as .xlsx or as text"),
    (b"\x1f\x8b", "is packed by gzip", "let its name end in .gz"),
    (b"PAR1", "is a Parquet file", "let its name end in .parquet"),
    (b"%PDF", "is a PDF", "export the table as text with delimiters"),
    (b"SQLite format", "is a database", "export the table as text with delimiters"),
)
_OTHER_TEXTS = r"^\ufeff?\s*(<[!?a-zA-Z]|[\[{]\s*[\"{\[]|[\[{]\s*$)"
"""How JSON, XML and HTML begin."""


def sniff_dialect(path: Path, *, like: CsvDialect | None = None) -> CsvDialect:
    """Find out how a file is written; what ``like`` declares is taken as it is.

    DuckDB's sniffer proposes delimiter, quote and comments; the header line is believed more where
    it shows one delimiter alone, so that a short or ragged table is read as its header says.

    Raises InvalidTable for a file that is not text in the declared encoding, or empty.
    """
    declared = like.model_dump(exclude_unset=True) if like else {}
    _refuse_other_files(path)
    encoding = declared.get("encoding") or _encoding(path)
    lines = first_lines(path, encoding=encoding)
    _refuse_other_texts(path, lines)
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    skip, named = _lines_before_header(lines)
    found: dict[str, object] = {"encoding": encoding, "newline": newline, "skip": skip}
    header = lines[int(str(declared.get("skip", skip)))]
    shown = [mark for mark in DELIMITERS if mark in header]
    shown = [named] if named in shown else shown
    if len(shown) == 1:
        found["delimiter"] = shown[0]
        found |= _quoted(header, delimiter=shown[0])
    elif shown:
        found |= _sniffed(path) or {"delimiter": shown[0]}
    elif rare := _rare_delimiter(lines[int(str(found["skip"])) :]):
        found["delimiter"] = rare
        found |= _quoted(header, delimiter=rare)
    found["mark"] = encoding == "utf-8" and _begins(path, _UTF8)
    return _with_quoting(found | declared, declared=declared, lines=lines)


def _with_quoting(
    found: dict[str, object], *, declared: dict[str, object], lines: Sequence[str]
) -> CsvDialect:
    """Return the dialect that was found, with what stands in quotes without need."""
    how = CsvDialect.model_validate(found)
    whole = len(lines) < _SAMPLE
    quoting = quoting_of(lines[how.skip :], dialect=how, whole=whole)
    return CsvDialect.model_validate(found | quoting | declared)


def _encoding(path: Path) -> str:
    """Return utf-16 for a file that begins with its mark, else utf-8."""
    return "utf-16" if _begins(path, _UTF16) else "utf-8"


def _begins(path: Path, marks: tuple[bytes, ...]) -> bool:
    """Say whether a file begins with one of some bytes."""
    try:
        with open_text(path) as file:
            return file.read(len(marks[0])) in marks
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False


def _lines_before_header(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return how many lines stand before the header, and the delimiter that one of them names.

    Comments, Excel's ``sep=;``, and titles: lines with one field, before a line of names that all
    others have as many fields as.
    """
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    count = min(count, len(lines) - 1)
    if (named := _NAMES_DELIMITER.match(lines[count])) and count + 1 < len(lines):
        return count + 1, named[1].replace("\\t", "\t")
    # A comma in each number of a table by semicolons is no second way to read it.
    ways = [_lines_of_titles(lines[count:], delimiter=mark) for mark in DELIMITERS]
    return count + max(ways, key=lambda way: way[0])[1], None


def _lines_of_titles(lines: Sequence[str], *, delimiter: str) -> tuple[int, int]:
    """Return how many columns a table by ``delimiter`` has, and how many titles stand before it.

    Nought where lines differ in how many fields they have.
    """
    if max(map(len, lines)) > _LONGEST_TITLED:
        return 0, 0
    rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
    widest = max(len(row) for row in rows)
    start = next((i for i, row in enumerate(rows) if len(row) == widest and all(row)), 0)
    below = [row for row in rows[start + 1 :] if row]
    if widest < 2 or len(below) < _FEWEST_BELOW or any(len(row) != widest for row in below):
        return 0, 0
    named = not any(re.fullmatch(_A_NUMBER, field.strip()) for field in rows[start])
    titles = all(_is_title(row, widest=widest) for row in rows[:start]) and any(map(any, rows))
    return widest, start if named and titles and rows[start] not in below else 0


def _is_title(row: Sequence[str], *, widest: int) -> bool:
    """Say whether a line has nothing but its first field; a sheet writes the others empty."""
    return not any(row[1:]) and (len(row) < widest or widest > _NARROW)


def _quoted(header: str, *, delimiter: str) -> dict[str, object]:
    """Return the other quote where every name of a header stands in it."""
    names = [name.strip() for name in header.split(delimiter)]
    return {"quote": "'"} if all(re.fullmatch(r"'[^']+'", name) for name in names) else {}


def _sniffed(path: Path) -> dict[str, object] | None:
    """Return what DuckDB's sniffer finds, or None where it finds nothing, or is not installed."""
    try:
        from silosynth.client.csv.sniffer import sniff_csv  # an extra
    except ModuleNotFoundError:
        return None
    found = sniff_csv(path)
    if found is None or found[0] not in DELIMITERS:
        return None
    facts: dict[str, object] = {"delimiter": found[0]}
    return facts | ({"quote": "'"} if found[1] == "'" else {})


def _rare_delimiter(lines: Sequence[str]) -> str | None:
    """Return a mark that stands as often in each line as between the names of a header."""
    filled = [line.rstrip("\r\n") for line in lines if line.strip()]
    for mark in _RARE_DELIMITERS:
        count = filled[0].count(mark)
        names = [name.strip() for name in filled[0].split(mark)]
        right = count and len(filled) > _FEWEST_BELOW and len(set(names)) == len(names)
        alike = right and all(names) and all(line.count(mark) == count for line in filled)
        if alike and (mark != " " or _has_numbers(filled[1:])):
            return mark
    return None


def _has_numbers(lines: Sequence[str]) -> bool:
    """Say whether some part of all lines is a number, as in no list of names of two words."""
    parts = zip(*(line.split(" ") for line in lines), strict=True)
    return any(
        all(re.fullmatch(_A_NUMBER, part.strip("\"'")) for part in column) for column in parts
    )


def _unmarked(line: str) -> str:
    """Return which half of a sign the zero bytes of plain letters are."""
    return "utf-16-be" if line.startswith("\x00") else "utf-16-le"


def _refuse_other_files(path: Path) -> None:
    """Raise InvalidTable for a file that another program packs or reads, by how it begins."""
    if path.suffix.lower() == ".gz":
        return
    with open_text(path) as file:
        begins = file.read(16)
    for mark, what, hint in _OTHER_FILES:
        if begins.startswith(mark):
            raise InvalidTable(f"{path}: {what}, and no text with delimiters", hint=hint)


def _refuse_other_texts(path: Path, lines: Sequence[str]) -> None:
    """Raise InvalidTable for texts that no table is: JSON, a page, or half of a sign's bytes."""
    first = next((line for line in lines if line.strip()), "")
    if re.match(_OTHER_TEXTS, first):
        raise InvalidTable(
            f"{path}: looks like JSON, XML or HTML, and not like text with delimiters",
            hint="export the table as CSV or Parquet",
        )
    if "\x00" in first:
        raise InvalidTable(
            f"{path}: holds zero bytes in its header line",
            hint=f"if it is UTF-16 without a mark, declare it: --encoding {_unmarked(first)}",
        )
