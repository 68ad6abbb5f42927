"""The ends of a column, where noise is all there is: mass that thins out instead of lying evenly.

Bounds are often declared far from where values end. Mass that noise makes up there would lie
evenly up to the bound and move the mean by many spreads. So the outermost rows, as many as noise
may be, go on as the rows before them end: by a power of the distance from the middle that is read
off where there are four times as many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.values import Leaves
from silosynth.server.values.pieces import Pieces, join_pieces, keep_pieces, node_starts
from silosynth.server.values.tree import HEAVY_DEVIATIONS, TOP_FANOUT, Tree

TAIL_DEVIATIONS = 3.0
_WIDE_DEVIATIONS = 8.0
"""As many rows may lie anywhere in a piece that is longer than all that lies before it."""

_SURE_DEVIATIONS = 3.0
"""What lies far off moves a mean by its distance, so noise alone should seldom say that it does."""

_FEWEST_ROWS = 0.5
_LEAST_POWER, _MOST_POWER = 2.0, 64.0
"""Tails that fall more slowly have no spread; those that fall faster end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """How far off what lies below and above a point may be.

    ``starts``, (nodes + 1,) each: the points at which the nodes of the two widest levels that were
    counted begin, the wider first; ``variance``: of a node of each; ``counts`` (nodes,): what was
    found in those of the finer level; ``rows``: all of them, and ``total`` their variance.
    """

    starts: tuple[np.ndarray, ...]
    variance: tuple[float, ...]
    counts: np.ndarray
    rows: float
    total: float

    @property
    def points(self) -> int:
        """Return the number of points."""
        return int(self.starts[0][-1])

    @property
    def narrow(self) -> int:
        """Return the most points of a node of the finer level."""
        return int(np.diff(self.starts[-1]).max())

    def found(self, points: np.ndarray) -> np.ndarray:
        """Return (points,) the rows at each point and above by what was counted, of any sign."""
        below = np.append(0.0, np.cumsum(self.counts))
        place = np.interp(points, self.starts[-1], below)
        above = self.points - points
        share = above / (
            above + points * (1.0 + self.total / (self.variance[0] * len(self.starts[0])))
        )
        rows: np.ndarray = below[-1] - place + (self.rows - below[-1]) * share
        return rows

    def above(self, points: np.ndarray) -> np.ndarray:
        """Return (points,) the deviation of the rows at each point and above.

        They are known by the nodes above, and by those below and all rows: of the wider level, and
        inside of one of its nodes of the finer one.
        """
        sums, known = np.zeros(len(points)), np.full(len(points), self.total)
        first, last = np.zeros(len(points)), np.full(len(points), self.points)
        for starts, variance in zip(self.starts, self.variance, strict=True):
            node = np.searchsorted(starts, points, side="right") - 1
            node = np.minimum(node, len(starts) - 2)
            begin, end = np.searchsorted(starts, first), np.searchsorted(starts, last)
            above, below = variance * (end - node - 1), variance * (node - begin) + known
            sums += _both(above, below)
            first, last = starts[node], starts[node + 1]
            known = np.full(len(points), variance)
        inside: np.ndarray = np.sqrt(sums + np.where(points < self.points, self.variance[-1], 0.0))
        return inside

    def mirrored(self) -> Noise:
        """Return what is off with the line turned around."""
        turned = tuple(s[-1] - s[::-1] for s in self.starts)
        return replace(self, starts=turned, counts=self.counts[::-1])


def noise_of(tree: Tree, *, leaves: Leaves, rows: float, total: float) -> Noise:
    """Return how far off the pieces of a tree may be.

    Args: rows, total: the number of rows, and its variance.
    """
    widest = max(i for i, fanout in enumerate(tree.fanout) if fanout != TOP_FANOUT)
    starts = node_starts(tree, leaves)
    levels = [i for i in (widest, widest - 1) if i >= 0]
    return Noise(
        starts=tuple(starts[i] for i in levels),
        variance=tuple(float(tree.variance[i].max()) for i in levels),
        counts=tree.levels[levels[-1]],
        rows=rows,
        total=total,
    )


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the variance of what two independent estimates say together."""
    joint: np.ndarray = one / (1.0 + one / np.maximum(other, 1e-9))
    return joint


def thin_tails(pieces: Pieces, *, noise: Noise) -> Pieces:
    """Return the pieces with both ends thinned out; their mass stays.

    What stands out of its surroundings by itself stays where it is.
    """
    points = noise.points
    right = _thin(pieces, noise=noise)
    left = _thin(_mirrored(right, points=points), noise=noise.mirrored())
    return _mirrored(left, points=points)


def _thin(pieces: Pieces, *, noise: Noise) -> Pieces:
    """Thin out the upper end."""
    if not len(pieces.mass):
        return pieces
    sure = (pieces.points <= noise.narrow) & (
        pieces.mass > HEAVY_DEVIATIONS * noise.variance[-1] ** 0.5
    )
    loose = np.where(sure, 0.0, pieces.mass)[::-1].cumsum()[::-1]
    half = int(np.searchsorted(np.cumsum(pieces.mass), pieces.mass.sum() / 2))
    middle = int(pieces.start[half])
    wide = pieces.points > pieces.start - middle
    limit = np.where(wide, _WIDE_DEVIATIONS, TAIL_DEVIATIONS) * noise.above(pieces.start)
    unsure = (loose <= limit) & (pieces.start > middle) & ~sure
    if not unsure.any() or loose[first := int(unsure.argmax())] <= 0:
        return pieces
    begin = int(pieces.start[first])
    power = _power(pieces, middle=middle, begin=begin, rows=float(loose[first]))
    tail = Pieces(
        pieces.start[first:], pieces.stop[first:], np.where(sure, 0.0, pieces.mass)[first:]
    )
    outside = Pieces(*(c[sure] for c in (pieces.start, pieces.stop, pieces.mass)))
    thinned = _falling(tail, outside, middle=middle, power=power, noise=noise)
    kept = np.arange(len(sure)) < first
    body = Pieces(*(c[kept | sure] for c in (pieces.start, pieces.stop, pieces.mass)))
    return join_pieces([body, _beside(thinned, outside)])


def _power(pieces: Pieces, *, middle: int, begin: int, rows: float) -> float:
    """Return how fast rows fall with the distance from the middle, at the tail's begin."""
    more = min(4 * rows, 0.35 * float(pieces.mass.sum()))
    if more <= rows:
        return _LEAST_POWER
    cumulative = np.cumsum(pieces.mass[::-1])
    i = len(pieces.mass) - 1 - int(np.searchsorted(cumulative, more))
    before = cumulative[len(cumulative) - 2 - i] if i < len(cumulative) - 1 else 0.0
    place = float(pieces.stop[i]) - (more - before) / float(pieces.mass[i]) * float(
        pieces.points[i]
    )
    if not middle < place < begin:
        return _LEAST_POWER if place <= middle else _MOST_POWER
    power = math.log(more / rows) / math.log((begin - middle) / (place - middle))
    return min(max(power, _LEAST_POWER), _MOST_POWER)


def _falling(tail: Pieces, sure: Pieces, *, middle: int, power: float, noise: Noise) -> Pieces:
    """Return the tail's mass in spans each of which takes half of what is left, to the bound.

    Where more was found beyond an edge, and surely, so much stays beyond it.
    """
    begin, last = int(tail.start[0]), noise.points
    total = float(tail.mass.sum())
    spans = max(math.ceil(math.log2(total / _FEWEST_ROWS)), 1) if total > _FEWEST_ROWS else 1
    far = (begin - middle) * 2.0 ** (np.arange(1, spans + 1) / power)
    further = (begin - middle) * 2.0 ** np.arange(1, max(math.log2(last / (begin - middle)), 0) + 2)
    far = middle + np.ceil(np.concatenate((far, further)))
    edges = np.unique(np.minimum(far, last).astype(np.int64))
    edges = np.unique(np.append(edges[edges > begin], max(last, begin + 1)))
    found = noise.found(edges) - np.array([_beyond(sure, int(e)) for e in edges])
    apart = (_SURE_DEVIATIONS * noise.above(edges)) ** 2
    known = np.where(found > 0, found - apart / np.where(found > 0, found, 1.0), 0.0)
    modelled = total * ((edges - middle) / (begin - middle)) ** -power
    modelled = np.where(modelled >= _FEWEST_ROWS, modelled, 0.0)
    beyond = np.minimum.accumulate(np.append(total, np.maximum(known, modelled)))
    beyond[-1] = 0.0
    return keep_pieces(np.append(begin, edges[:-1]), edges, -np.diff(beyond))


def _beyond(tail: Pieces, edge: int) -> float:
    """Return the mass at ``edge`` and beyond it."""
    left = np.clip((tail.stop - edge) / tail.points, 0.0, 1.0)
    return float((tail.mass * left).sum())


def _beside(spans: Pieces, sure: Pieces) -> Pieces:
    """Return spans without the points of pieces that are sure; their mass stays."""
    cuts = np.unique(np.concatenate((spans.start, spans.stop, sure.start, sure.stop)))
    start, stop = cuts[:-1], cuts[1:]
    span = np.searchsorted(spans.start, start, side="right") - 1
    inside = (span >= 0) & (start < spans.stop[np.maximum(span, 0)])
    taken = np.searchsorted(sure.start, start, side="right") - 1
    free = (
        inside
        if not len(sure.mass)
        else inside & ((taken < 0) | (start >= sure.stop[np.maximum(taken, 0)]))
    )
    density = spans.mass / spans.points
    mass = np.where(free, density[np.maximum(span, 0)] * (stop - start), 0.0)
    if mass.sum() > 0:
        mass *= spans.mass.sum() / mass.sum()
    return keep_pieces(start, stop, mass)


def _mirrored(pieces: Pieces, *, points: int) -> Pieces:
    """Return the pieces with the line turned around."""
    return Pieces(points - pieces.stop[::-1], points - pieces.start[::-1], pieces.mass[::-1])
