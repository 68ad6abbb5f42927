"""A Gaussian copula from pairs of yes and no, as a mixture that can be conditioned exactly.

Every attribute is cut in two near its middle. Two cuts say one number, which with the two shares
gives the correlation of two normal variables (tetrachoric). Of all correlations a factor model is
kept, of the rank that stands out of the noise; its factors, on a grid of points, are the components
of a mixture, in which an attribute's codes are what lies between its thresholds.

Source: Wang, Feldman and Reiter 2026 (arXiv 2601.03497) for the cuts; the factors are ours.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from silosynth.server.mixture.pairs import NoisedPairs, Products
from silosynth.server.mixture.spectrum import factors_of, noise_of_each

COPULA_COMPONENTS = 2048
"""Points of the factors; a power of two."""

MOST_CORRELATION = 0.995
MOST_EXPLAINED = 0.96
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
_BISECTIONS = 26
_SHARES = (1e-4, 1 - 1e-4)
_NEWTON = 4
_PAIRS_AT_ONCE = 20_000


def fit_copula(
    pairs: NoisedPairs, alone: tuple[np.ndarray, ...], *, components: int = COPULA_COMPONENTS
) -> Products:
    """Fit a copula to pairs, with the 1-ways ``alone``, which may be over finer codes.

    Args: alone: the shares of each attribute's codes, in the order in which they rise.
    """
    loadings = fit_loadings(pairs)
    points = normal_points(components, loadings.shape[1])
    means = points @ loadings.T
    rest = np.sqrt(1.0 - (loadings**2).sum(axis=1))
    codes = [
        _between(shares, mean=means[:, i], rest=float(rest[i])) for i, shares in enumerate(alone)
    ]
    return Products(weights=np.full(len(points), 1.0 / len(points)), codes=np.hstack(codes))


def fit_loadings(pairs: NoisedPairs) -> np.ndarray:
    """Return (attributes, rank) the loadings of the factors that stand out of the noise."""
    cuts, below = _cut(pairs)
    upper = np.triu_indices(len(below), 1)
    excess = (cuts.T @ pairs.covariance @ cuts)[upper]
    thresholds = ndtri(below)
    found = np.zeros((len(below), len(below)))
    found[upper] = correlation(thresholds[upper[0]], thresholds[upper[1]], excess)
    # By what a correlation moves the excess, and how large the noise of that is.
    density = np.exp(-(thresholds**2) / 2) / np.sqrt(2 * np.pi)
    length = np.sqrt((cuts**2).sum(axis=0) - cuts.sum(axis=0) ** 2 / np.asarray(pairs.sizes))
    known = np.isfinite(pairs.deviation)
    if not known.any():
        return np.zeros((len(below), 0))
    scale = np.where(length > 0, density / np.maximum(length, 1e-9) / noise_of_each(pairs), 1.0)
    seen = np.where(known, (found + found.T) * np.outer(scale, scale), 0.0)
    factors = factors_of(seen, known=known, most=MOST_EXPLAINED * scale**2)
    loadings = factors / scale[:, None]
    explained = (loadings**2).sum(axis=1)
    shrink = np.sqrt(np.minimum(1.0, MOST_EXPLAINED / np.maximum(explained, 1e-12)))
    bounded: np.ndarray = loadings * shrink[:, None]
    return bounded


def correlation(left: np.ndarray, right: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Return (pairs,) the correlation of two normal variables that share so much below thresholds.

    Args: excess: P(both below) less the product of P(each below).
    """
    parts = range(0, len(excess), _PAIRS_AT_ONCE)
    found = [_bisect(*(x[i : i + _PAIRS_AT_ONCE] for x in (left, right, excess))) for i in parts]
    return np.concatenate(found) if found else np.zeros(0)


def _bisect(left: np.ndarray, right: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Return where the excess, which rises with the correlation, is what was seen."""
    low = np.full(excess.shape, -MOST_CORRELATION)
    high = -low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = both_below(left, right, middle) > excess
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    half: np.ndarray = (low + high) / 2
    return half


def both_below(left: np.ndarray, right: np.ndarray, correlated: np.ndarray) -> np.ndarray:
    """Return (pairs,) by how much more than by chance two normal variables are below thresholds.

    Source: the integral of the density over the correlation's arc sine (Drezner 1990).
    """
    whole = np.arcsin(correlated)
    angle = whole[:, None] * (_NODES + 1) / 2
    sine, left, right = np.sin(angle), left[:, None], right[:, None]
    distance = left**2 + right**2 - 2 * sine * left * right
    density = np.exp(-distance / (2 * np.cos(angle) ** 2))
    excess: np.ndarray = (density @ _NODE_WEIGHTS) * whole / (4 * np.pi)
    return excess


def _cut(pairs: NoisedPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes, attributes) which codes are below each cut, and (attributes,) their share.

    An attribute of one code has none below; its share says nothing.
    """
    cuts = np.zeros((len(pairs.shares), len(pairs.sizes)))
    below = np.full(len(pairs.sizes), 0.5)
    for i, (start, size) in enumerate(zip(pairs.starts, pairs.sizes, strict=True)):
        if size > 1:
            rising = pairs.shares[start : start + size].cumsum()[:-1]
            place = int(np.argmin(np.abs(rising - 0.5)))
            cuts[start : start + place + 1, i] = 1.0
            below[i] = np.clip(rising[place], *_SHARES)
    return cuts, below


def normal_points(count: int, rank: int) -> np.ndarray:
    """Return (count, rank) normal points whose mean is nought and whose covariance is one.

    A single point where there is no factor.
    """
    if rank == 0:
        return np.zeros((1, 0))
    from scipy.stats import qmc  # a second to import, and every command knows of copulas

    uniform = qmc.Sobol(rank, seed=np.random.default_rng(1)).random(count)
    points = ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))
    points -= points.mean(axis=0)
    root = np.linalg.cholesky(points.T @ points / count)
    white: np.ndarray = np.linalg.solve(root, points.T).T
    return white


def _between(shares: np.ndarray, *, mean: np.ndarray, rest: float) -> np.ndarray:
    """Return (components, codes) what lies between thresholds, which keep the 1-way on the grid."""
    rising = shares.cumsum()[:-1]
    bounds = ndtri(np.clip(rising, 1e-12, 1 - 1e-12))
    for _ in range(_NEWTON):
        height = (bounds - mean[:, None]) / rest
        slope = np.exp(-(height**2) / 2).mean(axis=0) / (np.sqrt(2 * np.pi) * rest)
        off = ndtr(height).mean(axis=0) - rising
        bounds = bounds - np.clip(off / np.maximum(slope, 1e-12), -0.5, 0.5)
    below = np.maximum.accumulate(ndtr((bounds - mean[:, None]) / rest), axis=1)
    edges = (np.zeros((len(mean), 1)), below, np.ones((len(mean), 1)))
    parts: np.ndarray = np.diff(np.concatenate(edges, axis=1), axis=1)
    return parts
