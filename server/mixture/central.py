"""Normal laws around central images, as a mixture over the codes of pixels.

Within a class pictures are its central image, moved along the directions in which differences
stand out of the noise, with what is left of each pixel's variance around that. Own directions of a
class and those that all classes have in common are weighed by how much of what sets the class
apart could be noise. Points of each law are the components of a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from silosynth.common.generator import CROSS_WEIGHT, SCORE, SUM_WEIGHT, CentralMap, CentralStep
from silosynth.server.mixture.copula import normal_points
from silosynth.server.mixture.pairs import Products
from silosynth.server.mixture.projected import FEWEST_POINTS, leading, square_of

CENTRAL_COMPONENTS = 4096
MOST_CELLS = 2**24
_POINTS_PER_FACTOR = 4

RADIUS = 0.6
"""Of the longest that differences would be, were all pixels black or white."""

_EDGE = 0.75
"""Of the edge of the noise's spectrum: what stands out of so much is kept."""

_WIDER = 1.5
"""What variances are multiplied by, which scaling long differences down has made smaller."""

_MOST_COMMON = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laws:
    """Of each class its share, mean picture, loadings and what is left of each pixel's variance.

    ``means`` is (classes, pixels) from -1 to 1, ``loadings`` one (pixels, rank) a class, ``left``
    (classes, pixels).
    """

    shares: np.ndarray
    means: np.ndarray
    loadings: Sequence[np.ndarray]
    left: np.ndarray


def read_centres(released: np.ndarray, *, counts: np.ndarray, central: CentralMap) -> np.ndarray:
    """Return (classes, pixels) mean pictures from -1 to 1; grey where a class holds no row.

    Args: released: (classes * pixels,) noised sums. counts: (classes,) noised rows of each class.
    """
    sums = released.reshape(central.classes, -1) / (central.scale * SCORE)
    means: np.ndarray = np.clip(sums / np.maximum(counts, 1.0)[:, None], -1.0, 1.0)
    means[counts < 1.0] = 0.0
    return means


def next_step(means: np.ndarray, *, counts: np.ndarray, central: CentralMap) -> CentralStep:
    """Return around what the silos are asked to look, and how far, by what they told of pictures.

    Pixels of a mean between black and white differ by at most as much as a coin of two colours; a
    part of that is the radius.
    """
    shares = counts / max(float(counts.sum()), 1.0)
    longest = math.sqrt(float(shares @ (1.0 - means**2).sum(axis=1)))
    side = math.sqrt(float(central.blocks.sum()) / central.blocks.shape[1])
    radius = max(round(RADIUS * longest * side * SCORE), 1)
    whole = np.rint(means * SCORE).astype(np.int64)
    return CentralStep(centres=tuple(map(tuple, whole.tolist())), radius=radius)


def fit_laws(
    released: np.ndarray,
    *,
    deviation: float,
    counts: np.ndarray,
    central: CentralMap,
    step: CentralStep,
) -> Laws:
    """Return the normal law of each class, of what was released around its central image.

    Args: released: (classes * cells,) noised sums. deviation: of the noise in each.
    """
    size, rows = central.blocks.shape[1], np.maximum(counts, 1.0)
    side = np.sqrt(central.blocks.sum(axis=0).astype(np.float64))
    unit = central.around_scale(step) * SCORE
    parts = released.reshape(central.classes, -1)
    moved = parts[:, :size] / (SUM_WEIGHT * unit * rows[:, None] * side)
    products = square_of(parts[:, size:], size) / (unit**2 * rows[:, None, None])
    products /= side[:, None] * side
    noise = deviation / (CROSS_WEIGHT * unit**2 * rows * float((side**2).mean()))
    within = products - moved[:, :, None] * moved[:, None, :]
    shares = np.maximum(counts, 0.0) / max(float(np.maximum(counts, 0.0).sum()), 1.0)
    back = central.blocks / side
    centres = np.array(step.centres) / SCORE
    found = _blended(within, shares=shares, noise=noise)
    pooled = np.einsum("c,cij->ij", shares, within)
    spread = (np.diagonal(within, axis1=1, axis2=2) + np.diag(pooled)) / 2
    left = np.maximum(spread - np.diagonal(found, axis1=1, axis2=2), 0.0)
    return Laws(
        shares=shares,
        means=np.clip(centres + moved @ back.T, -1.0, 1.0),
        loadings=[back @ leading(_WIDER * law) for law in found],
        left=_WIDER * left @ (back**2).T,
    )


def fit_central(laws: Laws, others: Sequence[np.ndarray], *, central: CentralMap) -> Products:
    """Return the mixture of the laws' points over the codes of all attributes.

    Args: others: the shares of each attribute's codes that is no pixel and no label, in order.
    """
    classes, shape = central.classes, central.domain.shape
    most = min(CENTRAL_COMPONENTS // classes, MOST_CELLS // (classes * sum(shape)))
    points = 1 << (max(most, FEWEST_POINTS).bit_length() - 1)
    rank = min(max(b.shape[1] for b in laws.loadings), points // _POINTS_PER_FACTOR)
    grid = normal_points(points, rank)
    points = len(grid)
    places = np.concatenate(
        [
            mean + grid[:, : loading.shape[1]] @ loading[:, :rank].T
            for mean, loading in zip(laws.means, laws.loadings, strict=True)
        ]
    )
    around = np.repeat(laws.left, points, axis=0)
    place_of = {column: i for i, column in enumerate(central.pixels)}
    rest = iter(others)
    codes = []
    for column, levels in enumerate(shape):
        if column == central.label:
            codes.append(np.eye(classes).repeat(points, axis=0))
        elif column in place_of:
            pixel = place_of[column]
            codes.append(_levels(places[:, pixel], around[:, pixel], levels=levels))
        else:
            codes.append(np.tile(next(rest), (classes * points, 1)))
    return Products(weights=np.repeat(laws.shares, points) / points, codes=np.hstack(codes))


def _blended(within: np.ndarray, *, shares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return (classes, size, size) covariances of what stands out, own and common ones blended."""
    pooled = np.einsum("c,cij->ij", shares, within)
    common = _stands_out(pooled, noise=math.sqrt(float((shares**2) @ (noise**2))))
    size = len(pooled)
    found = []
    for own, deviation in zip(within, noise, strict=True):
        apart = float(((own - pooled) ** 2).sum())
        part = _MOST_COMMON * min(1.0, float(deviation) ** 2 * size**2 / max(apart, 1e-300))
        found.append((1 - part) * _stands_out(own, noise=float(deviation)) + part * common)
    return np.stack(found)


def _stands_out(matrix: np.ndarray, *, noise: float) -> np.ndarray:
    """Return the positive part of a symmetric matrix beyond the edge of its noise's spectrum."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    edge = 2.0 * _EDGE * noise * math.sqrt(len(matrix))
    kept = np.where(values > edge, np.sqrt(np.maximum(values**2 - edge**2, 0.0)), 0.0)
    clean: np.ndarray = (vectors * kept) @ vectors.T
    return clean


def _levels(places: np.ndarray, variance: np.ndarray, *, levels: int) -> np.ndarray:
    """Return (components, levels) what lies nearest each level; the outer ones take what is beyond.

    A pixel varies by a quarter of a level at least, as what is written as one does.
    """
    if levels == 1:
        return np.ones((len(places), 1))
    step = 2.0 / (levels - 1)
    deviation = np.sqrt(variance + (step / 4) ** 2)
    edges = -1.0 + step * (np.arange(levels - 1) + 0.5)
    under = ndtr((edges - places[:, None]) / deviation[:, None])
    ends = (np.zeros((len(places), 1)), under, np.ones((len(places), 1)))
    parts: np.ndarray = np.diff(np.concatenate(ends, axis=1), axis=1)
    return parts
