"""Parquet, Arrow and text files, one or a folder of them, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pt

from silosynth.client.csv import (
    as_plain_text,
    csv_columns,
    csv_fault,
    csv_options,
    default_dialect,
    is_legal,
    last_byte,
    read_chunks,
    read_oddly,
)
from silosynth.client.source.caches.file_state import file_digest, watch_files
from silosynth.client.source.spec import Fragment, Reader
from silosynth.client.source.table import ARROW, PARQUET, Wanted, guarded, open_arrow
from silosynth.common.errors import InvalidTable
from silosynth.common.files import named_as_arrow_knows
from silosynth.common.schema import CsvDialect


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """One row group of a Parquet file; ``number`` is None for a file that has none."""

    path: Path
    number: int | None
    columns: tuple[str, ...]
    rows: int

    def read(self) -> pa.Table:
        """Read the row group; text is decoded once for each distinct value."""
        return guarded(self.path, self._read)

    def _read(self) -> pa.Table:
        stored = pq.read_schema(self.path)
        columns = list(self.columns)
        if self.number is None:
            return stored.empty_table().select(columns)
        text = [field.name for field in stored if pt.is_string(field.type)]
        with pq.ParquetFile(self.path, read_dictionary=text) as file:
            return file.read_row_group(self.number, columns=columns, use_threads=False)


def open_parquet(path: Path, *, wanted: Wanted) -> Reader:
    """Read Parquet files by row groups."""
    files = list_files(path, endings=PARQUET)
    check = watch_files(files)
    groups = list_row_groups(path, wanted=wanted)
    return Reader(
        fragments=lambda: (group.read for group in groups),
        rows=sum(group.rows for group in groups),
        key=lambda: file_digest(files),
        check=check,
    )


def list_row_groups(path: Path, *, wanted: Wanted) -> list[RowGroup]:
    """Return the row groups of a file or folder; raise InvalidTable for columns that do not fit."""
    groups = []
    for file in list_files(path, endings=PARQUET):
        stored = guarded(file, partial(pq.read_metadata, file))
        columns = tuple(wanted.columns(stored.schema.to_arrow_schema(), origin=str(file)))
        for number in range(stored.num_row_groups):
            rows = stored.row_group(number).num_rows
            groups.append(RowGroup(path=file, number=number, columns=columns, rows=rows))
        if not stored.num_row_groups:
            groups.append(RowGroup(path=file, number=None, columns=columns, rows=0))
    return groups


def open_arrow_files(path: Path, *, wanted: Wanted) -> Reader:
    """Read Arrow files or streams by record batches."""
    files = list_files(path, endings=ARROW)
    check = watch_files(files)
    columns = {}
    for file in files:
        stored = guarded(file, lambda file=file: open_arrow(file).schema)  # type: ignore[misc]  # bound now
        columns[file] = wanted.columns(stored, origin=str(file))
    return Reader(
        fragments=lambda: (f for file in files for f in _batches(file, columns[file])),
        key=lambda: file_digest(files),
        check=check,
    )


def open_csv_files(
    paths: Sequence[Path],
    *,
    dialect: CsvDialect | None,
    wanted: Wanted,
    tell_operator: Callable[[str], None] = lambda _: None,
) -> Reader:
    """Read files of one dialect block by block, as a gateway does: whatever the rows hold.

    A record with more or fewer fields than the header is passed over, a quote that does not close
    is text, and bytes that are not text are left to the codec: what a person's row looks like
    decides over that row alone.
    """
    how = dialect or wanted.schema.csv or default_dialect(paths[0])
    return Reader(
        fragments=lambda: (
            fragment
            for path in paths
            for fragment in _records(path, dialect=how, wanted=wanted, tell_operator=tell_operator)
        ),
        key=lambda: f"{file_digest(paths)} {how.model_dump_json()}",
        check=watch_files(paths),
    )


def list_files(path: Path, *, endings: Sequence[str]) -> list[Path]:
    """Return the file, or a folder's files of one kind in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(f for f in path.iterdir() if f.name.lower().endswith(tuple(endings)))
    if not found:
        raise InvalidTable(f"{path}: no file in it ends in {' or '.join(endings)}")
    return found


def _records(
    path: Path, *, dialect: CsvDialect, wanted: Wanted, tell_operator: Callable[[str], None]
) -> Iterator[Fragment]:
    """Yield a file's records: by a fast reader where it cannot fail, else one by one."""
    names = csv_columns(path, dialect=dialect, names=wanted.names())
    kept = wanted.columns(pa.schema([(name, pa.string()) for name in names]), origin=str(path))
    with as_plain_text(path, dialect=dialect) as (plain, how):
        legal = is_legal(plain, delimiter=how.delimiter, quote=how.quote)
        if legal and _suits_arrow(plain, delimiter=how.delimiter):
            yield from _blocks(plain, dialect=how, names=names, kept=kept)
        else:
            yield from read_oddly(
                plain, dialect=how, names=names, columns=kept, tell_operator=tell_operator
            )


def _suits_arrow(path: Path, *, delimiter: str) -> bool:
    """Say whether Arrow reads a legal file as it is written.

    It cannot read a header without rows, and takes an empty field at the very end for a quoted one.
    """
    has_rows = any(b"\n" in piece for piece in read_chunks(path))
    return has_rows and last_byte(path) != delimiter.encode()


def _blocks(
    path: Path, *, dialect: CsvDialect, names: Sequence[str], kept: Sequence[str]
) -> Iterator[Fragment]:
    """Yield a fragment per block of a legal file, at least one."""
    options = csv_options(names, dialect=dialect, bad_line=lambda _: "skip", kept=kept)
    empty = pa.schema([(name, pa.string()) for name in kept]).empty_table()
    yield lambda: empty
    try:
        with pacsv.open_csv(named_as_arrow_knows(path), **options) as reader:
            for batch in reader:
                yield partial(pa.Table.from_batches, [batch])
    except (pa.ArrowException, UnicodeError, EOFError) as err:
        raise csv_fault(str(path), err) from None


def _batches(path: Path, columns: Sequence[str]) -> Iterator[Fragment]:
    """Yield a fragment per record batch; one without rows for a file that has none."""
    with guarded(path, partial(open_arrow, path)) as reader:
        if isinstance(reader, pa.RecordBatchFileReader):
            for number in range(reader.num_record_batches):
                batch = guarded(path, partial(reader.get_batch, number))
                yield partial(_select, batch, columns)
        else:
            while (batch := guarded(path, partial(next, iter(reader), None))) is not None:
                yield partial(_select, batch, columns)
        yield partial(_select, reader.schema.empty_table(), columns)


def _select(rows: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> pa.Table:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    return table.select(list(columns))
