"""At which hours of the day and on which weekdays moments lie, from noised counts of both.

Post-processing. Pieces of less than a day say the hour themselves; what is left over of a count is
what the wide ones must hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from silosynth.common.values import HOURS, WEEKDAYS, ClockCells, DayLaw
from silosynth.server.values.pieces import Pieces, keep_pieces
from silosynth.server.values.tree import share_out

_SAMPLES = 2_016
"""Points of a wide piece that say at which hours it has points."""

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
    cells = {unit: _cells_of(pieces, part) for unit, part in there.items()}
    even = {u: pieces.mass @ _shares(c, there[u].cells) for u, c in cells.items()}
    wanted = {u: _wanted(counts[u], even=even[u], variance=variance) for u in there}
    kept = {unit: target for unit, target in wanted.items() if target is not None}
    if not kept:
        return None, pieces
    fit = _Fit(pieces.mass, cells={unit: cells[unit] for unit in kept}, wanted=kept)
    fit.run()
    whole = {unit: tuple(np.rint(w * _MOST_WEIGHT).astype(int).tolist()) for unit, w in fit.laws()}
    law = DayLaw(
        clocks=next(iter(there.values())).clocks,
        hours=whole.get(HOURS, ()),
        weekdays=whole.get(WEEKDAYS, ()),
    )
    return law, keep_pieces(pieces.start, pieces.stop, pieces.mass * fit.left())


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


def _cells_of(pieces: Pieces, part: ClockCells) -> np.ndarray:
    """Return (pieces, samples) the cells of points of each piece, all of a narrow one alike often.

    Of a wide one the points are spread as evenly as they can be at any distance.
    """
    place = np.arange(_SAMPLES)
    apart = (place * _GOLDEN) % 1.0
    width = pieces.points[:, None]
    narrow = width <= _SAMPLES
    at = np.where(narrow, place * width // _SAMPLES, (apart * width).astype(np.int64))
    points = (pieces.start[:, None] + at).ravel()
    return part.find(points).reshape(at.shape)


def _shares(cells: np.ndarray, many: int) -> np.ndarray:
    """Return (pieces, many) the share of a piece's samples in each cell."""
    rows = np.arange(len(cells))[:, None] * many
    counts = np.bincount((rows + cells).ravel(), minlength=len(cells) * many)
    shares: np.ndarray = counts.reshape(len(cells), many) / cells.shape[1]
    return shares


class _Fit:
    """Weights of hours and weekdays, by which pieces come nearest to what is wanted of both."""

    def __init__(
        self, mass: np.ndarray, *, cells: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
    ) -> None:
        """Begin with pieces that are even."""
        self._units = list(cells)
        self._wanted = [wanted[unit] for unit in self._units]
        sizes = [len(w) for w in self._wanted]
        joint = np.zeros((len(mass), _SAMPLES), dtype=np.int64)
        for unit, size in zip(self._units, sizes, strict=True):
            joint = joint * size + cells[unit]
        self._there = _shares(joint, int(np.prod(sizes))).reshape(-1, *sizes)
        self._mass = mass
        self._weights = [np.ones(size) for size in sizes]

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
        """Return (pieces,) the part of each that the counts leave, 1 at most.

        Where narrow pieces hold more than was counted of their hours, the count is the surer one.
        """
        left = np.ones(len(self._mass))
        for unit, wanted in enumerate(self._wanted):
            held = self._held(unit)
            left *= held @ np.minimum(_ratio(wanted, self._mass @ held), 1.0)
        return left

    def _held(self, unit: int) -> np.ndarray:
        """Return (pieces, cells) the share of each piece in each cell of a unit."""
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
