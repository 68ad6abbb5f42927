"""The ends of a column, where noise is all there is: mass that thins out instead of lying evenly.

Bounds are often declared far from where values end. Mass that noise makes up there would lie
evenly up to the bound and move the mean by many spreads, so the outermost rows, as many as noise
may be, are laid in spans that double in length and halve in mass: a tail that falls as 1/distance.
"""

from __future__ import annotations

import numpy as np

from silosynth.server.values.pieces import Pieces, join_pieces, keep_pieces

TAIL_DEVIATIONS = 3.0
_SURE_DEVIATIONS = 2.0


def thin_tails(pieces: Pieces, *, variance: float, points: int) -> Pieces:
    """Return the pieces with both ends thinned out; their mass stays."""
    right = _thin(pieces, spread=variance**0.5)
    return _mirrored(_thin(_mirrored(right, points=points), spread=variance**0.5), points=points)


def _thin(pieces: Pieces, *, spread: float) -> Pieces:
    """Thin out the upper end."""
    outermost = TAIL_DEVIATIONS * spread
    cumulative = np.cumsum(pieces.mass)
    if not len(cumulative) or cumulative[-1] <= 2 * outermost:
        return pieces
    first = int(np.searchsorted(cumulative, cumulative[-1] - outermost, side="right")) + 1
    if first >= len(pieces.mass):
        return pieces
    begin = int(pieces.stop[first - 1])
    middle = int(pieces.start[np.searchsorted(cumulative, cumulative[-1] / 2)])
    span = max(begin - middle, 1)
    if int(pieces.stop[-1]) - begin <= span:
        return pieces
    tail = Pieces(pieces.start[first:], pieces.stop[first:], pieces.mass[first:])
    body = Pieces(pieces.start[:first], pieces.stop[:first], pieces.mass[:first])
    return join_pieces([body, _halving(tail, begin=begin, span=span, spread=spread)])


def _halving(tail: Pieces, *, begin: int, span: int, spread: float) -> Pieces:
    """Return the tail's mass in spans that double; beyond each, what was found and is sure."""
    end, total = int(tail.stop[-1]), float(tail.mass.sum())
    ends = [begin]
    while ends[-1] < end:
        ends.append(min(ends[-1] + span * 2 ** (len(ends) - 1), end))
    beyond = [total]
    for i, edge in enumerate(ends[1:], start=1):
        found = _beyond(tail, edge)
        sure = max(found - (_SURE_DEVIATIONS * spread) ** 2 / found, 0.0) if found > 0 else 0.0
        beyond.append(min(sure, total / 2**i, beyond[-1]))
    bounds = np.asarray(ends)
    return keep_pieces(bounds[:-1], bounds[1:], -np.diff(beyond))


def _beyond(tail: Pieces, edge: int) -> float:
    """Return the mass at ``edge`` and beyond it."""
    left = np.clip((tail.stop - edge) / tail.points, 0.0, 1.0)
    return float((tail.mass * left).sum())


def _mirrored(pieces: Pieces, *, points: int) -> Pieces:
    """Return the pieces with the line turned around."""
    return Pieces(points - pieces.stop[::-1], points - pieces.start[::-1], pieces.mass[::-1])
