"""How numbers of rows, and gaps, lie inside their bins: falling or rising as the bins around do.

Only bins are counted. Where parents become fewer from bin to bin, even numbers inside a wide one
would give them too many rows.
"""

from __future__ import annotations

import numpy as np

from silosynth.common.forest import PIECES, bins_of
from silosynth.common.sampler import SHARE_BITS, shares_within
from silosynth.common.tables import GapScale, TablesSchema

ROUNDS = 4
"""The middle of a bin is where its parents are, which its own slope moves."""


def numbers_inside(schema: TablesSchema, name: str, bins: np.ndarray) -> np.ndarray:
    """Return (numbers,) uint32, the cumulative shares of 2^31 of each number in its bin.

    Args: bins: (bins,) float64, the share of each.
    """
    groups = bins_of(schema, name)
    numbers = np.arange(len(groups), dtype=np.float64)
    codes = int(groups[-1]) + 1
    middles = np.array([numbers[groups == code].mean() for code in range(codes)])
    weights = np.ones(len(groups))
    for _ in range(ROUNDS):
        # How many parents there are where a bin's middle is, which has weight 1.
        slopes = steepness(bins / np.bincount(groups, weights), middles)
        weights = np.exp(slopes[groups] * (numbers - middles[groups]))
        middles = np.bincount(groups, weights * numbers) / np.bincount(groups, weights)
    return shares_within(weights, groups=groups, name=f"numbers of {name}")


def gaps_inside(scale: GapScale, shares: np.ndarray | None) -> np.ndarray:
    """Return (bins, PIECES) uint32, the cumulative shares of 2^31 of the equal parts of each bin.

    Args: shares: (codes,) float64, the share of each code of a gap; None where it was not asked.
    """
    low, width = scale.lows.astype(float), (scale.highs - scale.lows + 1).astype(float)
    parts = (np.arange(PIECES) + 0.5) / PIECES
    steps = low[:, None] + width[:, None] * parts[None, :]
    masses = np.full(scale.bins, 1.0) if shares is None else shares[: scale.bins]
    middles = steps.mean(axis=1)
    weights = np.ones_like(steps)
    for _ in range(ROUNDS if shares is not None and scale.bins > 1 else 0):
        # As numbers of rows are, in parts in the place of whole numbers.
        held = (weights * width[:, None] / PIECES).sum(axis=1)
        slopes = steepness(masses / held, middles)
        weights = np.exp(np.clip(slopes[:, None] * (steps - middles[:, None]), -30, 30))
        middles = (weights * steps).sum(axis=1) / weights.sum(axis=1)
    ends = np.cumsum(weights, axis=1)
    ends = np.rint(ends / ends[:, -1:] * (1 << SHARE_BITS))
    found: np.ndarray = ends.astype(np.uint32)
    return found


def steepness(densities: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Return (bins,) by which the logarithm of a share changes from one number to the next.

    0 where bins do not fall or rise on both sides alike, or nobody is counted in one of them; the
    first and the last have one side.
    """
    shown = densities > 0
    logs = np.log(np.where(shown, densities, 1.0))
    steps = np.where(shown[1:] & shown[:-1], np.diff(logs) / np.diff(middles), 0.0)
    before, after = np.append(steps[:1], steps), np.append(steps, steps[-1:])
    alike = np.sign(before) == np.sign(after)
    nearer = np.where(np.abs(before) < np.abs(after), before, after)
    found: np.ndarray = np.where(alike, nearer, 0.0)
    return found
