"""Which CSV files a fast reader would refuse, and a reader of those, record by record.

Whether a silo answers must not depend on one row. A fast reader gives up at the first line that is
too long or not UTF-8; so a file is looked through first: one that is written as RFC 4180 has it
cannot fail, and any other is read here, where no record makes it fail. A record counts when it has
as many fields as the header; any other is left out, and the operator is told how many were. Bytes
that are not UTF-8 are left to the codec, which replaces them.
"""

from __future__ import annotations

import codecs
import gzip
import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
import pyarrow as pa

from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CsvDialect

LONGEST_RECORD = 2_000_000
"""Bytes of a record that the fast reader takes; a longer one is read by the other, see there."""

_CHUNK = 1 << 22
_RETURN, _FEED = b"\r\n"


def is_legal(path: Path, *, delimiter: str, quote: str = '"') -> bool:
    """Say whether a file is UTF-8 and each record is legal, short, and of the header's length.

    Guarantees: True only if quotes open and close at the ends of fields and are doubled within,
    records all end in one way, none is above ``LONGEST_RECORD``, and all have as many fields.

    Raises InvalidTable when the file cannot be read, or what it is compressed by is damaged.
    """
    check = _Check(delimiter=ord(delimiter), quote=ord(quote))
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in read_chunks(path):
            decoder.decode(chunk)
            if not check.takes(chunk):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return check.ends_well()


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, uncompressed; raise InvalidTable when they cannot be read."""
    try:
        with closing(open_plain(path)) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (OSError, EOFError, zlib.error):
        raise InvalidTable(f"{path}: cannot be read", hint="export the table again") from None


def last_byte(path: Path) -> bytes:
    """Return the last byte of a file, uncompressed; nothing of an empty one."""
    if _is_packed(path):
        last = b""
        for chunk in read_chunks(path):
            last = chunk[-1:]
        return last
    with open_plain(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        return file.read()


def open_plain(path: Path) -> BinaryIO:
    """Open a file, compressed or not."""
    return cast(BinaryIO, gzip.open(path)) if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


class _Check:
    """Own what one look through a file has to remember between its pieces."""

    def __init__(self, *, delimiter: int, quote: int) -> None:
        self._delimiter, self._quote = delimiter, quote
        self._last = _FEED
        """The byte before: a file begins as a record does."""
        self._inside = False
        self._fields: int | None = None
        self._open_fields = 0
        self._open_bytes = 0
        self._returns: bool | None = None

    def takes(self, chunk: bytes) -> bool:
        """Say whether the file is legal up to the end of another piece."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        before = np.concatenate(([self._last], data[:-1])).astype(np.uint8)
        quotes = data == self._quote
        inside = (np.cumsum(quotes, dtype=np.int64) & 1).astype(bool) ^ self._inside
        if not self._quotes_stand_right(data, before, quotes, inside):
            return False
        ends = np.flatnonzero((data == _FEED) & ~inside)
        returned = before[ends] == _RETURN
        bare = (before == _RETURN) & (data != _FEED) & ~inside & ~quotes
        self._returns = bool(returned[0]) if self._returns is None and len(ends) else self._returns
        if bare.any() or (returned != self._returns).any():
            return False
        separators = np.cumsum((data == self._delimiter) & ~inside)
        legal = self._records_fit(ends, separators, size=len(data))
        self._last, self._inside = int(data[-1]), bool(inside[-1])
        return legal

    def ends_well(self) -> bool:
        """Say whether the last record is legal too; it need not end."""
        if self._inside or self._last == _RETURN:
            return False
        last = self._last != _FEED
        return not last or self._fields in (None, self._open_fields + 1)

    def _quotes_stand_right(
        self, data: np.ndarray, before: np.ndarray, quotes: np.ndarray, inside: np.ndarray
    ) -> bool:
        """Say whether quotes open after, and close before, a separator or the end of a record."""
        opening = quotes & inside
        allowed = (before == self._delimiter) | (before == _FEED) | (before == self._quote)
        closed = (before == self._quote) & ~inside & ~quotes
        follows = (data == self._delimiter) | (data == _RETURN) | (data == _FEED)
        return not (opening & ~allowed).any() and not (closed & ~follows).any()

    def _records_fit(self, ends: np.ndarray, separators: np.ndarray, *, size: int) -> bool:
        """Say whether records have the length and the fields that they may have."""
        if not len(ends):
            self._open_fields += int(separators[-1])
            self._open_bytes += size
            return self._open_bytes <= LONGEST_RECORD
        found = np.diff(separators[ends], prepend=0)
        found[0] += self._open_fields
        lengths = np.diff(ends, prepend=-1)
        lengths[0] += self._open_bytes
        fields = found + 1
        self._fields = int(fields[0]) if self._fields is None else self._fields
        self._open_fields = int(separators[-1] - separators[ends[-1]])
        self._open_bytes = size - 1 - int(ends[-1])
        longest = max(int(lengths.max()), self._open_bytes)
        return bool((fields == self._fields).all()) and longest <= LONGEST_RECORD


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
        told = "1 record has" if left_out == 1 else f"{left_out:,} records have"
        tell_operator(f"{told} too few or too many fields: not counted")


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
