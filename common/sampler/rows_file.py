"""Synthetic rows to a Parquet or CSV file, as a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from silosynth.common.errors import InvalidArgument
from silosynth.common.files import fresh_file
from silosynth.common.sampler.keeping import Kept
from silosynth.common.sampler.sampler import DrawsRows, draw_batches


class Writer(Protocol):
    """What both formats can do."""

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """End the file."""


_OPENERS: dict[str, Callable[[Path, pa.Schema], Writer]] = {
    ".parquet": lambda path, schema: pa.parquet.ParquetWriter(path, schema, compression="zstd"),
    ".csv": lambda path, schema: pa.csv.CSVWriter(path, schema),
}


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
) -> Kept:
    """Draw ``rows`` rows into a ``.parquet`` or ``.csv`` file.

    Guarantees: the rows are those of :func:`silosynth.common.sampler.sampler.draw`; memory does
    not grow with ``rows``; a file that was begun and not ended is removed.

    Returns: how many rows were drawn so that those written keep the schema's rules.

    Args:
        progress: told the rows written so far after each batch.
        mark: what a Parquet file says of itself in its metadata.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise InvalidArgument(
            f"{path} has no known format", hint=f"end its name in {' or '.join(_OPENERS)}"
        )
    told = Kept()
    batches = draw_batches(sampler, rows=rows, seed=seed, threads=threads, told=told)
    with fresh_file(path, force=force) as part, closing(batches):
        first = next(batches)
        with closing(opener(part, first.schema.with_metadata(mark))) as writer:
            written = _write(writer, first, written=0, progress=progress)
            for batch in batches:
                written = _write(writer, batch, written=written, progress=progress)
    return told


def _write(
    writer: Writer, batch: pa.Table, *, written: int, progress: Callable[[int], None] | None
) -> int:
    """Write one batch and return the rows written so far."""
    writer.write_table(batch)
    written += batch.num_rows
    if progress is not None:
        progress(written)
    return written
