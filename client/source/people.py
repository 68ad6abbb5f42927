"""The rows that a generator may learn from, as examples, with the person that each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.noise import BitSource
from silosynth.client.source.bounding import number_persons
from silosynth.client.source.spec import Bounding, CodedTable
from silosynth.common.codec import plain_values, to_examples
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Schema

Points: TypeAlias = "tuple[Mapping[str, np.ndarray], pa.ChunkedArray | None]"
"""The points of each number of some rows, and their person column. Private."""


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

    Without a person column each row is a person of its own.
    """
    examples = to_examples(coded.columns, coded.texts, schema=schema).astype(np.int32)
    if coded.persons is None or bounding is None:
        return People(examples=examples, person=np.arange(len(examples)), count=len(examples))
    ranks = bounding.rank(coded.persons, coded.columns)
    person, names = number_persons(coded.persons)
    kept = ranks < rows_per_person
    return People(examples=examples[kept], person=person[kept], count=len(names))


def plain_persons(persons: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the person column without a dictionary, which may differ between fragments."""
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
