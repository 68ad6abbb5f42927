"""What is nearest, by whole numbers alone: the cosine of one vector with each of some.

Numbers stay below 2^53, so that no order of adding up changes a bit, on any machine.
"""

from __future__ import annotations

import math

import numpy as np

UNIT_BITS = 20
"""The vectors that others are held against have the length 2^20."""


def to_units(vectors: np.ndarray) -> np.ndarray:
    """Return (vectors, numbers) float64 whole numbers: integers scaled to one length.

    Args: vectors: (vectors, numbers) int64, of squares that add up to less than 2^62.
    """
    roots = [max(math.isqrt(int(s)), 1) for s in (vectors**2).sum(axis=1)]
    scaled: np.ndarray = (vectors << UNIT_BITS) // np.array(roots)[:, None]
    return scaled.astype(np.float64)


def nearest_to(vectors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return (rows,) int64: which of some units each is nearest to, -1 where to none.

    Guarantees: what a row is nearest to depends on that row and the units alone, and is the same on
    every machine while its length is below 2^32. Of equals it is the first.

    Args: vectors: (rows, numbers) int64. units: (units, numbers), see :func:`to_units`.
    """
    shared = vectors.astype(np.float64) @ units.T
    best = shared.argmax(axis=1)
    some = np.take_along_axis(shared, best[:, None], axis=1)[:, 0] > 0
    found: np.ndarray = np.where(some, best, -1)
    return found


def alike(units: np.ndarray) -> np.ndarray:
    """Return (units, units) float64 in [0, 1]: the cosine of each two, nought where it is below."""
    scaled = units / 2.0**UNIT_BITS
    cosines: np.ndarray = np.clip(scaled @ scaled.T, 0.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines
