"""Read a CSV file that a fast reader would refuse, record by record; no record makes it fail.

A record counts when it has as many fields as the header; any other is left out, and the operator is
told how many were. Bytes that are not UTF-8 are left to the codec, which replaces them.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from silosynth.client.csv.legal import open_plain
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CsvDialect

LONGEST_FIELD = 64 << 20
"""Bytes that are kept of a field; the rest of a longer one is cut off."""

_BATCH_ROWS = 1 << 16
_BATCH_BYTES = 1 << 27

Fragment: TypeAlias = "Callable[[], pa.Table]"
Record = list[bytes | None]


def read_oddly(
    path: Path,
    *,
    dialect: CsvDialect,
    names: Sequence[str],
    columns: Sequence[str],
    tell_operator: Callable[[str], None],
) -> Iterator[Fragment]:
    """Yield the records of a file as text: an empty field is null, a quoted empty one is text.

    Guarantees: what is read of a legal record is what the fast reader reads of it, and depends on
    no other record.

    Args:
        names: of all the columns, as the fast reader calls them.
        columns: those that are wanted.
    """
    left_out, batch, size = 0, list[Record](), 0
    mark, quote = dialect.delimiter.encode(), dialect.quote.encode()
    records = _records(_content(path), delimiter=mark, quote=quote)
    if dialect.header:
        next(records, None)
    for record in records:
        if len(record) != len(names):
            left_out += record != [None]
            continue
        # In one column alone, a line that holds nothing is written as a quoted nothing.
        batch.append([record[0] or None] if len(names) == 1 else record)
        size += sum(len(field) for field in record if field is not None)
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield partial(_as_table, batch, names, columns)
            batch, size = [], 0
    yield partial(_as_table, batch, names, columns)
    if left_out:
        tell_operator(f"{left_out} records have too few or too many fields and are not counted")


def _content(path: Path) -> bytes | mmap.mmap:
    """Return a file's bytes, mapped where they need not be uncompressed."""
    try:
        with open_plain(path) as file:
            if path.suffix.lower() == ".gz" or path.stat().st_size == 0:
                return file.read()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, EOFError):
        raise InvalidTable(f"{path}: cannot be read", hint="export the table again") from None


def _pattern(delimiter: bytes, quote: bytes) -> re.Pattern[bytes]:
    """Return the pattern of one field with what ends it; a quote that does not close is text."""
    inside = b"[^" + quote + b"]*"
    quoted = quote + b"(?P<quoted>" + inside + b"(?:" + quote * 2 + inside + b")*)" + quote
    separator = re.escape(delimiter)
    return re.compile(
        b"(?:" + quoted + b"|(?P<plain>[^" + separator + rb"\r\n]*))"
        rb"(?P<end>" + separator + rb"|\r\n|\n|\r|\Z)"
    )


def _records(content: bytes | mmap.mmap, *, delimiter: bytes, quote: bytes) -> Iterator[Record]:
    """Yield each record's fields."""
    record: Record = []
    for match in _pattern(delimiter, quote).finditer(content):
        if match.start() == len(content) and not record:
            return  # behind the end of the last record
        quoted = match["quoted"]
        if quoted is not None:
            record.append(quoted[:LONGEST_FIELD].replace(quote * 2, quote))
        else:
            record.append(match["plain"][:LONGEST_FIELD] or None)
        if match["end"] != delimiter:
            yield record
            record = []


def _as_table(batch: list[Record], names: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Return records as columns of text, not looked at for what is not UTF-8."""
    transposed = list(zip(*batch, strict=True)) if batch else [()] * len(names)
    arrays = {
        name: pa.array(values, pa.large_binary()).view(pa.large_string())
        for name, values in zip(names, transposed, strict=True)
        if name in columns
    }
    return pa.table(arrays).select(list(columns))
