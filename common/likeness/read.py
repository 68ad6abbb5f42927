"""Read a folder of tables as families: keys are joined in Arrow, and rows become codes by batches.

Of more persons than are compared, some are chosen at random, with all their rows: memory holds
their codes, and the keys of all rows that others hang on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from silosynth.common.codec import (
    Codec,
    distinct,
    flatten,
    keeps_rules,
    read_values,
    readable,
    to_texts,
    trim,
)
from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidTable
from silosynth.common.files import (
    delimiter_of,
    named_as_arrow_knows,
    packed,
    unreadable_table,
)
from silosynth.common.likeness.rows import Families, Held, Level
from silosynth.common.schema import CsvDialect, Schema
from silosynth.common.scores import Rows, is_table, merge_bins
from silosynth.common.seeded import SeededWords
from silosynth.common.tables import Table, TablesSchema, number_name, table_like

MOST_PERSONS = 50_000
NOBODY, NOT_KEPT = -2, -1
_PARQUET = (".parquet", ".pq")
_TEXT = packed((".csv", ".tsv", ".tab", ".psv"))
_BATCH = 1 << 16


def find_files(folder: Path, *, schema: TablesSchema) -> dict[str, Path]:
    """Return the file of each table: it bears the table's name.

    Raises InvalidTable for a table without a file, and for one with two.
    """
    if not folder.is_dir():
        raise InvalidTable(f"{folder}: is no folder", hint="name the folder of the tables")
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and is_table(p)]
    found = {}
    for name in schema.downward:
        own = [p for p in files if table_like(p.name.partition(".")[0]) == name.partition(".")[0]]
        if len(own) != 1:
            what = "no file" if not own else "several files"
            raise InvalidTable(
                f"{folder}: {what} of table {name!r}", hint=f"one, such as {name}.parquet"
            )
        found[name] = own[0]
    return found


def read_families(
    schema: TablesSchema, files: Mapping[str, Path], *, seed: int, most: int = MOST_PERSONS
) -> Families:
    """Read whole families, of at most so many persons, chosen at random.

    Raises InvalidTable for what cannot be read, and for a column that is missing.
    """
    named: dict[str, _Named] = {}
    levels, held = {}, {}
    for name in schema.downward:
        table = _OneTable(name=name, schema=schema, path=files[name])
        parent = schema.tables[name].parent
        read = table.below(named[parent]) if parent else table.persons(seed=seed, most=most)
        named[name], levels[name], held[name] = read.named, read.level, read.held
    below = {n: schema.tables[n] for n in schema.downward[1:]}
    parents = {n: str(t.parent) for n, t in below.items()}
    for name, parent in parents.items():
        numbers = np.bincount(levels[name].above, minlength=levels[parent].rows)
        levels[parent] = _numbered(levels[parent], name, numbers)
    edges = {n: t.children or (1,) for n, t in below.items()}
    return Families(levels=levels, parents=parents, edges=edges, held=held)


def _numbered(level: Level, child: str, numbers: np.ndarray) -> Level:
    return Level(
        domain=level.domain,
        codes=level.codes,
        above=level.above,
        numbers={**level.numbers, child: numbers},
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Named:
    """All keys of a table, and for each the row that was kept of it, or that none was."""

    keys: pa.Array
    rows: np.ndarray

    def owner(self, names: pa.Array) -> np.ndarray:
        """Return (names,) int64: the kept row that each names, NOT_KEPT or NOBODY."""
        at = pc.fill_null(pc.index_in(names, value_set=self.keys, skip_nulls=True), -1).to_numpy()
        found: np.ndarray = np.where(at < 0, NOBODY, np.append(self.rows, NOBODY)[at])
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    named: _Named
    level: Level
    held: Held


@dataclass(frozen=True, kw_only=True, eq=False)
class _OneTable:
    """Reads the file of one table."""

    name: str
    schema: TablesSchema
    path: Path

    @property
    def table(self) -> Table:
        """Return how the table hangs together with the others."""
        return self.schema.tables[self.name]

    @cached_property
    def own(self) -> Schema | None:
        """Return what is compared of a row; None where a row says nothing of its own."""
        rows = self.schema.columns[self.name].rows
        numbers = {number_name(child) for child in self.schema.below(self.name)}
        kept = tuple(a for a in rows.attributes if a.name not in numbers)
        if not any(a.modelled for a in kept):
            return None
        return Schema(
            name=rows.name,
            attributes=kept,
            structural_zeros=rows.structural_zeros,
            rules=rows.rules,
            references=rows.references,
        )

    def persons(self, *, seed: int, most: int) -> _Read:
        """Read the persons, at most so many, in the order of their file."""
        rows = sum(b.num_rows for b in self._batches())
        words = SeededWords(seed=seed, purpose="persons")
        chosen = np.zeros(rows, dtype=bool)
        chosen[words.permutation(rows)[:most] if rows > most else slice(None)] = True
        owners, start = [], 0
        for batch in self._batches():
            owners.append(np.where(chosen[start : start + batch.num_rows], 0, NOT_KEPT))
            start += batch.num_rows
        return self._read(iter(owners))

    def below(self, parent: _Named) -> _Read:
        """Read the rows of kept parents, and count those of nobody."""
        by = str(self.table.by)
        return self._read(parent.owner(key_texts(b, by)) for b in self._batches())

    def _read(self, owners: Iterator[np.ndarray]) -> _Read:
        """Read all rows whose owner, a row of the table above, was kept."""
        found = _Gathered()
        for batch, owner in zip(self._batches(), owners, strict=True):
            self._add(found, batch, owner)
        above, values = np.concatenate(found.above), np.concatenate(found.values)
        order = np.lexsort((values, above))
        row = np.concatenate(found.rows)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        row[row >= 0] = place
        keys = pa.chunked_array(found.keys, pa.large_string()).combine_chunks()
        held = Held(
            rows=len(row),
            orphans=int((row == NOBODY).sum()),
            double_keys=len(keys) - keys.null_count - len(pc.drop_null(pc.unique(keys))),
            falls=_falls(above, values),
            broken=found.broken,
        )
        level = self._level(found, order, above[order])
        return _Read(named=_Named(keys=keys, rows=row), level=level, held=held)

    def _level(self, found: _Gathered, order: np.ndarray, above: np.ndarray) -> Level:
        """Return the rows that were read, in order, numbers in at most 32 bins."""
        whole = tuple(np.concatenate(c)[order] for c in zip(*found.codes, strict=True))
        if self.own is None:
            return Level(domain=Domain(attributes=(), shape=()), codes=(), above=above)
        domain, codes = merge_bins(self.own, Rows(codes=whole, read=()))
        return Level(domain=domain, codes=codes, above=above)

    def _add(self, found: _Gathered, batch: pa.Table, owner: np.ndarray) -> None:
        kept = owner >= 0
        rows = batch.filter(pa.array(kept))
        found.rows.append(np.where(kept, 0, owner))
        found.above.append(owner[kept])
        none = pa.nulls(batch.num_rows, pa.large_string())
        found.keys.append(none if self.table.key is None else key_texts(batch, self.table.key))
        if self.own is None:
            found.codes.append(())
            found.values.append(np.zeros(rows.num_rows))
            return
        found.codes.append(Codec(self.own).encode(rows, allow_extra=True).codes)
        order = self.table.order
        found.values.append(
            np.zeros(rows.num_rows)
            if order is None
            else read_values(rows, schema=self.own, names=[order])[order]
        )
        for rule, keeps in keeps_rules(rows, schema=self.own).items():
            found.broken[rule] = found.broken.get(rule, 0) + int((~keeps).sum())

    def _batches(self) -> Iterator[pa.Table]:
        """Yield the rows of the file, at least one batch, which may have none."""
        needed = [a.name for a in self.own.attributes] if self.own is not None else []
        keys = [c for c in (self.table.key, self.table.by) if c is not None]
        for batch in read_batches(self.path, dialect=self.table.csv, names=self._names):
            for column in (*keys, *needed):
                if column not in batch.column_names:
                    raise InvalidTable(
                        f"{self.path}: column {column!r} is missing", hint="export it too"
                    )
            yield batch

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.schema.columns[self.name].whole.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    """What was read of a table so far."""

    rows: list[np.ndarray] = field(default_factory=list)
    above: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    keys: list[pa.Array] = field(default_factory=list)
    codes: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)


def _falls(above: np.ndarray, values: np.ndarray) -> int:
    """Return how many rows stand after one of their parent that is later than they are."""
    stands = np.argsort(above, kind="stable")
    above, values = above[stands], values[stands]
    return int(((above[1:] == above[:-1]) & (values[1:] < values[:-1])).sum())


def key_texts(batch: pa.Table, column: str) -> pa.Array:
    """Return keys as texts, null where there is none."""
    values, positions = distinct(readable(flatten(batch[column])))
    texts = trim(to_texts(values)).take(pa.array(positions)).cast(pa.large_string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def read_batches(
    path: Path, *, dialect: CsvDialect | None, names: tuple[str, ...]
) -> Iterator[pa.Table]:
    """Yield the rows of a file, text as it is spelled; raise InvalidTable without quoting a row.

    Args: names: of the columns, where a text file has no line that says them.
    """
    try:
        yield from _opened(path, dialect=dialect, names=names)
    except OSError as err:
        raise unreadable_table(path, err) from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise InvalidTable(
            f"{path}: is damaged, or not the kind of file that its name says",
            hint="export the table again",
        ) from None


def _opened(
    path: Path, *, dialect: CsvDialect | None, names: tuple[str, ...]
) -> Iterator[pa.Table]:
    name = path.name.lower()
    if name.endswith(_PARQUET):
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow.empty_table()
            for batch in file.iter_batches(batch_size=_BATCH):
                yield pa.Table.from_batches([batch])
    elif name.endswith(_TEXT):
        yield from _lines(path, dialect or _plain(name), names=names)
    else:
        with pa.ipc.open_file(path) as reader:
            yield reader.schema.empty_table()
            for place in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(place)])


def _plain(name: str) -> CsvDialect:
    return CsvDialect(delimiter=delimiter_of(Path(name)))


def _options(dialect: CsvDialect, *, names: tuple[str, ...]) -> dict[str, Any]:
    """Return how Arrow reads text that is written so."""
    return {
        "read_options": csv.ReadOptions(
            skip_rows=dialect.skip,
            column_names=None if dialect.header else list(names),
            encoding=dialect.encoding.replace("utf-8", "utf8"),
        ),
        "parse_options": csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=dialect.quote, newlines_in_values=True
        ),
    }


def _lines(path: Path, dialect: CsvDialect, *, names: tuple[str, ...]) -> Iterator[pa.Table]:
    """Yield the rows of a text file; an empty field is null."""
    how = _options(dialect, names=names)
    with csv.open_csv(named_as_arrow_knows(path), **how) as reader:
        found = reader.schema.names
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(found, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with csv.open_csv(named_as_arrow_knows(path), **how, convert_options=convert) as reader:
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])
