"""Synthetic rows to a Parquet, text or Excel file, as a stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from gzip import GzipFile
from pathlib import Path
from typing import IO, Any, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from silosynth.common.codec import Form
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import TEXT_ENDINGS, delimiter_of, fresh_file
from silosynth.common.sampler.keeping import Kept
from silosynth.common.sampler.sampler import DrawsRows, draw_batches
from silosynth.common.schema import CsvDialect


class TextWriter:
    """Write tables of texts: null is an empty field.

    A text is quoted where it must be, and where the dialect says so.
    """

    def __init__(
        self, path: Path, *, names: Sequence[str], dialect: CsvDialect, packed: bool = False
    ) -> None:
        """Open the file, ``packed`` by gzip or not, and write its header line."""
        self._dialect = dialect
        self._encoding = dialect.encoding
        self._alone = len(names) == 1
        self._file: IO[bytes] = path.open("wb")
        self._packed = self._file
        if packed:
            # Neither name nor time: the same rows are the same bytes.
            self._file = cast("IO[bytes]", GzipFile("", "wb", 6, self._packed, 0))
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
        self._packed.close()

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


class SheetWriter:
    """Write tables to the first sheet of an Excel file, values as they are typed.

    Excel has no instants in zones, no spans longer than a date and no long whole numbers: those are
    text there.
    """

    def __init__(self, path: Path, *, names: Sequence[str]) -> None:
        """Open a file and write its names; raise InvalidArgument where openpyxl is not there."""
        try:
            from openpyxl import Workbook  # an extra
            from openpyxl.cell import WriteOnlyCell
        except ModuleNotFoundError:
            raise InvalidArgument(
                "Excel files need openpyxl, which is not installed",
                hint="install silosynth[excel], or let the name end in .csv",
            ) from None
        self._path, self._rows, self._cell = path, 1, WriteOnlyCell
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("rows")
        self._sheet.append([self._shown(name) for name in names])

    def write_table(self, table: pa.Table) -> None:
        """Append rows; raise InvalidArgument where a sheet has no room for them."""
        self._rows += table.num_rows
        if self._rows > _SHEET_ROWS:
            raise InvalidArgument(
                f"a sheet of Excel has {_SHEET_ROWS - 1:,} rows at most",
                hint="draw fewer, or let the name end in .csv or .parquet",
            )
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            self._sheet.append([self._shown(value) for value in row])

    def close(self) -> None:
        """End the file."""
        self._book.save(self._path)

    def _shown(self, value: object) -> Any:
        """Return a cell: text is text, also where it begins as a formula does."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.isoformat(sep=" ")
        if isinstance(value, Decimal):
            value = float(value)
        if isinstance(value, int) and abs(value) > _SHEET_DIGITS:
            value = str(value)
        if isinstance(value, date) and value.year < _SHEET_YEAR:
            value = value.isoformat()
        if not isinstance(value, str):
            return value
        cell = self._cell(self._sheet, value=_CONTROL.sub("\ufffd", value)[:_SHEET_SIGNS])
        cell.data_type = "s"
        return cell


_SHEET_ROWS, _SHEET_SIGNS, _SHEET_DIGITS, _SHEET_YEAR = 1_048_576, 32_767, 10**15, 1900
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Writer(Protocol):
    """What all formats can do."""

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """End the file."""


_TEXT = {e: CsvDialect(delimiter=delimiter_of(Path(f"rows{e}"))) for e in TEXT_ENDINGS}
_SHEET = ".xlsx"
_PACKED = ".gz"
_ENDINGS = (".parquet", *_TEXT, *(f"{ending}{_PACKED}" for ending in _TEXT), _SHEET)


def ending_of(path: Path) -> str:
    """Return what says how a file is written: ``.csv``, or ``.csv.gz``."""
    ending = path.suffix.lower()
    return path.with_suffix("").suffix.lower() + ending if ending == _PACKED else ending


def write_rows(
    sampler: DrawsRows,
    *,
    rows: int,
    seed: int,
    path: Path,
    force: bool = False,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    mark: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Kept:
    """Draw ``rows`` rows into a ``.parquet``, ``.xlsx``, ``.csv`` or ``.tsv`` file, or ``.csv.gz``.

    Text files are spelled as the schema declares, in its dialect; a ``.tsv`` has tabs.

    Guarantees: the rows are those of :func:`silosynth.common.sampler.sampler.draw`; memory does
    not grow with ``rows``; a file that was begun and not ended is removed.

    Returns: how many rows were drawn so that those written keep the schema's rules.

    Args:
        progress: told the rows written so far after each batch.
        mark: what a Parquet file says of itself in its metadata.
        without: columns that are drawn and not written.
    """
    told = Kept()
    form = form_of_file(path)
    batches = draw_batches(sampler, rows=rows, seed=seed, threads=threads, form=form, told=told)
    with closing(batches):
        write_batches(
            (batch.drop_columns(list(without)) for batch in batches),
            path=path,
            dialect=sampler.schema.csv,
            force=force,
            progress=progress,
            mark=mark,
        )
    return told


def form_of_file(path: Path) -> Form:
    """Return whether a file holds text or typed columns; raise InvalidArgument for an ending."""
    ending = ending_of(path)
    if ending not in _ENDINGS:
        raise InvalidArgument(
            f"{path} has no known format", hint=f"end its name in {' or '.join(_ENDINGS)}"
        )
    return Form.SPELLED if ending.removesuffix(_PACKED) in _TEXT else Form.TYPED


def write_batches(
    batches: Iterator[pa.Table],
    *,
    path: Path,
    dialect: CsvDialect | None,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
    mark: Mapping[str, str] | None = None,
) -> int:
    """Write batches of one table, at least one, in the form of the file; return how many rows.

    Guarantees: a file that was begun and not ended is removed.
    """
    with fresh_file(path, force=force) as part:
        first = next(batches)
        columns = first.schema.with_metadata(mark)
        with closing(_open(part, ending_of(path), columns, dialect)) as writer:
            written = _write(writer, first, written=0, progress=progress)
            for batch in batches:
                written = _write(writer, batch, written=written, progress=progress)
    return written


def _open(path: Path, ending: str, columns: pa.Schema, declared: CsvDialect | None) -> Writer:
    """Open the writer that a file's ending calls for."""
    plain = ending.removesuffix(_PACKED)
    if plain in _TEXT:
        usual = _TEXT[plain]
        how = declared or usual
        if usual.delimiter == "\t":
            how = how.model_copy(update={"delimiter": "\t"})
        packed = plain != ending
        return TextWriter(path, names=columns.names, dialect=how, packed=packed)
    if ending == _SHEET:
        return SheetWriter(path, names=columns.names)
    return pa.parquet.ParquetWriter(path, columns, compression="zstd")  # type: ignore[no-any-return]  # pyarrow is untyped


def _write(
    writer: Writer, batch: pa.Table, *, written: int, progress: Callable[[int], None] | None
) -> int:
    """Write one batch and return the rows written so far."""
    writer.write_table(batch)
    written += batch.num_rows
    if progress is not None:
        progress(written)
    return written
