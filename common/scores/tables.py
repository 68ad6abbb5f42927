"""Real rows from a file that may be larger than memory: a fair sample in one pass."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from silosynth.common.errors import InvalidTable
from silosynth.common.files import (
    SHEETS,
    TEXT_ENDINGS,
    delimiter_of,
    named_as_arrow_knows,
    packed,
    unreadable_table,
)
from silosynth.common.schema import CsvDialect
from silosynth.common.seeded import SeededWords

MOST_ROWS = 100_000
CSV = packed((".csv", ".tsv", ".tab", ".psv"))
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
_TEXT = packed(TEXT_ENDINGS)
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_LINE = 1 << 20
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


def read_sample(
    path: Path,
    *,
    seed: int,
    most: int = MOST_ROWS,
    dialect: CsvDialect | None = None,
    names: Sequence[str] = (),
) -> Sampled:
    """Read a table, or as many of its rows as are compared, chosen at random.

    Guarantees: the same rows for the same file and seed; memory does not grow with the file.
    Text of a CSV file stays as it is spelled. Raises InvalidTable without quoting a row.

    Args:
        dialect: how a text file is written, as its schema says; lines that stand before the header
            there need not stand here.
        names: of the schema's columns.
    """
    endings = (*PARQUET, *_TEXT, *ARROW, *SHEETS)
    if path.is_dir() or not path.name.lower().endswith(endings):
        known = ", ".join(endings)
        raise InvalidTable(f"{path}: unknown kind of file", hint=f"use one of {known}")
    try:
        batches = _batches(path, dialect=dialect, names=names)
        return sample_batches(batches, seed=seed, most=most)
    except OSError as err:
        raise unreadable_table(path, err) from None
    except (pa.ArrowException, UnicodeError, ValueError, KeyError, csv.Error):
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
    table = pa.concat_tables(kept).combine_chunks()
    # What decoding took is many times what is kept, and Arrow would hold on to it.
    kept.clear()
    pa.default_memory_pool().release_unused()
    return Sampled(table=table, rows=rows, places=places)


def _smallest(
    kept: list[pa.Table], keys: np.ndarray, places: np.ndarray, *, most: int
) -> tuple[list[pa.Table], np.ndarray, np.ndarray]:
    """Return the rows of the ``most`` smallest keys, in their order."""
    chosen = np.sort(np.argpartition(keys, most)[:most])
    table = pa.concat_tables(kept).take(pa.array(chosen)).combine_chunks()
    return [table], keys[chosen], places[chosen]


def _batches(
    path: Path, *, dialect: CsvDialect | None, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file."""
    name = path.name.lower()
    if name.endswith(PARQUET):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH)
    elif name.endswith(_TEXT):
        yield from _lines(path, dialect=dialect, names=names)
    elif name.endswith(SHEETS):
        from silosynth.common.codec import read_sheet  # see there why not above

        yield from read_sheet(path).to_batches(max_chunksize=_BATCH)
    else:
        try:
            with pa.ipc.open_file(path) as reader:
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            with pa.ipc.open_stream(path) as stream:
                yield from stream


def _lines(
    path: Path, *, dialect: CsvDialect | None, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a text file as text; an empty field is null.

    Lines with more or fewer fields than the header line are passed over, as a gateway does.
    """
    how = dialect or CsvDialect(delimiter=_delimiter(path))
    columns, skip = _header(path, how=how, names=names)
    options = {
        "read_options": pacsv.ReadOptions(
            column_names=columns,
            skip_rows=skip,
            skip_rows_after_names=int(how.header),
            encoding=how.encoding.replace("utf-8", "utf8"),
        ),
        "parse_options": pacsv.ParseOptions(
            delimiter=how.delimiter,
            quote_char=how.quote,
            newlines_in_values=True,
            ignore_empty_lines=len(columns) > 1,
            invalid_row_handler=lambda _: "skip",
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }
    with pacsv.open_csv(named_as_arrow_knows(path), **options) as reader:
        yield from reader


def _header(path: Path, *, how: CsvDialect, names: Sequence[str]) -> tuple[list[str], int]:
    """Return the names of a text file's columns, and how many lines stand before them."""
    lines = _first_lines(path, encoding=how.encoding, count=how.skip + 1)
    rows = list(csv.reader(lines, delimiter=how.delimiter, quotechar=how.quote)) or [[]]
    begins = bool(names) and set(names) <= {name.strip() for name in rows[0]}
    skip = 0 if begins else how.skip
    if not how.header:
        return list(names), skip
    found = rows[skip] if skip < len(rows) else []
    # A column without a name is called after its place, as a draft does.
    return [n.strip() or f"column_{i}" for i, n in enumerate(found, start=1)], skip


def _delimiter(path: Path) -> str:
    """Return the mark of tables by its name, else the one that the first line shows most."""
    if (named := delimiter_of(path)) != ",":
        return named
    line = "".join(_first_lines(path, encoding="utf-8", count=1))
    return max(_DELIMITERS, key=line.count)


def _first_lines(path: Path, *, encoding: str, count: int) -> list[str]:
    """Return the first lines of a text file, packed or not."""
    named = {"utf-8": "utf-8-sig"}.get(encoding, encoding)
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding=named, errors="replace", newline="") as file:
        return [line for _ in range(count) if (line := file.readline(_LONGEST_LINE))]
