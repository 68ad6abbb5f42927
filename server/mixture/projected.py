"""Normal laws from sums and second moments of projected rows, as a mixture over codes.

A code stands for a normal score, so that attributes are thresholds of normal variables, as in a
copula. Within a class those have a mean and a covariance, of which sums and second moments tell
what the projection lets through; whatever does not stand out of the noise is left out. The factors
of each class, on a grid of points, are the components of a mixture that keeps every 1-way.

Source: RON-Gauss (Chanyaswad, Liu and Mittal 2019) for a normal law a class; scores, shrinkage and
thresholds are ours, as in :mod:`~silosynth.server.mixture.copula`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from silosynth.common.generator import (
    CROSS_WEIGHT,
    MOST_SCORE,
    SCORE,
    SQUARE_WEIGHT,
    SUM_WEIGHT,
    ProjectionMap,
)
from silosynth.server.mixture.copula import normal_points
from silosynth.server.mixture.pairs import Products
from silosynth.server.mixture.spectrum import factors_of

PROJECTED_COMPONENTS = 2048
"""Points of all classes together, where there are few; a power of two."""

MOST_CELLS = 2**24
MOST_EXPLAINED = 0.96
FEWEST_POINTS = 16
_MOST_FACTORS, _POINTS_PER_FACTOR = 32, 4
_LEAST_TOLD = 0.3
"""Scores of attributes whose codes tell less of a normal variable are not made larger for it."""
_STEPS, _FARTHEST = 28, 8.5
_PASSES, _SAME = 30, 0.003


def normal_scores(shares: np.ndarray) -> tuple[int, ...]:
    """Return a code's score, as the integer that a request states: what a normal variable is there.

    Scores are divided by their variance, so that products of two attributes' scores are on average
    the correlation of the normal variables behind them (to the first order of Mehler's series).

    Args: shares: (codes,) that add up to one, in the codes' order.
    """
    ends = np.clip(np.concatenate(([0.0], shares.cumsum())), 0.0, 1.0)
    heights = np.exp(-(ndtri(np.clip(ends, 1e-12, 1 - 1e-12)) ** 2) / 2) / math.sqrt(2 * math.pi)
    middle = ndtri(np.clip((ends[:-1] + ends[1:]) / 2, 1e-4, 1 - 1e-4))
    there = shares > 1e-6
    scores = np.where(there, -np.diff(heights) / np.where(there, shares, 1.0), middle)
    told = float(shares @ scores**2)
    whole = np.rint(np.clip(SCORE * scores / max(told, _LEAST_TOLD), -MOST_SCORE, MOST_SCORE))
    return tuple(int(s) for s in whole)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """What was released of each class, in scores, over ``size`` directions.

    ``means`` is (classes, size), ``products`` (classes, size, size) mean second moments, ``shares``
    (classes,), ``noise`` (classes,) the deviation of a product of two directions, ``back``
    (attributes, size) what carries directions to attributes, and ``alike`` (size, size) what
    uncorrelated attributes of variance one have for second moments.
    """

    shares: np.ndarray
    means: np.ndarray
    products: np.ndarray
    noise: np.ndarray
    back: np.ndarray
    alike: np.ndarray

    @property
    def size(self) -> int:
        """Return the number of directions."""
        return int(self.means.shape[1])

    @property
    def whole(self) -> bool:
        """Say whether every attribute is a direction by itself."""
        return bool(self.back.shape[0] == self.back.shape[1])


def read_moments(
    released: np.ndarray, *, deviation: float, counts: np.ndarray, projection: ProjectionMap
) -> Moments:
    """Return what a released vector says, with means that the noise hides drawn to nought.

    Args:
        released: (classes * cells,) noised sums. deviation: of the noise in each.
        counts: (classes,) noised rows of each class; one that holds none says nothing.
    """
    size, classes = projection.dimensions, projection.classes
    signs = projection.signs.astype(np.float64)
    length = math.sqrt(float((signs**2).sum(axis=0).mean()))
    unit = projection.scale * SCORE * length
    parts = released.reshape(classes, -1)
    rows = np.maximum(counts, 1.0)
    means = parts[:, :size] / (SUM_WEIGHT * unit * rows[:, None])
    means *= _kept(means, deviation / (SUM_WEIGHT * unit * rows))[:, None]
    return Moments(
        shares=np.maximum(counts, 0.0) / max(float(np.maximum(counts, 0.0).sum()), 1.0),
        means=means,
        products=square_of(parts[:, size:], size) / (unit**2 * rows[:, None, None]),
        noise=deviation / (CROSS_WEIGHT * unit**2 * rows),
        back=np.linalg.pinv(signs.T / length),
        alike=signs.T @ signs / length**2,
    )


def fit_projected(
    moments: Moments, alone: tuple[np.ndarray, ...], *, label: int | None
) -> Products:
    """Fit a normal law to each class, and give the attributes their codes by their 1-ways.

    Args:
        alone: the shares of each attribute's codes, without the label's.
        label: where the label's codes go among the attributes, if there is one.
    """
    means, loadings = _laws(moments)
    classes = len(means)
    points = _points(classes, codes=sum(map(len, alone)) + classes)
    rank = min(max(b.shape[1] for b in loadings), points // _POINTS_PER_FACTOR)
    grid = normal_points(points, rank)
    points = len(grid)
    weights = np.repeat(moments.shares, points) / points
    places = np.concatenate(
        [m + grid[:, : b.shape[1]] @ b[:, :rank].T for m, b in zip(means, loadings, strict=True)]
    )
    places -= weights @ places
    explained = weights @ places**2
    places *= np.sqrt(np.minimum(1.0, MOST_EXPLAINED / np.maximum(explained, 1e-12)))
    rest = np.sqrt(1.0 - weights @ places**2)
    codes = [
        _between(shares, weights=weights, places=places[:, i], rest=float(rest[i]))
        for i, shares in enumerate(alone)
    ]
    if label is not None:
        codes.insert(label, np.eye(classes).repeat(points, axis=0))
    return Products(weights=weights, codes=np.hstack(codes))


def _laws(moments: Moments) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return (classes, attributes) means, and of each class (attributes, rank) loadings.

    Loadings come with the largest first.
    """
    means = moments.means @ moments.back.T
    means -= moments.shares @ means
    within = moments.products - moments.means[:, :, None] * moments.means[:, None, :]
    pooled = np.einsum("c,cij->ij", moments.shares, within)
    noise = float(np.sqrt((moments.shares**2) @ (moments.noise**2)))
    between = moments.shares @ means**2
    common = _common(pooled, noise=noise, between=between, moments=moments)
    loadings = []
    for own, deviation in zip(within, moments.noise, strict=True):
        apart = _stands_out(own - pooled, noise=math.hypot(float(deviation), noise))
        loadings.append(moments.back @ leading(common @ common.T + apart))
    return means, loadings


def _common(
    pooled: np.ndarray, *, noise: float, between: np.ndarray, moments: Moments
) -> np.ndarray:
    """Return (size, rank) the loadings of what all classes have in common.

    Where attributes are directions, as principal axis factors; else beside a variance that is the
    same in all directions, which is what the loadings leave of one.
    """
    if moments.whole:
        known = ~np.eye(moments.size, dtype=bool)
        most = np.maximum(MOST_EXPLAINED - between, 0.0) / noise
        return factors_of(pooled / noise, known=known, most=most) * math.sqrt(noise)
    alone = left = max(1.0 - float(between.mean()), 1.0 - MOST_EXPLAINED)
    loadings = np.zeros((moments.size, 0))
    for _ in range(_PASSES):
        loadings = leading(_stands_out(pooled - alone * moments.alike, noise=noise))
        explained = float(((moments.back @ loadings) ** 2).sum(axis=1).mean())
        change = max(left - explained, 1.0 - MOST_EXPLAINED) - alone
        if abs(change) < _SAME:
            break
        alone += change / 2
    return loadings


def _stands_out(matrix: np.ndarray, *, noise: float) -> np.ndarray:
    """Return what is left of a symmetric matrix beyond the edge of the eigenvalues of its noise."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    edge = 2.0 * noise * math.sqrt(len(matrix))
    left = np.sign(values) * np.sqrt(np.maximum(values**2 - edge**2, 0.0))
    kept: np.ndarray = (vectors * left) @ vectors.T
    return kept


def leading(matrix: np.ndarray) -> np.ndarray:
    """Return (size, rank) what times itself is the positive part, its largest directions first."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-values)[:_MOST_FACTORS]
    order = order[values[order] > 1e-9]
    root: np.ndarray = vectors[:, order] * np.sqrt(values[order])
    return root


def _kept(means: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return (classes,) which part of each mean is not noise (James and Stein 1961)."""
    squared = (means**2).sum(axis=1)
    kept: np.ndarray = np.maximum(
        0.0, 1.0 - means.shape[1] * noise**2 / np.maximum(squared, 1e-300)
    )
    return kept


def square_of(upper: np.ndarray, size: int) -> np.ndarray:
    """Return (classes, size, size) second moments of weighed squares and products."""
    left, right = np.triu_indices(size)
    whole = np.zeros((len(upper), size, size))
    whole[:, left, right] = upper / np.where(left == right, SQUARE_WEIGHT, CROSS_WEIGHT)
    return whole + np.triu(whole, 1).transpose(0, 2, 1)


def _points(classes: int, *, codes: int) -> int:
    """Return how many points each class's factors get: a power of two."""
    most = min(PROJECTED_COMPONENTS // classes, MOST_CELLS // (classes * codes))
    return 1 << (max(most, FEWEST_POINTS).bit_length() - 1)


def _between(
    shares: np.ndarray, *, weights: np.ndarray, places: np.ndarray, rest: float
) -> np.ndarray:
    """Return (components, codes) what lies between thresholds, which keep the 1-way."""
    rising = shares.cumsum()[:-1]
    low, high = np.full(len(rising), -_FARTHEST), np.full(len(rising), _FARTHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = weights @ ndtr((middle - places[:, None]) / rest) < rising
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    under = ndtr((np.maximum.accumulate((low + high) / 2) - places[:, None]) / rest)
    edges = (np.zeros((len(places), 1)), under, np.ones((len(places), 1)))
    parts: np.ndarray = np.diff(np.concatenate(edges, axis=1), axis=1)
    return parts
