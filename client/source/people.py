"""The rows that a generator may learn from, whose each is, and who is held out.

Whether a person is held out depends on the silo's secret, on the data set's name and on the
person's name, and on nothing of anybody else; no plan has a say in it. Without a column that names
persons nobody is held out: rows that hold the same cannot be told apart, so a row that comes or
goes would move another to the other part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.noise import BitSource
from silosynth.client.source.bounding import derive, number_persons, refuse_spans, spell
from silosynth.client.source.spec import Bounding, CodedTable, Fragment, Reader
from silosynth.common.codec import plain_values, to_examples
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Schema

Points: TypeAlias = "tuple[Mapping[str, np.ndarray], pa.ChunkedArray | None]"
"""The points of each number of some rows, and their person column. Private."""


_TOLD_APART = 16
"""Bytes of the digest by which texts are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """Examples, (rows, positions) int32, and whose they are, (rows,) int64 below ``count``.

    Private, like all that it holds.
    """

    examples: np.ndarray = field(repr=False)
    person: np.ndarray = field(repr=False)
    count: int = field(repr=False)

    def sample(self, threshold: int, *, bits: BitSource) -> np.ndarray:
        """Return the rows of a Poisson sample of the persons, (rows, positions).

        Guarantees: every person is in with the probability threshold / 2^64, independently of all
        others and of the samples before, and with all of its rows or none.

        Args: threshold: 0 to 2^64.
        """
        if threshold == 2**64:
            return self.examples
        chosen = bits.words(self.count) < np.uint64(threshold)
        sampled: np.ndarray = self.examples[chosen[self.person]]
        return sampled


def gather_people(
    coded: CodedTable, *, schema: Schema, bounding: Bounding | None, rows_per_person: int
) -> People:
    """Return at most ``rows_per_person`` examples of each person.

    Without a person column each row is a person of its own. Which rows of a person these are, texts
    and all, depends on its rows and the secret alone, and not on the order of the table, which
    somebody else's row may change where it is a database's.
    """
    examples = to_examples(coded.columns, coded.texts, schema=schema).astype(np.int32)
    if coded.persons is None or bounding is None:
        return People(examples=examples, person=np.arange(len(examples)), count=len(examples))
    ranks = bounding.rank(coded.persons, [*coded.columns, *_codes_of_texts(coded.texts)])
    person, names = number_persons(coded.persons)
    kept = ranks < rows_per_person
    return People(examples=examples[kept], person=person[kept], count=len(names))


def _codes_of_texts(texts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield (rows,) uint16 columns by which rows of different texts are told apart.

    Args: texts: (rows, max_bytes) codes each.
    """
    for codes in texts:
        digests = b"".join(
            hashlib.blake2b(row.tobytes(), digest_size=_TOLD_APART).digest() for row in codes
        )
        yield from np.frombuffer(digests, dtype="<u2").reshape(len(codes), -1).T


def plain_persons(persons: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the person column without a dictionary, which may differ between fragments."""
    refuse_spans(persons.type)
    return plain_values(persons) if pt.is_dictionary(persons.type) else persons


def join_persons(persons: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray | None:
    """Return one column; InvalidTable when a table's fragments hold different types."""
    if not persons:
        return None
    if len({str(column.type) for column in persons}) > 1:
        raise InvalidTable(
            "the person column has several types", hint="store it as one type in every file"
        )
    chunks = [chunk for column in persons for chunk in column.chunks]
    return pa.chunked_array(chunks, type=persons[0].type)


def bound_points(pieces: Sequence[Points], bounding: Bounding, rows_per_person: int) -> Points:
    """Return the rows that are counted: of each person those that come first by all its points.

    Which they are depends on nothing but this person's points and the secret, as with codes.
    """
    persons = join_persons([column for _, column in pieces if column is not None])
    names = list(pieces[0][0])
    points = {n: np.concatenate([piece[n] for piece, _ in pieces]) for n in names}
    if persons is None:
        return points, None
    parts = [column.view(np.uint16).reshape(-1, 4) for column in points.values()]
    codes = [np.ascontiguousarray(part[:, i]) for part in parts for i in range(part.shape[1])]
    kept = bounding.rank(persons, codes) < rows_per_person
    return {n: column[kept] for n, column in points.items()}, None


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
