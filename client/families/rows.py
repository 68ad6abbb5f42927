"""Whole families as codes: each row under its parent, the rows of a parent in their order.

Which place a row has depends on its own person's rows and on the secret alone: what the order
column leaves open, a keyed hash of the row decides, and never where the row stood in a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.client.families.count import TableRows, View, first_rows, make_views
from silosynth.client.families.opened import own_columns
from silosynth.client.families.owners import BY, KEY, PERSON
from silosynth.client.source import rank_rows
from silosynth.common.codec import Codec, codec_of, keeps_rules, read_values
from silosynth.common.schema import Schema
from silosynth.common.tables import (
    Across,
    TablesSchema,
    ancestors,
    number_attribute,
    number_name,
)

_DIGEST = 16


@dataclass(slots=True)
class Told:
    """What only the operator may know of the rows that were counted. Private."""

    rows: dict[str, int] = field(default_factory=dict, repr=False)
    double_keys: dict[str, int] = field(default_factory=dict, repr=False)
    beyond: dict[str, int] = field(default_factory=dict, repr=False)
    """Parents with more rows of a table than the schema's most, or fewer than its least."""
    odd_gaps: dict[str, int] = field(default_factory=dict, repr=False)
    """Rows that come longer after the row before them than the schema's longest gap, or sooner."""
    broken: dict[str, int] | None = field(default=None, repr=False)
    """Rows that break a rule across tables, by its text; None where nobody asks: at a gateway."""

    def add(self, facts: dict[str, int], name: str, number: int) -> None:
        """Count one more thing of a table."""
        facts[name] = facts.get(name, 0) + number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Placed:
    """A table's rows of a block, in order; ``names`` say a row's key together with its person."""

    table: pa.Table
    codes: tuple[np.ndarray, ...]
    above: np.ndarray
    person: np.ndarray
    names: pa.Array | None
    gaps: np.ndarray | None = None


def code_families(
    blocks: Iterable[Mapping[str, pa.Table]],
    *,
    schema: TablesSchema,
    secret: bytes,
    told: Told | None = None,
) -> Iterator[dict[str, View]]:
    """Yield the views of each block of whole families, as :meth:`Joined.blocks` yields them."""
    coder = _Coder(schema=schema, secret=secret, told=told or Told())
    for block in blocks:
        yield make_views(schema, coder.code(block))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Coder:
    schema: TablesSchema
    secret: bytes = field(repr=False)
    told: Told = field(repr=False)

    @cached_property
    def own(self) -> dict[str, Schema]:
        """Return what is counted of a row of each table but for the numbers of its children."""
        return {name: own_columns(self.schema, name) for name in self.schema.downward}

    def code(self, block: Mapping[str, pa.Table]) -> dict[str, TableRows]:
        """Return the rows of each table as codes, with the numbers of their children."""
        placed: dict[str, _Placed] = {}
        for name in self.schema.downward:
            parent = self.schema.tables[name].parent
            if parent is None:
                placed[name] = self._persons(name, block)
            else:
                placed[name] = self._below(name, block, placed[parent])
            self.told.add(self.told.rows, name, len(placed[name].above))
        if self.told.broken is not None:
            for rule in self.schema.across:
                self.told.add(self.told.broken, rule.text, self._broken(rule, placed))
        return {name: self._rows(name, placed) for name in placed}

    def _persons(self, name: str, block: Mapping[str, pa.Table]) -> _Placed:
        """Keep one row a person: of those with one key, the first by the hash of its content."""
        table = block[name]
        codes = _encode(table, self.own[name])
        ranks = rank_rows(table[PERSON], codes, secret=self.secret)
        kept = np.flatnonzero(ranks == 0)
        self.told.add(self.told.double_keys, name, table.num_rows - len(kept))
        order = np.arange(len(kept))
        kept_table = table.take(pa.array(kept))
        return _Placed(
            table=kept_table,
            codes=tuple(c[kept] for c in codes),
            above=np.zeros(len(kept), dtype=np.int64),
            person=order,
            names=_joined(kept_table[PERSON], kept_table[KEY]),
        )

    def _below(self, name: str, block: Mapping[str, pa.Table], above: _Placed) -> _Placed:
        table = block[name]
        codes, value = _encode(table, self.own[name]), self._values(name, table)
        named = _joined(table[PERSON], table[BY])
        at = pc.index_in(named, value_set=above.names).to_numpy().astype(np.int64)
        told_apart = (*codes, *_exact(value), *self._keys(name, table))
        ranks = rank_rows(named, told_apart, secret=self.secret)
        order = np.lexsort((ranks, value, at))
        table, at = table.take(pa.array(order)), at[order]
        keyed = self.schema.tables[name].key is not None
        names = _joined(table[PERSON], table[KEY]) if keyed else None
        if names is not None:
            there = names.drop_null()
            self.told.add(self.told.double_keys, name, len(there) - len(pc.unique(there)))
        codes = tuple(c[order] for c in codes)
        return _Placed(
            table=table,
            codes=codes,
            above=at,
            person=above.person[at],
            names=names,
            gaps=self._gaps(name, value[order], codes=codes, above=at),
        )

    def _gaps(
        self, name: str, values: np.ndarray, *, codes: tuple[np.ndarray, ...], above: np.ndarray
    ) -> np.ndarray | None:
        """Return (rows,) codes of how long after the row before of its own parent each comes.

        Args: values: (rows,) what rows stand in the order of, those of a parent together.
        """
        scale = self.schema.columns[name].gaps
        if scale is None:
            return None
        points, first = scale.points(values), first_rows(above)
        own = codes[self.own[name].domain.index(scale.column)]
        gaps = np.diff(points, prepend=0)[~first & (own < scale.values)]
        odd = (gaps < scale.edges[0]) | (gaps > scale.edges[-1])
        self.told.add(self.told.odd_gaps, name, int(odd.sum()))
        return scale.gap_codes(points, own, first=first)

    def _broken(self, rule: Across, placed: Mapping[str, _Placed]) -> int:
        """Return how many rows break a rule across tables."""
        rows = placed[rule.tables[0]]
        at, columns = np.arange(len(rows.above)), dict[str, pa.ChunkedArray]()
        words = {a.name for a in rule.wide.attributes}
        for name in (rule.tables[0], *ancestors(self.schema.tables, rule.tables[0])):
            table = placed[name].table
            named = (c for c in table.column_names if f"{name}.{c}" in words)
            columns |= {f"{name}.{c}": table[c].take(pa.array(at)) for c in named}
            at = placed[name].above[at]
        (keeps,) = keeps_rules(pa.table(columns), schema=rule.wide).values()
        if rule.last:
            values = self._values(rule.tables[0], rows.table)
            keeps = keeps | _latest(rows.above, np.where(np.isnan(values), np.inf, values))
        return int((~keeps).sum())

    def _values(self, name: str, table: pa.Table) -> np.ndarray:
        """Return (rows,) float64 of what rows stand in the order of; NaN where it is missing."""
        column = self.schema.tables[name].order
        if column is None:
            return np.zeros(table.num_rows)
        return read_values(table, schema=self.own[name], names=[column])[column]

    def _keys(self, name: str, table: pa.Table) -> list[np.ndarray]:
        """Return the keys of rows that others stand below, as columns that rows are ranked by.

        What is below a row hangs on its key alone: rows that agree in it are interchangeable.
        """
        if not self.schema.below(name):
            return []
        keys = table[KEY].combine_chunks().dictionary_encode()
        digests = [self._digest(key) for key in keys.dictionary.cast(pa.large_binary()).to_pylist()]
        digests.append(bytes(_DIGEST))
        each = np.frombuffer(b"".join(digests), dtype="<u2").reshape(len(digests), -1)
        none = pa.scalar(len(digests) - 1, pa.int64())
        at = pc.fill_null(keys.indices.cast(pa.int64()), none).to_numpy()
        return [np.ascontiguousarray(column) for column in each[at].T]

    def _digest(self, key: bytes) -> bytes:
        how = hashlib.blake2b(key, key=self.secret, digest_size=_DIGEST, person=b"silosynth-keys")
        return how.digest()

    def _rows(self, name: str, placed: Mapping[str, _Placed]) -> TableRows:
        """Return a table's codes in the order of its domain: its own, then its numbers."""
        mine = placed[name]
        found = dict(zip(self.own[name].domain.attributes, mine.codes, strict=True))
        for child, table in self.schema.below(name).items():
            edges = table.children or (1,)
            numbers = np.bincount(placed[child].above, minlength=len(mine.above))
            beyond = (numbers < edges[0]) | (numbers > edges[-1])
            self.told.add(self.told.beyond, child, int(beyond.sum()))
            codec = codec_of(number_attribute(child, edges))
            found[number_name(child)] = codec.encode(pa.array(numbers))[0]
        domain = self.schema.columns[name].rows.domain
        return TableRows(
            codes=tuple(found[a] for a in domain.attributes),
            above=mine.above,
            person=mine.person,
            gaps=mine.gaps,
        )


def _latest(above: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (rows,) bool, which rows no other of their parent comes after; those that tie too."""
    ends = np.flatnonzero(np.append(above[1:] != above[:-1], True)[: len(above)])
    ends = ends[np.searchsorted(ends, np.arange(len(above)))]
    found: np.ndarray = values >= values[ends]
    return found


def _exact(values: np.ndarray) -> list[np.ndarray]:
    """Return numbers bit by bit, as columns that rows are ranked by.

    Rows of one bin with different numbers stand apart: were they ranked alike, which of them came
    first in a file would decide how they stand among others.
    """
    same = np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")
    return [np.ascontiguousarray(column) for column in same.view("<u2").reshape(-1, 4).T]


def _encode(table: pa.Table, own: Schema) -> tuple[np.ndarray, ...]:
    if not own.attributes:
        return ()
    return Codec(own).encode(table, allow_extra=True).codes


def _joined(person: pa.ChunkedArray, key: pa.ChunkedArray) -> pa.Array:
    """Return names that two persons never share, null where there is no key."""
    texts = [c.combine_chunks().cast(pa.large_string()) for c in (person, key)]
    length = pc.utf8_length(texts[0]).cast(pa.large_string())
    return pc.binary_join_element_wise(length, *texts, pa.scalar("\x01", pa.large_string()))
