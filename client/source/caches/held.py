"""Rows that stay in a gateway's memory between requests, and how long they may.

A row that was deleted from its table must not be counted again. So what was read is used again only
while its files are as they were; where a server is asked, which nobody can watch, for the requests
of one plan alone; and what a query gave, which may ask for the date, for an hour at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from silosynth.client.source.caches.file_state import FileState, same_files
from silosynth.client.source.people import People, join_persons
from silosynth.common.errors import InvalidTable

QUERY_SECONDS = 3600
"""How long the rows of a query are used again: it may say ``WHERE consent_ends > now()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """What decides how long rows are used again.

    ``look`` gives the state of the files that they come from; without it they are one plan's.
    ``seconds`` is how long they last at most. ``clock`` is a seam for tests.
    """

    look: Callable[[], FileState] | None = None
    seconds: int | None = None
    clock: Callable[[], float] = time.time

    def begin(self, plan: str | None) -> Moment:
        """Return the moment at which rows are about to be read, for a plan."""
        state = None if self.look is None else self.look()
        return Moment(state=state, plan=plan, read_at=self.clock())

    def stamps(self) -> tuple[object, ...] | None:
        """Return when the files were written last; None of what is not there to be looked at."""
        try:
            return None if self.look is None else self.look().stamps
        except (InvalidTable, OSError):
            return None

    def lasts(self, moment: Moment) -> bool:
        """Say whether the time of rows that were read at ``moment`` is not up."""
        return self.seconds is None or 0 <= self.clock() - moment.read_at <= self.seconds

    def holds(self, moment: Moment, *, plan: str | None) -> bool:
        """Say whether rows that were read at ``moment`` may be used, for ``plan``, now."""
        if not self.lasts(moment):
            return False
        if moment.state is None or self.look is None:
            return plan is not None and plan == moment.plan
        try:
            return same_files(moment.state, now=self.look())
        except (InvalidTable, OSError):
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When rows were read, of which files, and for which plan."""

    state: FileState | None
    plan: str | None
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One fragment as codes, with its person column. Private."""

    codes: tuple[np.ndarray, ...] = field(repr=False)
    persons: pa.ChunkedArray | None = field(default=None, repr=False)


def join_pieces(
    pieces: Sequence[Piece], *, columns: int
) -> tuple[tuple[np.ndarray, ...], pa.ChunkedArray | None]:
    """Return all rows of a reading in one piece: so many columns of codes, and the persons."""
    codes = tuple(
        np.concatenate([p.codes[i] for p in pieces]) if len(pieces) != 1 else pieces[0].codes[i]
        for i in range(columns)
    )
    return codes, join_persons([piece.persons for piece in pieces if piece.persons is not None])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """All rows of one reading as codes, with each row's rank within its person."""

    moment: Moment
    pieces: tuple[Piece, ...] = field(repr=False)
    ranks: np.ndarray | None = field(default=None, repr=False)

    def chosen(self, rows_per_person: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the codes of the rows that are counted."""
        return choose(self.pieces, self.ranks, rows_per_person=rows_per_person)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return sum(len(piece.codes[0]) for piece in self.pieces if piece.codes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldPeople:
    """The examples of one reading, of at most ``rows_per_person`` rows of each person."""

    moment: Moment
    rows_per_person: int
    people: People = field(repr=False)


def choose(
    pieces: Iterable[Piece], ranks: np.ndarray | None, *, rows_per_person: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the codes of each piece's rows of a rank below ``rows_per_person``; all without ranks.

    With ranks there is one piece, as a person's rows may lie anywhere.
    """
    for piece in pieces:
        if ranks is None:
            yield piece.codes
            continue
        chosen = ranks < rows_per_person
        yield piece.codes if chosen.all() else tuple(column[chosen] for column in piece.codes)
