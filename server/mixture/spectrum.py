"""Take noise off all pairs at once: keep what stands out of the spectrum that noise alone has.

The covariance of a mixture of k kinds has rank k - 1 at most, while the noise of all pairs spreads
over all directions alike. In directions that keep the sums of blocks, scaled to noise of variance
one, noise alone has no eigenvalue above twice the square root of the dimension; one above is
shrunk to what is expected behind it. An attribute's own block, and a pair that nobody holds, are
filled in from the rest. There is nothing to tune, and it costs no privacy.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from silosynth.server.mixture.pairs import NoisedPairs

MOST_RANK = 128
_PASSES = 30
_SAME = 0.01


def denoise(pairs: NoisedPairs) -> np.ndarray:
    """Return (codes, codes) the covariance without most of its noise, own blocks left empty.

    Source: optimal shrinkage of eigenvalues, Gavish and Donoho 2017; own blocks as in principal
    axis factoring.
    """
    contrasts = _contrasts(pairs.sizes)
    owner = np.repeat(np.arange(len(pairs.sizes)), [size - 1 for size in pairs.sizes])
    known = np.isfinite(pairs.deviation)[np.ix_(owner, owner)]
    if not known.any():
        return np.zeros_like(pairs.covariance)
    each = noise_of_each(pairs)[owner]
    scale = np.outer(each, each)
    seen = np.where(known, contrasts.T @ pairs.covariance @ contrasts / scale, 0.0)
    factors = factors_of(seen, known=known)
    found = np.where(known, factors @ factors.T * scale, 0.0)
    clean: np.ndarray = contrasts @ found @ contrasts.T
    return clean


def noise_of_each(pairs: NoisedPairs) -> np.ndarray:
    """Return (attributes,) numbers whose products are nearly the noise of the pairs.

    Dividing by such products leaves what has a low rank as it is, which any other scale would not.
    """
    known = np.isfinite(pairs.deviation)
    logs = np.log(np.where(known, pairs.deviation, 1.0))
    middle = float(logs[known].mean())
    pairs_of_each = np.maximum(known.sum(axis=1), 1)
    apart = np.where(known, logs - middle, 0.0).sum(axis=1) / pairs_of_each
    each: np.ndarray = np.exp(middle / 2 + apart)
    return each


def factors_of(
    seen: np.ndarray, *, known: np.ndarray, most: np.ndarray | None = None
) -> np.ndarray:
    """Return (rows, rank) what times itself lies behind a symmetric matrix with noise of one.

    Args:
        known: which entries there are; the others are filled in, pass by pass.
        most: (rows,) no entry of the diagonal is filled in with more.
    """
    filled = np.where(known, seen, 0.0)
    factors = factor(filled)
    for _ in range(_PASSES):
        found = factors @ factors.T
        if most is not None:
            np.fill_diagonal(found, np.minimum(found.diagonal(), most))
        change = np.abs(found - filled)[~known].max(initial=0.0)
        if change <= _SAME * max(float(np.abs(found).max(initial=0.0)), 1.0):
            break
        filled = np.where(known, seen, found)
        factors = factor(filled)
    return factors


def factor(matrix: np.ndarray) -> np.ndarray:
    """Return (rows, rank) what times itself is left of a matrix above the edge of its noise."""
    edge = 2.0 * math.sqrt(len(matrix))
    values, vectors = scipy.linalg.eigh(matrix, subset_by_value=(edge, np.inf))
    values, vectors = values[-MOST_RANK:], vectors[:, -MOST_RANK:]
    shrunk = np.sqrt(np.maximum(values**2 - edge**2, 0.0))
    factors: np.ndarray = vectors * np.sqrt(shrunk)
    return factors


def _contrasts(sizes: tuple[int, ...]) -> np.ndarray:
    """Return (codes, codes - attributes) orthonormal columns that add up to zero in each block."""
    blocks = [scipy.linalg.helmert(n).T if n > 1 else np.zeros((1, 0)) for n in sizes]
    return np.asarray(scipy.linalg.block_diag(*blocks))
