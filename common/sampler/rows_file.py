"""Synthetic rows to a Parquet or text file, as a stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet

from silosynth.common.codec import Form
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import fresh_file
from silosynth.common.sampler.keeping import Kept
from silosynth.common.sampler.sampler import DrawsRows, draw_batches
from silosynth.common.sampler.text_writer import TextWriter
from silosynth.common.schema import CsvDialect


class Writer(Protocol):
    """What both formats can do."""

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """End the file."""


_TEXT = {".csv": CsvDialect(), ".tsv": CsvDialect(delimiter="\t")}
_ENDINGS = (".parquet", *_TEXT)


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
    """Draw ``rows`` rows into a ``.parquet``, ``.csv`` or ``.tsv`` file.

    Text files are spelled as the schema declares, in its dialect.

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
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise InvalidArgument(
            f"{path} has no known format", hint=f"end its name in {' or '.join(_ENDINGS)}"
        )
    return Form.SPELLED if ending in _TEXT else Form.TYPED


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
        with closing(_open(part, path.suffix.lower(), columns, dialect)) as writer:
            written = _write(writer, first, written=0, progress=progress)
            for batch in batches:
                written = _write(writer, batch, written=written, progress=progress)
    return written


def _open(path: Path, ending: str, columns: pa.Schema, declared: CsvDialect | None) -> Writer:
    """Open the writer that a file's ending calls for."""
    if ending in _TEXT:
        return TextWriter(path, names=columns.names, dialect=declared or _TEXT[ending])
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
