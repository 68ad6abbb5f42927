"""Parquet and Arrow files, one or a folder of them, read a row group or batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from silosynth.client.code_cache import file_digest
from silosynth.client.source_stream import Fragment, Reader
from silosynth.client.table import ARROW, PARQUET, Wanted, guarded, open_arrow
from silosynth.common.errors import InvalidTable


def open_parquet(path: Path, *, wanted: Wanted) -> Reader:
    """Read Parquet files by row groups; text is decoded once for each distinct value."""
    files = list_files(path, endings=PARQUET)
    columns: dict[Path, list[str]] = {}
    rows = 0
    for file in files:
        stored = guarded(file, partial(pq.read_metadata, file))
        columns[file] = wanted.columns(stored.schema.to_arrow_schema(), origin=str(file))
        rows += stored.num_rows
    return Reader(
        fragments=lambda: (f for file in files for f in _row_groups(file, columns[file])),
        rows=rows,
        key=lambda: file_digest(files),
    )


def open_arrow_files(path: Path, *, wanted: Wanted) -> Reader:
    """Read Arrow files or streams by record batches."""
    files = list_files(path, endings=ARROW)
    columns = {}
    for file in files:
        stored = guarded(file, lambda file=file: open_arrow(file).schema)  # type: ignore[misc]  # bound now
        columns[file] = wanted.columns(stored, origin=str(file))
    return Reader(
        fragments=lambda: (f for file in files for f in _batches(file, columns[file])),
        key=lambda: file_digest(files),
    )


def list_files(path: Path, *, endings: Sequence[str]) -> list[Path]:
    """Return the file, or a folder's files of one kind in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(f for f in path.iterdir() if f.name.lower().endswith(tuple(endings)))
    if not found:
        raise InvalidTable(f"{path}: no file in it ends in {' or '.join(endings)}")
    return found


def _row_groups(path: Path, columns: Sequence[str]) -> Iterator[Fragment]:
    """Yield a fragment per row group; one without rows for a file that has none."""
    stored = guarded(path, partial(pq.read_metadata, path))
    for number in range(stored.num_row_groups):
        yield partial(_read_row_group, path, number, columns)
    if stored.num_row_groups == 0:
        empty = stored.schema.to_arrow_schema().empty_table().select(list(columns))
        yield lambda: empty


def _read_row_group(path: Path, number: int, columns: Sequence[str]) -> pa.Table:
    def read() -> pa.Table:
        text = [field.name for field in pq.read_schema(path) if pt.is_string(field.type)]
        with pq.ParquetFile(path, read_dictionary=text) as file:
            return file.read_row_group(number, columns=list(columns), use_threads=False)

    return guarded(path, read)


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
