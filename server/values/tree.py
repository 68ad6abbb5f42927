"""Noised histograms of one column at several widths, made to agree: weighted least squares.

Hay, Rastogi, Miklau and Suciu 2010, section 4: precision-weighted means from the cells up, the
residue of each node shared out among its children from the top down: what stands out, and what is
even. Post-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.values import FANOUT

HEAVY_DEVIATIONS = 4.0
_SHRINKAGE_MARGIN = 1.5
_LEAST_ROWS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """What became of some nodes' children.

    ``mass``, ``heavy``: (nodes, children); rows of ``mass`` add up to the node's. ``even`` (nodes,)
    says that a node's children show nothing, so that their mass goes by their width.
    """

    mass: np.ndarray
    heavy: np.ndarray
    even: np.ndarray


def share_out(
    total: np.ndarray, *, counts: np.ndarray, variance: np.ndarray, width: np.ndarray
) -> Shared:
    """Share each node's mass out among its children, given their noised counts.

    A child that stands out of the middle density by more than 4 standard deviations keeps its
    count. The others get the rest by their width, and of what they deviate from that as much as
    James and Stein leave: nothing, where noise alone would deviate so much. What falls below zero
    is cut by one constant for all, which keeps the sum, so that noise makes no mass.

    Args:
        total: (nodes,) at least 0.
        counts, variance: (nodes, children), the estimates and those of their noise.
        width: (nodes, children), the points of each child; children without any are not there.
    """
    heavy = stand_out(counts, variance=variance, width=width, deviations=HEAVY_DEVIATIONS)
    light = (width > 0) & ~heavy
    kept = np.where(heavy, counts, 0.0)
    sums = kept.sum(axis=1)
    # Heavy ones take no more than there is, and all of it where nothing else is there.
    bound = (sums > total) | ~light.any(axis=1)
    scale = np.where(bound & (sums > 0), total / np.where(sums > 0, sums, 1.0), 1.0)
    kept *= scale[:, None]
    left = np.maximum(total - kept.sum(axis=1), 0.0)
    sums = kept.sum(axis=1)
    apart = [np.where(some, variance, 0.0) for some in (heavy, light)]
    unsure = np.where(sums > 0, _unsure(left, heavy=apart[0], light=apart[1]), 0.0)
    kept *= 1.0 + _ratio(unsure, sums)[:, None]
    left -= unsure
    even = _even(left, width=np.where(light, width, 0))
    deviation = np.where(light, counts - even, 0.0)
    noise = np.where(light, variance, 0.0)
    deviation -= noise * _ratio(deviation.sum(axis=1), noise.sum(axis=1))[:, None]
    factor = _shrinkage(deviation, noise=noise, children=light.sum(axis=1))
    shrunk = project(even + factor[:, None] * deviation, there=light, total=left)
    # A child without neighbours says nothing of how even its node is.
    even_nodes = (factor == 0.0) & ~heavy.any(axis=1) & ((width > 0).sum(axis=1) > 1)
    return Shared(mass=kept + shrunk, heavy=heavy, even=even_nodes)


def _unsure(left: np.ndarray, *, heavy: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return (nodes,) how much of the rest beside heavy children may be their noise alone.

    Args: left: (nodes,) the rest; heavy, light: (nodes, children) variances, 0 of others.
    """
    some, rest = heavy.sum(axis=1), light.sum(axis=1)
    noise = some * rest * _ratio(np.ones(len(some)), some + rest)
    unsure: np.ndarray = np.minimum(left, _ratio(noise, np.where(left > _LEAST_ROWS, left, 0.0)))
    return unsure


def stand_out(
    counts: np.ndarray, *, variance: np.ndarray, width: np.ndarray, deviations: float
) -> np.ndarray:
    """Say, (nodes, children), which lie so many deviations of noise above the middle density."""
    noise = deviations * np.sqrt(variance)
    heavy: np.ndarray = (width > 0) & (counts > noise)
    rows = np.flatnonzero(heavy.any(axis=1))
    # A middle is never below zero, so all other rows are settled.
    middle = np.maximum(_middle(counts[rows], width=width[rows]), 0.0)[:, None] * width[rows]
    heavy[rows] &= counts[rows] - middle > noise[rows]
    return heavy


def project(values: np.ndarray, *, there: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the nearest rows without negative numbers that add up to ``total``.

    Guarantees: one constant is taken off each row and what is below zero is cut, so the order
    stays. Entries that are not ``there`` are 0.
    """
    big = np.where(there, values, -np.inf)
    falling = -np.sort(-big, axis=1)
    number = np.arange(1, values.shape[1] + 1)
    finite = np.isfinite(falling)
    sums = np.cumsum(np.where(finite, falling, 0.0), axis=1)
    level = (sums - total[:, None]) / number
    inside = finite & (falling > level)
    last = np.maximum(inside.cumsum(axis=1).argmax(axis=1), 0)
    constant = level[np.arange(len(values)), last]
    projected: np.ndarray = np.where(there, np.maximum(values - constant[:, None], 0.0), 0.0)
    return projected


def nearest_counts(counts: np.ndarray) -> np.ndarray:
    """Return the nearest counts that are not negative and add up to as many, at least one."""
    total = np.array([max(float(counts.sum()), 1.0)])
    there = np.ones((1, counts.size), dtype=bool)
    nearest: np.ndarray = project(counts[None, :], there=there, total=total)[0]
    return nearest


def nearest_shares(counts: np.ndarray) -> np.ndarray:
    """Return the shares of codes by their noised counts."""
    nearest = nearest_counts(counts)
    shares: np.ndarray = nearest / nearest.sum()
    return shares


def _middle(counts: np.ndarray, *, width: np.ndarray) -> np.ndarray:
    """Return (nodes,) the median count a point, points weighing alike."""
    density = np.where(width > 0, counts / np.where(width > 0, width, 1), np.inf)
    order = np.argsort(density, axis=1)
    points = np.cumsum(np.take_along_axis(width, order, axis=1), axis=1)
    place = (points * 2 >= points[:, -1:]).argmax(axis=1)
    rows = np.arange(len(counts))
    middle: np.ndarray = density[rows, order[rows, place]]
    return np.where(np.isfinite(middle), middle, 0.0)


def _even(total: np.ndarray, *, width: np.ndarray) -> np.ndarray:
    """Return each row's total by width."""
    shares: np.ndarray = width * _ratio(total, width.sum(axis=1))[:, None]
    return shares


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)
    return ratio


def _shrinkage(deviation: np.ndarray, *, noise: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Return (nodes,) how much of the deviations is kept (James and Stein 1961), with a margin."""
    free = np.maximum(children - 1, 0)
    squares = np.where(noise > 0, deviation**2 / np.where(noise > 0, noise, 1.0), 0.0).sum(axis=1)
    margin = 1.0 + _SHRINKAGE_MARGIN * np.sqrt(2.0 / np.maximum(free, 1))
    kept = 1.0 - free * margin / np.where(squares > 0, squares, 1.0)
    return np.where((squares > 0) & (free > 0), np.maximum(kept, 0.0), 0.0)


TOP_FANOUT = 4
"""Children of a node above the widest level that was counted: sums of its counts alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """A level's estimates, (nodes,) float64 each, cells first: children add up to their parent.

    ``variance`` is what each node's estimate would have by itself and what lies below it; given
    its parent, a child moves by about that much. ``fanout`` says how many children a node of each
    level has; the last level is one node.
    """

    levels: tuple[np.ndarray, ...]
    variance: tuple[np.ndarray, ...]
    fanout: tuple[int, ...]

    @property
    def total(self) -> float:
        """Return the sum of any level."""
        return float(self.levels[-1].sum())


def reconcile(counts: Sequence[np.ndarray], *, variance: float) -> Tree:
    """Return the least-squares estimate of a tree all of whose nodes were counted with noise.

    Guarantees: the best linear unbiased estimate of every node's count.

    Args:
        counts: the levels, cells first; each (nodes,), summed 16 by 16.
        variance: of the noise of each count.
    """
    means = [np.asarray(counts[0], dtype=np.float64)]
    spreads = [np.full(len(means[0]), variance)]
    for level in counts[1:]:
        below, spread = _sums(means[-1], len(level)), _sums(spreads[-1], len(level))
        precision = 1.0 / variance + 1.0 / spread
        means.append((level / variance + below / spread) / precision)
        spreads.append(1.0 / precision)
    levels = [means[-1]]
    for mean, spread in zip(means[-2::-1], spreads[-2::-1], strict=True):
        parents = levels[0]
        residue = (parents - _sums(mean, len(parents))) / _sums(spread, len(parents))
        levels.insert(0, mean + spread * np.repeat(residue, FANOUT)[: len(mean)])
    fanout = [1, *[FANOUT] * (len(levels) - 1)]
    while len(levels[-1]) > 1:
        nodes = -(-len(levels[-1]) // TOP_FANOUT)
        levels.append(_sums(levels[-1], nodes, fanout=TOP_FANOUT))
        spreads.append(_sums(spreads[-1], nodes, fanout=TOP_FANOUT))
        fanout.append(TOP_FANOUT)
    return Tree(levels=tuple(levels), variance=tuple(spreads), fanout=tuple(fanout))


def _sums(values: np.ndarray, nodes: int, *, fanout: int = FANOUT) -> np.ndarray:
    """Return (nodes,) the sums of so many values each."""
    padded = np.zeros(nodes * fanout)
    padded[: len(values)] = values
    sums: np.ndarray = padded.reshape(nodes, fanout).sum(axis=1)
    return sums
