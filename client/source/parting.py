"""Who is held out of training, by a keyed hash of each person alone.

Whether a person is held out depends on the silo's secret, on the data set's name and on the
person's name, and on nothing of anybody else; no plan has a say in it. Without a column that names
persons nobody is held out: rows that hold the same cannot be told apart, so a row that comes or
goes would move another to the other part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import numpy as np
import pyarrow as pa

from silosynth.client.source.bounding import derive, number_persons, spell
from silosynth.client.source.people import plain_persons
from silosynth.client.source.spec import Fragment, Reader

_TAGS = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """How a silo splits the persons of one data set, whatever plan asks.

    ``key`` is of the data set alone; ``person_column`` names persons.
    """

    key: bytes = field(repr=False)
    person_column: str

    def name(self, share: Fraction) -> str:
        """Return what a ledger calls the split of this share, which tells nothing of the key.

        Two charges count as of different persons only within one split, so splits of two data
        sets, of two shares or by two columns never have one name.
        """
        whole = f"{share} {self.person_column}".encode()
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
        for fragment in fragments:
            yield partial(self._of_persons, fragment)

    def _of_persons(self, fragment: Fragment) -> pa.Table:
        """Return the rows of one fragment whose persons are in this part."""
        table = fragment()
        person, names = number_persons(plain_persons(table[self.splitting.person_column]))
        tags = self._tags(names)
        taken = np.full(table.num_rows, not self.held_out)
        named = person >= 0
        taken[named] = self._takes(tags[person[named]])
        return table.filter(pa.array(taken))

    def _tags(self, names: pa.Array) -> np.ndarray:
        """Return (names,) uint64, a tag for each name, in their order.

        A null has one of zeros, which no row asks for: without it other names' tags would move.
        """
        key = derive(self.splitting.key, b"held out")
        digests = [
            bytes(8) if name is None else hashlib.blake2b(name, key=key, digest_size=8).digest()
            for name in spell(names).to_pylist()
        ]
        tags: np.ndarray = np.frombuffer(b"".join(digests), dtype="<u8")
        return tags

    def _takes(self, tags: np.ndarray) -> np.ndarray:
        """Return (rows,) bool of (rows,) uint64: whether a tag is of this part."""
        held = tags < np.uint64(int(self.share * _TAGS))
        return held if self.held_out else ~held


def splitting(secret: bytes, *, dataset: str, person_column: str) -> Splitting:
    """Return how a silo splits the persons of a data set, by a key for this use and data set."""
    key = derive(secret, b"splitting " + dataset.encode())
    return Splitting(key=key, person_column=person_column)
