"""Mean total variation distance over fixed sets of marginals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

THREE_WAY_MARGINALS = 200
Columns = tuple[int, ...]


def marginal_sets(attributes: int) -> tuple[tuple[Columns, ...], ...]:
    """Return all 1-way, all 2-way and 200 fixed 3-way marginals, as columns."""
    triples = list(combinations(range(attributes), 3))
    count = min(THREE_WAY_MARGINALS, len(triples))
    chosen = np.random.default_rng(0).choice(len(triples), size=count, replace=False)
    return (
        tuple((i,) for i in range(attributes)),
        tuple(combinations(range(attributes), 2)),
        tuple(triples[i] for i in sorted(chosen)),
    )


def mean_distances(real: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the mean 1-way, 2-way and 3-way distance of two coded tables: (3,) float64."""
    return np.array(
        [
            np.mean([_total_variation(real, other, shape, columns) for columns in marginals])
            for marginals in marginal_sets(len(shape))
        ]
    )


def _total_variation(
    real: np.ndarray, other: np.ndarray, shape: Sequence[int], columns: Columns
) -> float:
    """Return half the L1 distance of the shares of all cells."""
    sizes = [shape[c] for c in columns]
    shares = []
    for codes in (real, other):
        cells = np.ravel_multi_index([codes[:, c].astype(np.int64) for c in columns], sizes)
        shares.append(np.bincount(cells, minlength=int(np.prod(sizes))) / len(codes))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
