"""Who is held out of training, by a keyed hash of each person alone.

Whether a person is held out depends on the silo's secret and on the person's name, and on nothing
of anybody else; no plan has a say in it. Where no column names persons a row is one: then it is by
what the row holds and by how many rows of the same content came before. So one row more or less
adds or takes one (content, place), and no other row changes sides; equal rows are interchangeable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.client.source.bounding import (
    authenticate,
    count_up,
    derive,
    number_persons,
    spell,
)
from silosynth.client.source.spec import Fragment, Reader
from silosynth.common.codec import flatten, plain_values
from silosynth.common.errors import InvalidTable

_BLOCK = 16
_TAGS = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """How a silo splits its persons, whatever plan asks.

    ``person_column`` names persons; without it a row is one, and ``rows_by`` says by what rows are
    read, since rows that are read otherwise are split otherwise.
    """

    key: bytes = field(repr=False)
    person_column: str | None = None
    rows_by: str = ""

    def name(self, share: Fraction) -> str:
        """Return what a ledger calls the split of this share, which tells nothing of the key.

        Two charges count as of different persons only within one split.
        """
        what = f"rows {self.rows_by}" if self.person_column is None else self.person_column
        whole = f"{self.person_column is None} {share} {what}".encode()
        return hashlib.blake2b(whole, key=derive(self.key, b"split"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Those who are held out of a split, or all others: one of two tables without a person in both.

    Nobody knows whose a row without a name is: it is never held out.
    """

    splitting: Splitting
    share: Fraction
    held_out: bool

    def read(self, open_reader: Callable[[], Reader]) -> Reader:
        """Return a reader of this part alone, which nothing keeps on a disk."""
        reader = open_reader()
        return replace(reader, fragments=lambda: self.of(reader.fragments()), key=None)

    def of(self, fragments: Iterable[Fragment]) -> Iterator[Fragment]:
        """Yield the fragments of a table with the rows of this part alone."""
        if self.splitting.person_column is not None:
            for fragment in fragments:
                yield partial(self._of_persons, fragment)
            return
        tables = [fragment() for fragment in fragments]
        marks = [self._marks(table) for table in tables]
        taken = self._takes(self._places(np.concatenate(marks))) if marks else np.zeros(0, bool)
        start = 0
        for table in tables:
            yield partial(table.filter, pa.array(taken[start : start + table.num_rows]))
            start += table.num_rows

    def _of_persons(self, fragment: Fragment) -> pa.Table:
        """Return the rows of one fragment whose persons are in this part."""
        table = fragment()
        person, names = number_persons(table[self.splitting.person_column])
        key = derive(self.splitting.key, b"held out")
        digests = [
            hashlib.blake2b(name, key=key, digest_size=8).digest()
            for name in spell(names).to_pylist()
            if name is not None
        ]
        tags = np.frombuffer(b"".join(digests), dtype="<u8")
        taken = np.full(table.num_rows, not self.held_out)
        named = person >= 0
        taken[named] = self._takes(tags[person[named]])
        return table.filter(pa.array(taken))

    def _takes(self, tags: np.ndarray) -> np.ndarray:
        """Return (rows,) bool of (rows,) uint64: whether a tag is of this part."""
        held = tags < np.uint64(int(self.share * _TAGS))
        return held if self.held_out else ~held

    def _marks(self, table: pa.Table) -> np.ndarray:
        """Return (rows, 2) uint64, equal for rows of equal content."""
        blocks = [self._digests(table[name]) for name in sorted(table.column_names)]
        marks: np.ndarray = authenticate(blocks, secret=self.splitting.key)
        return marks

    def _digests(self, column: pa.ChunkedArray) -> np.ndarray:
        """Return (rows, 16) uint8, a keyed digest of each value; zeros where there is none."""
        values = flatten(plain_values(column) if pt.is_dictionary(column.type) else column)
        try:
            encoded = values.dictionary_encode()
            spelled = spell(encoded.dictionary).to_pylist()
        except pa.ArrowNotImplementedError:
            raise InvalidTable(
                "rows with nested values cannot be held out by what they hold",
                hint="name a person column in the policy",
            ) from None
        key = derive(self.splitting.key, b"value")
        digests = b"".join(
            hashlib.blake2b(value, key=key, digest_size=_BLOCK).digest() for value in spelled
        )
        known = np.frombuffer(digests + bytes(_BLOCK), dtype=np.uint8).reshape(-1, _BLOCK)
        places = pc.fill_null(encoded.indices.cast(pa.int64()), len(spelled))
        found: np.ndarray = known[places.to_numpy(zero_copy_only=False)]
        return found

    def _places(self, marks: np.ndarray) -> np.ndarray:
        """Return (rows,) uint64, the tag of each row: by its content and its place among equals."""
        order = np.lexsort((marks[:, 1], marks[:, 0]))
        places = np.zeros((len(marks), _BLOCK), dtype=np.uint8)
        counted = np.empty(len(marks), dtype=np.int64)
        counted[order] = count_up(marks[order])
        places[:, :8] = counted.astype("<u8").view(np.uint8).reshape(-1, 8)
        first = np.ascontiguousarray(marks.astype("<u8")).view(np.uint8).reshape(-1, _BLOCK)
        tags: np.ndarray = authenticate([first, places], secret=self.splitting.key)[:, 0]
        return tags


def splitting(
    secret: bytes, *, person_column: str | None, schema_digest: str, map_digest: str | None = None
) -> Splitting:
    """Return how a silo splits its persons, by a key derived from its secret for this use."""
    return Splitting(
        key=derive(secret, b"splitting"),
        person_column=person_column,
        rows_by=f"{schema_digest} {map_digest or ''}",
    )
