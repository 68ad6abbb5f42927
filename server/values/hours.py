"""At which hours of the day and on which weekdays moments lie, from noised counts of both.

Post-processing. Pieces of less than a day say the hour themselves; what is left over of a count is
what the wide ones must hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.values import HOURS, WEEKDAYS, ClockCells, DayLaw
from silosynth.server.values.pieces import Pieces, keep_pieces
from silosynth.server.values.tree import share_out

_SAMPLES = 2_016
"""Points of a wide piece that say at which hours it has points."""
_AT_ONCE = 256
"""Wide pieces whose points are laid out together: some 4 MiB."""

_EMPTY_DEVIATIONS, _CLOSED_DEVIATIONS, _OPEN_DEVIATIONS = 1.5, 4.0, 2.5
"""Of the noise of a run of cells: what nobody is in is below the first and so far below an even
share as the second; no cell of it is above the third by itself."""

_ROUNDS = 60
_MOST_WEIGHT = 2**20
_GOLDEN = (5**0.5 - 1) / 2


def find_law(
    pieces: Pieces,
    *,
    shown: Mapping[str, ClockCells],
    counts: Mapping[str, np.ndarray],
    variance: float,
) -> tuple[DayLaw | None, Pieces]:
    """Return how moments lie in the day and in the week, and the pieces without what it excludes.

    None, and the pieces as they are, where the counts show nothing.

    Weights are fitted so that pieces, drawn by them, have the counts' shares: each in turn is
    brought to its own, as in iterative proportional fitting.

    Args: shown, counts: what was counted of clocks, by level; counts are noised.
    """
    there = {unit: part for unit, part in shown.items() if unit in counts}
    if not there or not len(pieces.mass):
        return None, pieces
    places = _Places.of(pieces, parts=there)
    even = {unit: places.mass @ places.of_units([unit]) for unit in there}
    wanted = {u: _wanted(counts[u], even=even[u], variance=variance) for u in there}
    kept = {unit: target for unit, target in wanted.items() if target is not None}
    if not kept:
        return None, pieces
    fit = _Fit(places, wanted=kept)
    fit.run()
    whole = {unit: tuple(np.rint(w * _MOST_WEIGHT).astype(int).tolist()) for unit, w in fit.laws()}
    law = DayLaw(
        clocks=next(iter(there.values())).clocks,
        hours=whole.get(HOURS, ()),
        weekdays=whole.get(WEEKDAYS, ()),
    )
    left = fit.left()[places.rows]
    return law, keep_pieces(pieces.start, pieces.stop, pieces.mass * left)


def _wanted(counts: np.ndarray, *, even: np.ndarray, variance: float) -> np.ndarray | None:
    """Return (cells,) how many rows each is taken to hold; None where noise explains it all."""
    closed = _closed(counts, even=even, spread=variance**0.5)
    shared = share_out(
        np.array([even.sum()]),
        counts=counts[None, :].astype(np.float64),
        variance=np.full((1, len(counts)), variance),
        width=np.where(closed, 0.0, even)[None, :],
    )
    return None if shared.even[0] and not closed.any() else shared.mass[0]


def _closed(counts: np.ndarray, *, even: np.ndarray, spread: float) -> np.ndarray:
    """Say, (cells,), which lie in the longest run, round the clock, that nobody seems to be in.

    All of it together is no more than noise, and far below what it would hold evenly.
    """
    many = len(counts)
    closed = np.zeros(many, dtype=bool)
    for length in range(many - 1, 0, -1):
        runs = (np.arange(many)[:, None] + np.arange(length)) % many
        noise = spread * length**0.5
        sums = counts[runs].sum(axis=1)
        empty = (sums < _EMPTY_DEVIATIONS * noise) & (
            even[runs].sum(axis=1) - sums > _CLOSED_DEVIATIONS * noise
        )
        empty &= (counts[runs] < _OPEN_DEVIATIONS * spread).all(axis=1)
        if empty.any():
            emptiest = np.where(empty, sums, np.inf).argmin()
            closed[runs[emptiest]] = True
            return closed
    return closed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Places:
    """In which cells of ``units`` pieces have their points, those alike as one row.

    ``rows`` is (pieces,) the row of each, ``mass`` is (rows,) what lies in it, and ``shares`` are
    (rows, cells of each unit). A table of many rows has a piece for each of its moments, so most
    lie inside one cell and are never laid out.
    """

    units: tuple[str, ...]
    rows: np.ndarray
    mass: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, pieces: Pieces, *, parts: Mapping[str, ClockCells]) -> _Places:
        """Find the cells of points of each piece, a few wide ones at a time."""
        found = tuple(parts.values())
        sizes = [part.cells for part in found]
        cell = _cell_of_all(pieces.start, found)
        inside = _brief(pieces, found) & (cell == _cell_of_all(pieces.stop - 1, found))
        cells, same = np.unique(cell[inside], return_inverse=True)
        shares = [np.eye(int(np.prod(sizes)))[cells]]
        wide = np.flatnonzero(~inside)
        for start in range(0, len(wide), _AT_ONCE):
            points = _samples(pieces, wide[start : start + _AT_ONCE])
            shares.append(_shares(_cell_of_all(points, found), int(np.prod(sizes))))
        rows = np.empty(len(pieces.mass), dtype=np.int64)
        rows[inside], rows[wide] = same, len(cells) + np.arange(len(wide))
        return cls(
            units=tuple(parts),
            rows=rows,
            mass=np.bincount(rows, weights=pieces.mass, minlength=len(cells) + len(wide)),
            shares=np.concatenate(shares).reshape(-1, *sizes),
        )

    def of_units(self, units: Iterable[str]) -> np.ndarray:
        """Return (rows, cells of each of ``units``) the share of a row in each cell."""
        there = set(units)
        axes = tuple(i for i, unit in enumerate(self.units, start=1) if unit not in there)
        found: np.ndarray = self.shares.sum(axis=axes)
        return found


def _brief(pieces: Pieces, parts: Sequence[ClockCells]) -> np.ndarray:
    """Say, (pieces,), which have no turn inside and are no longer than a cell of any unit."""
    length = min(part.length for part in parts)
    turns = np.asarray(parts[0].clocks.turns, dtype=np.int64)
    first, last = (
        np.searchsorted(turns, points, side="right") for points in (pieces.start, pieces.stop - 1)
    )
    found: np.ndarray = (pieces.points <= length // parts[0].grid.stride) & (first == last)
    return found


def _cell_of_all(points: np.ndarray, parts: Iterable[ClockCells]) -> np.ndarray:
    """Return which cell of all units together each point lies in."""
    joint = np.zeros(points.shape, dtype=np.int64)
    for part in parts:
        joint = joint * part.cells + part.find(points.ravel()).reshape(points.shape)
    return joint


def _samples(pieces: Pieces, chosen: np.ndarray) -> np.ndarray:
    """Return (chosen, samples) points of pieces, all of a narrow one alike often.

    Of a wide one the points are spread as evenly as they can be at any distance.
    """
    place = np.arange(_SAMPLES)
    apart = (place * _GOLDEN) % 1.0
    width = pieces.points[chosen][:, None]
    narrow = width <= _SAMPLES
    at = np.where(narrow, place * width // _SAMPLES, (apart * width).astype(np.int64))
    points: np.ndarray = pieces.start[chosen][:, None] + at
    return points


def _shares(cells: np.ndarray, many: int) -> np.ndarray:
    """Return (pieces, many) the share of a piece's samples in each cell."""
    rows = np.arange(len(cells))[:, None] * many
    counts = np.bincount((rows + cells).ravel(), minlength=len(cells) * many)
    shares: np.ndarray = counts.reshape(len(cells), many) / cells.shape[1]
    return shares


class _Fit:
    """Weights of hours and weekdays, by which pieces come nearest to what is wanted of both."""

    def __init__(self, places: _Places, *, wanted: Mapping[str, np.ndarray]) -> None:
        """Begin with pieces that are even."""
        self._units = [unit for unit in places.units if unit in wanted]
        self._wanted = [wanted[unit] for unit in self._units]
        self._there = places.of_units(self._units)
        self._mass = places.mass
        self._weights = [np.ones(len(w)) for w in self._wanted]

    def run(self) -> None:
        """Bring each unit to its counts in turn."""
        for _ in range(_ROUNDS):
            for unit in range(len(self._units)):
                found = self._mass @ self._held(unit)
                self._weights[unit] *= _ratio(self._wanted[unit], found)
                self._weights[unit] /= max(float(self._weights[unit].max()), 1e-300)

    def laws(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each unit and the weights of its cells, the largest of which is 1."""
        yield from zip(self._units, self._weights, strict=True)

    def left(self) -> np.ndarray:
        """Return (rows,) the part of each that the counts leave, 1 at most.

        Where narrow pieces hold more than was counted of their hours, the count is the surer one.
        """
        left = np.ones(len(self._mass))
        for unit, wanted in enumerate(self._wanted):
            held = self._held(unit)
            left *= held @ np.minimum(_ratio(wanted, self._mass @ held), 1.0)
        return left

    def _held(self, unit: int) -> np.ndarray:
        """Return (rows, cells) the share of each row in each cell of a unit."""
        law = self._weights[0]
        if len(self._weights) > 1:
            law = np.multiply.outer(law, self._weights[1])
        held = self._there * law
        axes = tuple(range(1, held.ndim))
        lost = held.sum(axis=axes) <= 0
        held[lost] = self._there[lost]
        others = tuple(axis for axis in axes if axis != unit + 1)
        inside = held.sum(axis=others) if others else held
        shares: np.ndarray = inside / inside.sum(axis=1, keepdims=True)
        return shares


def _ratio(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.where(found > 0, wanted / np.where(found > 0, found, 1.0), 1.0)
    return ratio
