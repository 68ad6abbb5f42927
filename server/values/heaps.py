"""Values that hold many rows: round numbers, and those that a second look into full leaves finds.

How often a value that stands for many is a multiple of 5, 10, 100, ...
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from silosynth.common.values import WHOLE, Closer, Endings, Leaves, factors
from silosynth.server.values.pieces import Pieces, join_pieces, keep_pieces
from silosynth.server.values.tree import HEAVY_DEVIATIONS, project, share_out


def find_heaps(
    pieces: Pieces, counts: np.ndarray, *, endings: Endings, variance: float
) -> tuple[int, ...]:
    """Return, for each modulus, the chance of 2^31 that a piece's value is a multiple of it.

    Chances are asked from the last modulus to the first, where a piece has such a point. Nothing
    where values that stand alone explain the round numbers already.

    Args: counts: (1 + moduli,) noised counts of points by the largest modulus that divides them.
    """
    alone = pieces.points == 1
    single = endings.find(pieces.start[alone])
    known = np.bincount(single, weights=pieces.mass[alone], minlength=endings.cells)
    left = counts - known
    total = float(pieces.mass[~alone].sum())
    spread = (variance * (1 + int(alone.sum()))) ** 0.5
    if total <= HEAVY_DEVIATIONS * spread:
        return ()
    moduli = np.asarray((1, *endings.moduli), dtype=np.float64)
    even = total * (1.0 / moduli - np.append(1.0 / moduli[1:], 0.0))
    if not (np.abs(left - even)[1:] > HEAVY_DEVIATIONS * spread).any():
        return ()
    shares = project(
        left[None, :], there=np.ones((1, len(left)), dtype=bool), total=np.array([1.0]) * total
    )
    wanted = _multiples(shares[0] / total, moduli=moduli)
    return _chances(pieces, wanted, endings=endings)


def _multiples(shares: np.ndarray, *, moduli: np.ndarray) -> np.ndarray:
    """Return how often to draw any multiple of each modulus, to get the shares of exact ones.

    A multiple of 5 is a multiple of 10 every second time: each modulus divides the next.
    """
    above = np.cumsum(shares[::-1])[::-1]
    within = np.minimum(moduli[None, :] / moduli[:, None], 1.0)
    solved = np.linalg.solve(within, above)
    there = np.ones((1, len(solved)), dtype=bool)
    wanted: np.ndarray = project(solved[None, :], there=there, total=np.array([1.0]))[0]
    return wanted


def _chances(pieces: Pieces, wanted: np.ndarray, *, endings: Endings) -> tuple[int, ...]:
    """Return the chance of each modulus where a piece has one and no larger one was drawn."""
    wide = pieces.points > 1
    start, stop = pieces.start[wide] + endings.grid.phase, pieces.stop[wide] + endings.grid.phase
    left = pieces.mass[wide] / pieces.mass[wide].sum()
    chances: list[int] = []
    for modulus, share in zip(endings.moduli[::-1], wanted[:0:-1], strict=True):
        there = (stop - 1) // modulus >= -(-start // modulus)
        room = float(left[there].sum())
        chance = min(share / room, 1.0) if room > 0 else 0.0
        left = np.where(there, left * (1.0 - chance), left)
        chances.append(round(chance * WHOLE))
    return tuple(chances[::-1])


CLOSER_DEVIATIONS = 6.0
"""A leaf is looked into where it holds so many standard deviations of noise: a value could show."""

_MOST_VALUES = 4
"""Single values that the digits of one leaf may tell apart."""


def look_into(
    pieces: Pieces, *, leaves: Leaves, variance: float, most_cells: int
) -> tuple[int, ...]:
    """Return the leaves that may hold a value of their own, the heaviest where room is scarce.

    Only where a leaf is a piece of its own.

    Args: most_cells: that all digits of all of them may have.
    """
    width = sum(factors(leaves))
    if not width:
        return ()
    wanted = (
        (pieces.points > 1)
        & (pieces.points <= leaves.join)
        & (pieces.mass > CLOSER_DEVIATIONS * variance**0.5)
    )
    heaviest = np.flatnonzero(wanted)[np.argsort(-pieces.mass[wanted], kind="stable")]
    number = (pieces.stop[heaviest] - 1 + leaves.offset) // leaves.join
    kept = dict.fromkeys(int(n) for n in number)
    return tuple(sorted(list(kept)[: most_cells // width]))


def look_closer(
    pieces: Pieces, digits: Sequence[np.ndarray], *, closer: Closer, variance: float
) -> Pieces:
    """Return the pieces with those inside the leaves that were looked into cut finer.

    The mass of a piece stays; what was counted inside says where in it.

    Args: digits: for each digit, (leaves x its size,) noised counts.
    """
    rows = [d.reshape(len(closer.chosen), -1).astype(np.float64) for d in digits]
    finer: list[Pieces] = []
    replaced = np.zeros(len(pieces.mass), dtype=bool)
    for rank in range(len(closer.chosen)):
        begin = closer.begin(rank)
        end = begin + closer.leaves.join
        inside = (pieces.start >= begin) & (pieces.stop <= end) & (pieces.points > 1)
        for i in np.flatnonzero(inside):
            piece = Pieces(*(c[i : i + 1] for c in (pieces.start, pieces.stop, pieces.mass)))
            counts = [row[rank] for row in rows]
            cut = _by_place if len(counts) == 1 else _by_digits
            finer.append(cut(piece, counts, begin=begin, variance=variance))
            replaced[i] = True
    kept = Pieces(pieces.start[~replaced], pieces.stop[~replaced], pieces.mass[~replaced])
    return join_pieces([kept, *finer])


def _by_place(
    piece: Pieces, counts: Sequence[np.ndarray], *, begin: int, variance: float
) -> Pieces:
    """Return a piece cut at the points of its leaf, all of which were counted."""
    points = begin + np.arange(len(counts[0]))
    width = ((points >= piece.start[0]) & (points < piece.stop[0])).astype(np.int64)[None, :]
    shared = share_out(
        piece.mass,
        counts=counts[0][None, :],
        variance=np.full(width.shape, variance),
        width=width,
    )
    if shared.even[0]:
        return piece
    return keep_pieces(points, points + width[0], shared.mass[0])


def _by_digits(
    piece: Pieces, counts: Sequence[np.ndarray], *, begin: int, variance: float
) -> Pieces:
    """Return a piece with the single values that stand out in each digit alike taken out of it."""
    left = [c.copy() for c in counts]
    sizes = [len(c) for c in counts]
    spread = variance**0.5
    found: dict[int, float] = {}
    for _ in range(_MOST_VALUES):
        digits = [int(c.argmax()) for c in left]
        heights = [float(c[d] - np.median(c)) for c, d in zip(left, digits, strict=True)]
        agree = max(heights) - min(heights) <= HEAVY_DEVIATIONS * spread * 2**0.5
        if min(heights) <= (HEAVY_DEVIATIONS + 1) * spread or not (agree or not found):
            break
        place = sum(d * int(np.prod(sizes[:i])) for i, d in enumerate(digits))
        point = begin + place
        if not piece.start[0] <= point < piece.stop[0] or point in found:
            break
        mass = float(np.mean(heights))
        found[point] = mass
        for c, d in zip(left, digits, strict=True):
            c[d] -= mass
    return _taken_out(piece, found, noise=HEAVY_DEVIATIONS * spread)


def _taken_out(piece: Pieces, found: dict[int, float], *, noise: float) -> Pieces:
    """Return single values, and what is left of a piece between them, if it is more than noise."""
    if not found:
        return piece
    total, alone = float(piece.mass[0]), sum(found.values())
    scale = total / alone if total < alone + noise else 1.0
    points = np.array(sorted(found), dtype=np.int64)
    single = np.array([found[int(p)] * scale for p in points])
    start = np.concatenate((piece.start, points + 1))
    stop = np.concatenate((points, piece.stop))
    left = max(total - float(single.sum()), 0.0) * (stop - start) / max((stop - start).sum(), 1)
    return join_pieces([keep_pieces(points, points + 1, single), keep_pieces(start, stop, left)])
