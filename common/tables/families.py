"""Rows of several tables that hang together: which row is whose, and the columns that say so.

Rows of a table stand in the order of their parents', so that those of a parent, and those of a
person, are one range. Whatever table is made first, keys and links come out the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import Form, read_values
from silosynth.common.errors import InvalidSampler
from silosynth.common.generated import row_words, word_of
from silosynth.common.tables.keys import write_keys
from silosynth.common.tables.table import Within
from silosynth.common.tables.tables import TablesSchema


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The rows of one table: ``ends[i]`` of (parents + 1,) int64 is where parent i's begin.

    ``of_person`` is the same by persons: the rows of person i are a range too.
    """

    ends: np.ndarray = field(repr=False)
    of_person: np.ndarray = field(repr=False)

    @property
    def total(self) -> int:
        """Return how many rows there are."""
        return int(self.ends[-1])

    def parents(self, first: int, last: int) -> np.ndarray:
        """Return (last - first,) int64, the parent of each row from ``first`` on."""
        return _owner(self.ends, first, last)


@dataclass(frozen=True, kw_only=True, eq=False)
class Families:
    """How many rows each row has in the tables below it.

    Args:
        persons: how many rows the person's table has.
        numbers: by table, (rows of the parent,) how many rows each has in it.
    """

    schema: TablesSchema
    persons: int
    numbers: Mapping[str, np.ndarray] = field(repr=False)
    seed: int

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """Return the rows of each table."""
        own = np.arange(self.persons + 1)
        found = {self.schema.person: Rows(ends=np.array([0, self.persons]), of_person=own)}
        for name in self.schema.downward[1:]:
            above = found[str(self.schema.tables[name].parent)]
            ends = np.concatenate(([0], np.cumsum(self.numbers[name], dtype=np.int64)))
            if len(ends) != above.total + 1:
                raise InvalidSampler(f"table {name!r} has not a number of rows for each parent")
            found[name] = Rows(ends=ends, of_person=ends[above.of_person])
        return found

    def finished(self, name: str, batches: Iterator[pa.Table], *, form: Form) -> Iterator[pa.Table]:
        """Yield a table's rows, of which all are drawn in order, as its file holds them.

        Guarantees: keys differ; each ``by`` names a row of the parent; each parent has its number
        of rows, in their order; a link names a row that is there, of the same person where it is
        declared so, and never a later one of its own table.

        Raises InvalidSampler where a table has fewer keys than rows, and for a link to nobody.
        """
        self._check_keys(name)
        first = 0
        for part in self._in_order(name, batches):
            yield self._with_keys(name, part, first=first, form=form)
            first += part.num_rows

    def _check_keys(self, name: str) -> None:
        key, total = self.schema.columns[name].key, self.rows[name].total
        if key is not None and key.most is not None and key.most < total:
            raise InvalidSampler(
                f"table {name!r}: its key has {key.most:,} words, fewer than rows",
                hint="allow more signs, or draw fewer persons",
            )

    def _in_order(self, name: str, batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield rows with those of each parent in order; they are held until all are there."""
        table, rows = self.schema.tables[name], self.rows[name]
        if table.order is None:
            yield from batches
            return
        held: pa.Table | None = None
        first, seen = 0, 0
        for batch in batches:
            seen += batch.num_rows
            held = batch if held is None else pa.concat_tables([held, batch])
            whole = int(rows.ends[np.searchsorted(rows.ends, seen, side="right") - 1])
            yield self._sorted(name, held.slice(0, whole - first), first=first)
            held, first = held.slice(whole - first), whole

    def _sorted(self, name: str, part: pa.Table, *, first: int) -> pa.Table:
        order = str(self.schema.tables[name].order)
        schema = self.schema.columns[name].rows
        values = read_values(part, schema=schema, names=[order])[order]
        parents = self.rows[name].parents(first, first + part.num_rows)
        return part.take(pa.array(np.lexsort((values, parents))))

    def _with_keys(self, name: str, part: pa.Table, *, first: int, form: Form) -> pa.Table:
        table, columns = self.schema.tables[name], self.schema.columns[name]
        numbers = np.arange(first, first + part.num_rows)
        made = {n: part[n] for n in part.column_names}
        if table.key is not None:
            made[table.key] = self._keys(name, numbers, column=(name, table.key), form=form)
        if table.by is not None:
            parents = self.rows[name].parents(first, first + part.num_rows)
            made[table.by] = self._keys(
                str(table.parent), parents, column=(name, table.by), form=form
            )
        for column, link in table.links.items():
            if link.to in self.schema.tables:
                made[column] = self._linked(
                    name, column, numbers, drawn=made.get(column), form=form
                )
        return pa.table({a.name: made[a.name] for a in columns.whole.attributes if a.name in made})

    def _keys(
        self, table: str, numbers: np.ndarray, *, column: tuple[str, str], form: Form
    ) -> pa.Array:
        """Return keys of rows of ``table`` as a column of another table holds them."""
        key = self.schema.columns[table].key
        if key is None:
            raise InvalidSampler(f"table {table!r} has no key to be named by")
        whole = self.schema.columns[column[0]].whole
        stored = next(a.stored for a in whole.attributes if a.name == column[1])
        return write_keys(key, numbers, table=table, seed=self.seed, form=form, stored=stored)

    def _linked(
        self,
        name: str,
        column: str,
        numbers: np.ndarray,
        *,
        drawn: pa.ChunkedArray | None,
        form: Form,
    ) -> pa.Array | pa.ChunkedArray:
        """Return which rows a link names, evenly among those that it may."""
        link = self.schema.tables[name].links[column]
        low, high = self._range(name, link.to, numbers, within=link.within)
        there = high > low
        words = row_words(
            seed=table_seed(self.seed, name),
            purpose=f"link/{column}",
            rows=numbers.astype(np.uint64),
        )
        sizes = np.maximum(high - low, 1).astype(np.uint64)
        chosen = low + ((words >> np.uint64(32)) * sizes >> np.uint64(32)).astype(np.int64)
        keys = self._keys(link.to, np.where(there, chosen, 0), column=(name, column), form=form)
        if drawn is None:
            if not there.all():
                raise InvalidSampler(
                    f"table {link.to!r} came out empty, and {column!r} of {name!r} names its rows",
                    hint="draw more persons",
                )
            return keys
        attribute = next(a for a in self.schema.columns[name].whole.attributes if a.name == column)
        present = pc.and_(pa.array(there), _present(drawn, attribute))
        absent = pc.if_else(pa.array(there), drawn, _word_of_missing(attribute, drawn.type))
        return pc.if_else(present, keys.cast(drawn.type), absent)

    def _range(
        self, name: str, target: str, numbers: np.ndarray, *, within: Within
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first row that each may name, and where those end."""
        rows, named = self.rows[name], self.rows[target]
        low = np.zeros(len(numbers), dtype=np.int64)
        high = np.full(len(numbers), named.total)
        if within is Within.PERSON and len(numbers):
            person = _owner(rows.of_person, int(numbers[0]), int(numbers[-1]) + 1)
            low, high = named.of_person[person], named.of_person[person + 1]
        return low, numbers if target == name else high


def table_seed(seed: int, name: str) -> int:
    """Return the seed of one table's rows: those of two tables have nothing in common."""
    return word_of(seed, f"table/{name}")


def _owner(ends: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return whose range each of some neighbouring rows lies in."""
    found: np.ndarray = np.searchsorted(ends, np.arange(first, last), side="right") - 1
    return found


def _present(drawn: pa.ChunkedArray, attribute: object) -> pa.ChunkedArray:
    """Say where a drawn link is not missing."""
    words = [w for f in ("missing_tokens", "missing_apart") for w in getattr(attribute, f)]
    said = pc.is_in(drawn.cast(pa.string()), pa.array(words, pa.string()))
    return pc.and_(drawn.is_valid(), pc.invert(said))


def _word_of_missing(attribute: object, kind: pa.DataType) -> pa.Scalar:
    """Return how a link that could name nobody is written."""
    word = getattr(attribute, "missing_as", None)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return pa.scalar(word if text else None, kind)
