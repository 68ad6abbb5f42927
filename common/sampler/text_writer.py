"""Rows to a text file with delimiters, spelled as a dialect says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.schema import CsvDialect


class TextWriter:
    """Write tables of texts: null is an empty field.

    A text is quoted where it must be, and where the dialect says so.
    """

    def __init__(self, path: Path, *, names: Sequence[str], dialect: CsvDialect) -> None:
        """Open the file and write its header line."""
        self._dialect = dialect
        self._encoding = dialect.encoding
        self._alone = len(names) == 1
        self._file = path.open("wb")
        mark, end = re.escape(dialect.delimiter), r"\r\n"
        self._special = rf"[{mark}{re.escape(dialect.quote)}{end}]|^\s|\s$|^$"
        if dialect.header:
            header = pa.table([pa.array([name], pa.large_string()) for name in names], list(names))
            always = [dialect.quoted_header] * len(names)
            self._write_lines(header, always=always, first=True)

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""
        quoted = self._dialect.quoted
        always = [quoted == "all" or name in quoted for name in table.column_names]
        first = not self._dialect.header and self._file.tell() == 0
        self._write_lines(table, always=always, first=first)

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _write_lines(self, table: pa.Table, *, always: Sequence[bool], first: bool) -> None:
        if not table.num_rows:
            return
        columns = zip(table.columns, always, strict=True)
        fields = [self._quote(column.combine_chunks(), always=each) for column, each in columns]
        between = pa.scalar(self._dialect.delimiter, pa.large_string())
        lines = pc.binary_join_element_wise(
            *fields, between, null_handling="replace", null_replacement=""
        )
        ended = pc.binary_join_element_wise(
            lines, pa.scalar(self._dialect.newline, pa.large_string()), pa.scalar("", lines.type)
        )
        self._file.write(self._encode("".join(ended.to_pylist()), first=first))

    def _quote(self, texts: pa.Array, *, always: bool) -> pa.Array:
        """Put quotes around texts that would be read otherwise without them, or around all."""
        texts, quote = texts.cast(pa.large_string()), self._dialect.quote
        if self._alone:
            # A line that holds nothing would not be read as a row.
            texts = pc.fill_null(texts, "")
        needed = pc.match_substring_regex(texts, self._special)
        if always:
            bare = pa.array(self._dialect.bare, pa.large_string())
            needed = pc.or_(needed, pc.invert(pc.is_in(texts, value_set=bare)))
        if not pc.any(needed).as_py():
            return texts
        doubled = pc.replace_substring(texts, quote, quote * 2)
        mark = pa.scalar(quote, pa.large_string())
        quoted = pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", texts.type))
        return pc.if_else(needed, quoted, texts)

    def _encode(self, text: str, *, first: bool) -> bytes:
        """Return the bytes of a text; what has a mark begins with it once."""
        if self._dialect.mark and first:
            return text.encode("utf-8-sig")
        if self._encoding == "utf-16":
            return text.encode("utf-16" if first else "utf-16-le")
        return text.encode(self._encoding, "replace")
