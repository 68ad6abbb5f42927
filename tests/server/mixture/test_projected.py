"""Normal laws from moments: what is known is found again, and 1-ways are kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from silosynth.common.domain import Domain
from silosynth.common.generator import (
    ProjectionMap,
    ProjectionSettings,
    projection_map,
    sum_projections,
)
from silosynth.server.mixture import Products, fit_projected, normal_scores, read_moments

ROWS, CODES = 40_000, 8


def made_codes(width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, width) codes, (rows,) classes, and the correlations behind the codes."""
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 2, ROWS)
    loadings = rng.choice([-0.6, 0.6], (width, 1))
    centre = np.where(np.arange(width) < 2, 0.5, 0.0)
    values = rng.normal(size=(ROWS, 1)) @ loadings.T + (2 * classes[:, None] - 1) * centre
    values += rng.normal(size=(ROWS, width)) * np.sqrt(1 - 0.36 - centre**2)
    edges = np.quantile(values, np.arange(1, CODES) / CODES, axis=0)
    codes = np.stack([np.searchsorted(e, v) for e, v in zip(edges.T, values.T, strict=True)], 1)
    both = loadings @ loadings.T + np.outer(centre, centre)
    return codes, classes, both


def fitted(
    codes: np.ndarray, classes: np.ndarray, *, dimensions: int, counts: tuple[int, ...] = ()
) -> tuple[Products, tuple[np.ndarray, ...]]:
    width = codes.shape[1]
    alone = tuple(np.bincount(c, minlength=CODES) / len(codes) for c in codes.T)
    count = max(len(counts), 2)
    names = tuple(f"x{i}" for i in range(width))
    domain = Domain(attributes=("kind", *names), shape=(count, *(CODES,) * width))
    scores = {n: normal_scores(shares) for n, shares in zip(names, alone, strict=True)}
    asked = ProjectionSettings(dimensions=dimensions, label="kind")
    projection: ProjectionMap = projection_map(asked, domain=domain, scores=scores)
    released = sum_projections(projection, [classes, *codes.T])
    held = np.bincount(classes, minlength=count) if not counts else np.array(counts)
    moments = read_moments(
        released.astype(float), deviation=1e5, counts=held, projection=projection
    )
    return fit_projected(moments, alone, label=0), alone


def correlation(products: Products, left: int, right: int, *, classes: int = 2) -> float:
    """Return the correlation of the codes of two attributes, which are all equally likely."""
    places = [classes + CODES * i for i in (left, right)]
    tables = [products.codes[:, p : p + CODES] for p in places]
    joint = (tables[0] * products.weights[:, None]).T @ tables[1]
    at = np.arange(CODES) - (CODES - 1) / 2
    return float(at @ joint @ at / (at**2).mean())


def test_a_law_of_two_classes_and_a_factor_is_found_again() -> None:
    codes, classes, both = made_codes(6)
    products, alone = fitted(codes, classes, dimensions=6)
    label = products.codes[:, :2].T @ products.weights
    assert label == pytest.approx(np.bincount(classes) / ROWS, abs=1e-6)
    for i, shares in enumerate(alone):
        part = products.codes[:, 2 + CODES * i : 2 + CODES * (i + 1)]
        assert products.weights @ part == pytest.approx(shares, abs=1e-5)
    real = np.corrcoef(codes.T)
    for left, right in ((0, 1), (0, 2), (3, 5)):
        assert correlation(products, left, right) == pytest.approx(real[left, right], abs=0.06)
    assert abs(both[0, 2]) > 0.3
    first = products.codes[:, 2 : 2 + CODES]
    apart = [
        first.T @ (products.weights * products.codes[:, c]) @ np.arange(CODES) / label[c]
        for c in (0, 1)
    ]
    true = [codes[classes == c, 0].mean() for c in (0, 1)]
    assert apart == pytest.approx(true, abs=0.15)


def test_fewer_dimensions_than_columns_still_tell_classes_apart() -> None:
    codes, classes, _ = made_codes(24)
    products, _ = fitted(codes, classes, dimensions=12)
    label = products.codes[:, :2]
    first = products.codes[:, 2 : 2 + CODES] @ np.arange(CODES)
    means = [(first * products.weights * label[:, c]).sum() * 2 for c in (0, 1)]
    assert means[1] - means[0] > 0.6


def test_a_class_that_holds_no_row_draws_none_and_breaks_nothing() -> None:
    codes, classes, _ = made_codes(6)
    half = int((classes == 0).sum())
    products, _ = fitted(codes, classes, dimensions=6, counts=(half, ROWS - half, 0))
    assert np.isfinite(products.codes).all()
    assert products.codes[:, :3].T @ products.weights == pytest.approx(
        [half / ROWS, 1 - half / ROWS, 0.0]
    )


def test_noise_alone_says_nothing_of_what_goes_together() -> None:
    codes, classes, _ = made_codes(6)
    rng = np.random.default_rng(4)
    apart = np.stack([rng.permutation(c) for c in codes.T], axis=1)
    products, _ = fitted(apart, rng.permutation(classes), dimensions=6)
    for left, right in ((0, 1), (2, 5)):
        assert abs(correlation(products, left, right)) < 0.03


def test_scores_are_means_of_a_normal_variable_over_their_variance() -> None:
    edges = np.linspace(-2, 2, 15)
    ends = np.concatenate(([0.0], ndtr(edges), [1.0]))
    shares = np.diff(ends)
    scores = np.array(normal_scores(shares)) / 256
    drawn = np.random.default_rng(1).normal(size=200_000)
    codes = np.searchsorted(edges, drawn)
    means = np.array([drawn[codes == c].mean() for c in range(len(shares))])
    assert scores == pytest.approx(means / (shares @ means**2), abs=0.03)
    assert max(map(abs, normal_scores(np.array([1 - 1e-9, 1e-9])))) <= 2048
