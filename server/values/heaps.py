"""Round numbers: how often a value that stands for many is a multiple of 5, 10, 100, ..."""

from __future__ import annotations

import numpy as np

from silosynth.common.values import WHOLE, Endings
from silosynth.server.values.pieces import Pieces
from silosynth.server.values.shares import HEAVY_DEVIATIONS, project


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
