"""Noised histograms of one column at several widths, made to agree: weighted least squares.

Hay, Rastogi, Miklau and Suciu 2010, section 4: precision-weighted means from the cells up, the
residue of each node shared out among its children from the top down. Post-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.values import FANOUT

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
