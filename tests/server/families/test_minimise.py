"""The least of a convex function within bounds is what SciPy finds, and no point is beyond them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import fmin_l_bfgs_b

from silosynth.server.families.minimise import minimise


def convex(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and weights of a convex sum of exponentials."""
    random = np.random.default_rng(seed)
    return random.normal(size=(200, 30)), random.random(200)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bound", [0.05, 10.0])
def test_it_is_what_scipy_finds(seed: int, bound: float) -> None:
    rows, weights = convex(seed)
    pull = rows.T @ weights * 0.3 + np.random.default_rng(seed).normal(size=30)

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        each = weights * np.exp(rows @ point)
        return float(each.sum() - pull @ point + point @ point), rows.T @ each - pull + 2 * point

    most, start = np.full(30, bound), np.full(30, 0.2)
    found = minimise(loss, start=start, most=most, iterations=200)
    best, value, _ = fmin_l_bfgs_b(loss, np.clip(start, -most, most), bounds=[(-bound, bound)] * 30)
    assert (np.abs(found) <= bound).all()
    assert loss(found)[0] <= value + 1e-4 * max(abs(value), 1)
    assert np.abs(found - best).max() < 0.02


def test_a_start_beyond_the_bounds_is_brought_inside() -> None:
    found = minimise(
        lambda x: (float(x @ x), 2 * x), start=np.full(3, 9.0), most=np.ones(3), iterations=0
    )
    assert found.tolist() == [1.0, 1.0, 1.0]


def test_a_value_that_no_step_lowers_ends_it() -> None:
    """What rounding decides must not run for ever, nor go uphill."""
    asked = []

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(point)
        return float(len(asked)), np.ones(2)

    found = minimise(loss, start=np.zeros(2), most=np.ones(2), iterations=50)
    assert found.tolist() == [0.0, 0.0]
    assert len(asked) < 20
