"""Text files with delimiters: every column as text, in a declared dialect.

A gateway reads what the schema or its policy declares, whatever the rows hold.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
from pydantic import ValidationError

from silosynth.client.csv.odd import open_plain
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.files import delimiter_of, named_as_arrow_knows, unreadable_table
from silosynth.common.schema import CsvDialect

_BLOCK_BYTES = 1 << 23
_SAMPLE_LINES = 50
_ENCODINGS = {"utf-8": "utf-8-sig", "latin-1": "latin-1", "utf-16": "utf-16"}
_ENCODINGS |= {"utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}
_DECLARE = "declare its encoding (latin-1, utf-16, utf-16-le or utf-16-be), or save it as UTF-8"
_LINE = 1 << 20
_MOST_ODD_LINES, _LINES_TO_AN_ODD_ONE = 1000, 20
"""Lines of other lengths that are passed over, and how many others there are to each."""


def read_csv(
    path: Path, *, dialect: CsvDialect | None = None, names: Sequence[str] = ()
) -> pa.Table:
    """Read a whole file as text: an empty field is null, a quoted empty one is text.

    A column without a name is called after its place. A few lines with more or fewer fields than
    the header line, a last one such as ``End of report``, are passed over, as a gateway does.
    Raises InvalidTable for two columns of one name, and for what no table is.

    Args: names: those of the columns where the file has no header line.
    """
    how, fields = dialect or default_dialect(path), list[int]()

    def skip(row: pacsv.InvalidRow) -> str:
        fields.append(row.actual_columns)
        return "skip" if len(fields) <= _MOST_ODD_LINES else "error"

    columns = csv_columns(path, dialect=how, names=names)
    # Bytes that are not text are found below, where no line is passed over.
    options = csv_options(columns, dialect=how) | {
        "parse_options": csv_options(columns, dialect=how, bad_line=skip)["parse_options"]
    }
    try:
        table = pacsv.read_csv(named_as_arrow_knows(path), **options)
    except (pa.ArrowException, UnicodeError, EOFError) as err:
        raise _ragged(path, fields, columns) or csv_fault(str(path), err) from None
    if len(fields) * _LINES_TO_AN_ODD_ONE > table.num_rows:
        raise _ragged(path, fields, columns)  # type: ignore[misc]  # there are some
    return table


def _ragged(path: Path, fields: Sequence[int], columns: Sequence[str]) -> InvalidTable | None:
    """Return what is wrong where lines have other numbers of fields than the header line."""
    if not fields:
        return None
    if set(fields) == {len(columns) + 1}:
        return InvalidTable(
            f"{path}: its lines have one field more than its header line",
            hint="R writes tables so: use row.names = FALSE, or give the first column a name",
        )
    return InvalidTable(
        f"{path}: has lines with more or fewer fields than its header line",
        hint="check the delimiter and the quotes, or export the table again",
    )


def count_bad_lines(
    path: Path, *, dialect: CsvDialect | None = None, names: Sequence[str] = ()
) -> int:
    """Return how many lines have more or fewer fields than the header line. Private."""
    how, found = dialect or default_dialect(path), 0

    def skip(_: pacsv.InvalidRow) -> str:
        nonlocal found
        found += 1
        return "skip"

    columns = csv_columns(path, dialect=how, names=names)
    try:
        options = csv_options(columns, dialect=how, bad_line=skip)
        for _ in pacsv.open_csv(named_as_arrow_knows(path), **options):
            pass
    except (pa.ArrowException, UnicodeError, EOFError) as err:
        raise csv_fault(str(path), err) from None
    return found


def bad_lines_words(count: int) -> str:
    """Say of lines that were counted so that they are passed over.

    >>> bad_lines_words(1)
    '1 line has more or fewer fields than the header line: not read'
    """
    lines = "1 line has" if count == 1 else f"{count} lines have"
    return f"{lines} more or fewer fields than the header line: not read"


def csv_options(
    columns: Sequence[str],
    *,
    dialect: CsvDialect,
    bad_line: Callable[[pacsv.InvalidRow], str] | None = None,
    kept: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return how Arrow reads such a file: every column as text."""
    wide = len(columns) > 1
    return {
        "read_options": pacsv.ReadOptions(
            column_names=list(columns),
            skip_rows=dialect.skip,
            skip_rows_after_names=int(dialect.header),
            # Arrow skips the mark at the start of UTF-8 itself, and reads any bytes as text.
            encoding=dialect.encoding.replace("utf-8", "utf8"),
            block_size=_BLOCK_BYTES,
        ),
        "parse_options": pacsv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote,
            newlines_in_values=True,
            ignore_empty_lines=wide,
            invalid_row_handler=bad_line,
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=list(columns if kept is None else kept),
            null_values=[""],
            strings_can_be_null=True,
            # In one column alone, a line that holds nothing is a quoted nothing.
            quoted_strings_can_be_null=not wide,
            check_utf8=bad_line is None,
        ),
    }


def csv_columns(path: Path, *, dialect: CsvDialect, names: Sequence[str]) -> list[str]:
    """Return the names of a file's columns: its header line's, or those that are declared."""
    return read_header(path, dialect=dialect) if dialect.header else list(names)


def read_header(path: Path, *, dialect: CsvDialect) -> list[str]:
    """Return the names of a file's columns; those without one are called after their place."""
    return name_columns(header_fields(path, dialect=dialect))


def header_fields(path: Path, *, dialect: CsvDialect) -> list[str]:
    """Return what stands in a file's header line, field by field."""
    # What the rows below hold must not decide whether the header can be read.
    lines = first_lines(path, encoding=dialect.encoding, skip=dialect.skip, errors="replace")
    rows = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)
    names = next((row for row in rows if row), [])
    if any("\ufffd" in name for name in names):
        raise _not_text(path, encoding=dialect.encoding)
    trimmed = [name.strip() for name in names]
    twins = sorted({name for name in trimmed if name and trimmed.count(name) > 1})
    if twins:
        raise InvalidTable(f"{path}: column {twins[0]!r} is there twice", hint="rename one of them")
    return names


def name_columns(names: Sequence[str]) -> list[str]:
    """Call each column without a name after its place: ``column_1``."""
    return [name.strip() or f"column_{place}" for place, name in enumerate(names, start=1)]


def declared_dialect(
    *, delimiter: str | None = None, encoding: str | None = None, header: bool = True
) -> CsvDialect | None:
    """Return what a person says of a text file; None where nothing is said.

    Raises InvalidArgument for what no file is written like.
    """
    facts: dict[str, object] = {} if header else {"header": False}
    facts |= {} if delimiter is None else {"delimiter": delimiter.replace("\\t", "\t")}
    facts |= {} if encoding is None else {"encoding": encoding.lower()}
    try:
        return CsvDialect.model_validate(facts) if facts else None
    except ValidationError:
        raise InvalidArgument(
            "that is no way to write a text file",
            hint="a delimiter is one mark; an encoding utf-8, latin-1, utf-16, utf-16-le or "
            "utf-16-be",
        ) from None


def default_dialect(path: Path) -> CsvDialect:
    """Return what a file is written like by its name alone: tabs for .tsv, else mostly commas."""
    return CsvDialect(delimiter=delimiter_of(path))


def first_lines(path: Path, *, encoding: str, skip: int = 0, errors: str = "strict") -> list[str]:
    """Return the first lines of a text file, packed or not; raise InvalidTable for what is none."""
    lines: list[str] = []
    try:
        with open_text(path) as file:
            reader = codecs.getreader(_ENCODINGS[encoding])(file, errors)
            for _ in range(_SAMPLE_LINES + skip):
                line = reader.readline(_LINE)
                if not line:
                    break
                lines.append(line)
    except UnicodeError:
        raise _not_text(path, encoding=encoding) from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidTable(
            f"{path}: cannot be read: damaged", hint="pack it again with gzip"
        ) from None
    if not "".join(lines[skip:]).strip():
        raise InvalidTable(f"{path}: is empty; a table begins with a header line")
    return lines[skip:]


def _not_text(path: Path, *, encoding: str) -> InvalidTable:
    if encoding == "utf-16" and not _is_marked(path):
        return InvalidTable(
            f"{path}: does not begin with the mark that UTF-16 begins with",
            hint="declare utf-16-le, as Windows writes it, or utf-16-be",
        )
    return InvalidTable(
        f"{path}: is not {encoding.upper()} text",
        hint=_DECLARE,
    )


def _is_marked(path: Path) -> bool:
    with open_text(path) as file:
        return file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def as_plain_text(path: Path, *, dialect: CsvDialect) -> Iterator[tuple[Path, CsvDialect]]:
    """Give a file as UTF-8 that begins with its header, and the dialect in which it stands there.

    Where it is none it is written anew in a folder that only this user may open, for as long as
    the block runs; bytes that are not text become U+FFFD, whatever rows they stand in.
    """
    if dialect.encoding == "utf-8" and not dialect.skip:
        yield path, dialect
        return
    with TemporaryDirectory(prefix="silosynth-") as folder:
        plain = Path(folder) / "plain.csv"
        with open_text(path) as file, plain.open("w", encoding="utf-8", newline="") as written:
            reader = codecs.getreader(_ENCODINGS[dialect.encoding])(file, "replace")
            for _ in range(dialect.skip):
                reader.readline()
            while text := reader.read(_LINE):
                written.write(text)
        yield plain, dialect.model_copy(update={"encoding": "utf-8", "skip": 0})


def csv_fault(origin: str, err: Exception) -> InvalidTable:
    """Return what is wrong with a file; Arrow's own text quotes rows, so none of it goes on."""
    text = str(err).lower()
    if isinstance(err, EOFError) or "gz" in text or "zlib" in text or "compressed" in text:
        return InvalidTable(f"{origin}: cannot be read: damaged", hint="pack it again with gzip")
    if isinstance(err, UnicodeError) or "utf8" in text or "utf-8" in text:
        return InvalidTable(
            f"{origin}: is not UTF-8 text, or not in the encoding that is declared",
            hint=_DECLARE,
        )
    if "expected" in text and "column" in text:
        return InvalidTable(
            f"{origin}: has lines with more or fewer fields than its header line",
            hint="check the delimiter and the quotes, or export the table again",
        )
    return InvalidTable(
        f"{origin}: cannot be read as text with delimiters",
        hint="a quoted field may not end; export the table again",
    )


def open_text(path: Path) -> IO[bytes] | gzip.GzipFile:
    try:
        return open_plain(path)
    except OSError as err:
        raise unreadable_table(path, err) from None
