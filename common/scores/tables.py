"""Real rows from a file that may be larger than memory: a fair sample in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from silosynth.common.errors import InvalidTable
from silosynth.common.files import unreadable_table
from silosynth.common.seeded import SeededWords

MOST_ROWS = 100_000
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
_BATCH = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """At most 100,000 rows of a table, in their order, and how many it has.

    ``places`` are (rows kept,) int64, where each stood in the whole table; empty for drawn rows.
    """

    table: pa.Table
    rows: int
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def is_table(path: Path) -> bool:
    """Tell by its name whether a file holds a table."""
    return path.name.lower().endswith((*CSV, *PARQUET, *ARROW))


def read_sample(path: Path, *, seed: int, most: int = MOST_ROWS) -> Sampled:
    """Read a table, or as many of its rows as are compared, chosen at random.

    Guarantees: the same rows for the same file and seed; memory does not grow with the file.
    Text of a CSV file stays as it is spelled. Raises InvalidTable without quoting a row.
    """
    if path.is_dir() or not is_table(path):
        known = ", ".join((*PARQUET, *CSV, *ARROW))
        raise InvalidTable(f"{path}: unknown kind of file", hint=f"use one of {known}")
    try:
        return sample_batches(_batches(path), seed=seed, most=most)
    except OSError as err:
        raise unreadable_table(path, err) from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise InvalidTable(
            f"{path}: is damaged, or not the kind of file that its name says",
            hint="export the table again",
        ) from None


def sample_batches(batches: Iterator[pa.RecordBatch], *, seed: int, most: int) -> Sampled:
    """Keep the rows with the smallest of one random key each."""
    words = SeededWords(seed=seed, purpose="sample-rows")
    kept: list[pa.Table] = []
    keys, places = np.zeros(0), np.zeros(0, dtype=np.int64)
    rows, cut = 0, 1.0
    for batch in batches:
        drawn = words.uniform(batch.num_rows)
        chosen = np.flatnonzero(drawn < cut)
        kept.append(pa.Table.from_batches([batch]).take(pa.array(chosen)))
        keys = np.concatenate([keys, drawn[chosen]])
        places = np.concatenate([places, rows + chosen])
        rows += batch.num_rows
        if len(keys) > 2 * most:
            kept, keys, places = _smallest(kept, keys, places, most=most)
            cut = float(keys.max())
    if not kept:
        raise InvalidTable("the table has no rows", hint="a comparison needs some on both sides")
    if len(keys) > most:
        kept, keys, places = _smallest(kept, keys, places, most=most)
    return Sampled(table=pa.concat_tables(kept).combine_chunks(), rows=rows, places=places)


def _smallest(
    kept: list[pa.Table], keys: np.ndarray, places: np.ndarray, *, most: int
) -> tuple[list[pa.Table], np.ndarray, np.ndarray]:
    """Return the rows of the ``most`` smallest keys, in their order."""
    chosen = np.sort(np.argpartition(keys, most)[:most])
    table = pa.concat_tables(kept).take(pa.array(chosen)).combine_chunks()
    return [table], keys[chosen], places[chosen]


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file."""
    name = path.name.lower()
    if name.endswith(PARQUET):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH)
    elif name.endswith(CSV):
        yield from _lines(path)
    else:
        try:
            with pa.ipc.open_file(path) as reader:
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            with pa.ipc.open_stream(path) as stream:
                yield from stream


def _lines(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file as text; an empty field is null."""
    tabbed = ".tsv" in "".join(path.suffixes).lower()
    parse = csv.ParseOptions(delimiter="\t" if tabbed else ",", newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with csv.open_csv(path, parse_options=parse, convert_options=options) as reader:
        yield from reader
