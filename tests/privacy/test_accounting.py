"""Every stated epsilon is at least the true one, and not by much."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from dp_accounting import get_epsilon_gaussian, get_sigma_gaussian
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.accounting import (
    RHO_UNIT,
    GaussianCost,
    cks_epsilon,
    pld_epsilon,
    rho_for,
    rho_units,
    total_rho,
)
from silosynth.common.accounting import epsilon as privacy
from silosynth.common.accounting.noise import gaussian_rho
from silosynth.common.errors import InvalidPlan

Law = tuple[np.ndarray, np.ndarray]


def cost(sigma2: int | Fraction, count: int = 1, sensitivity: int = 1) -> GaussianCost:
    return GaussianCost(sigma2=Fraction(sigma2), count=count, sensitivity=sensitivity)


# The oracle: the exact privacy loss of discrete Gaussians, on its own lattice


def cell_law(sigma2: Fraction, *, shift: int, count: int = 1) -> Law:
    """Return losses and chances when ``count`` cells each move by ``shift``."""
    reach = math.ceil(13 * float(sigma2) ** 0.5) + 2
    support = np.arange(-reach, reach + 1)
    single = np.exp(-(support.astype(float) ** 2) / (2 * float(sigma2)))
    single /= single.sum()
    chances, sums = single, support
    for _ in range(count - 1):
        chances = np.convolve(chances, single)
        sums = np.arange(sums[0] - reach, sums[-1] + reach + 1)
    losses = (count * shift**2 - 2 * shift * sums.astype(float)) / (2 * float(sigma2))
    return losses, chances


def both(first: Law, second: Law) -> Law:
    """Return the law of the sum of two independent losses."""
    losses = np.add.outer(first[0], second[0]).ravel()
    return losses, np.multiply.outer(first[1], second[1]).ravel()


def true_epsilon(law: Law, delta: float) -> float:
    """Return the smallest epsilon whose hockey-stick divergence is at most ``delta``."""
    losses, chances = law

    def divergence(epsilon: float) -> float:
        above = losses > epsilon
        return float(np.sum(chances[above] * -np.expm1(epsilon - losses[above])))

    low, high = 0.0, float(losses.max())
    if divergence(0.0) <= delta:
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(middle) > delta else (low, middle)
    return high


@settings(deadline=None, max_examples=30)
@given(
    sigma2=st.fractions(min_value=Fraction(1, 4), max_value=2**16, max_denominator=64),
    count=st.integers(1, 12),
    delta=st.sampled_from([1e-3, 1e-6, 1e-9]),
)
def test_pld_epsilon_is_the_true_one_rounded_up(sigma2: Fraction, count: int, delta: float) -> None:
    costs = [cost(sigma2, count)]
    truth = true_epsilon(cell_law(sigma2, shift=1, count=count), delta)
    stated = pld_epsilon(costs, delta)
    assert truth <= stated <= min(truth * 1.005 + 1e-4, cks_epsilon(total_rho(costs), delta))


@pytest.mark.parametrize("delta", [1e-4, 1e-6, 1e-9])
def test_different_scales_compose(delta: float) -> None:
    law = both(cell_law(Fraction(9), shift=1, count=4), cell_law(Fraction(25, 2), shift=1, count=3))
    truth = true_epsilon(law, delta)
    assert truth <= pld_epsilon([cost(9, 4), cost(Fraction(25, 2), 3)], delta) <= truth + 1e-3


def test_a_scale_on_the_grid_composes_with_a_scale_beyond_it() -> None:
    law = both(cell_law(Fraction(400), shift=1, count=2), cell_law(Fraction(20_000), shift=1))
    truth = true_epsilon(law, 1e-6)
    assert truth <= pld_epsilon([cost(400, 2), cost(20_000)], 1e-6) <= truth + 1e-3


@pytest.mark.parametrize("sigma2", [Fraction(5, 2), Fraction(4), Fraction(9), Fraction(60)])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_wherever_several_rows_of_a_person_fall_they_are_covered(
    sigma2: Fraction, delta: float
) -> None:
    stated = pld_epsilon([cost(sigma2, 3, sensitivity=3)], delta)
    one_cell = cell_law(sigma2, shift=3, count=3)
    two_cells = both(cell_law(sigma2, shift=2, count=3), cell_law(sigma2, shift=1, count=3))
    three_cells = cell_law(sigma2, shift=1, count=9)
    for law in (one_cell, two_cells, three_cells):
        assert true_epsilon(law, delta) <= stated


def test_the_continuous_gaussian_would_understate_small_noise() -> None:
    truth = true_epsilon(cell_law(Fraction(4), shift=1), 1e-6)
    assert get_epsilon_gaussian(2.0, 1e-6) < truth <= pld_epsilon([cost(4)], 1e-6)


def test_order_and_splitting_do_not_matter() -> None:
    together = pld_epsilon([cost(50, 6), cost(70, 2)], 1e-6)
    assert pld_epsilon([cost(70), cost(50, 4), cost(70), cost(50, 2)], 1e-6) == pytest.approx(
        together, abs=1e-9
    )


@pytest.mark.parametrize(
    "costs",
    [
        [cost(Fraction(1, 100))],
        [cost(2, sensitivity=2)],
        [cost(10, 5), cost(1, sensitivity=5)],
        [cost(100, 100_000, sensitivity=11)],
    ],
)
def test_where_no_loss_distribution_can_be_had_the_zcdp_bound_is_stated(
    costs: list[GaussianCost],
) -> None:
    assert pld_epsilon(costs, 1e-6) == cks_epsilon(total_rho(costs), 1e-6)


def test_a_delta_too_small_for_floats_gives_the_zcdp_bound() -> None:
    assert pld_epsilon([cost(100)], 1e-11) == cks_epsilon(Fraction(1, 200), 1e-11)


def test_nothing_costs_nothing() -> None:
    assert pld_epsilon([], 1e-6) == cks_epsilon(Fraction(0), 1e-6) == 0.0


# zCDP


@settings(deadline=None, max_examples=60)
@given(
    rho=st.fractions(min_value=Fraction(1, 10**6), max_value=200, max_denominator=10**9),
    exponent=st.floats(-30, -0.5),
)
def test_cks_epsilon_is_the_minimum_over_alpha_rounded_up(rho: Fraction, exponent: float) -> None:
    delta = 10.0**exponent
    with mpmath.workdps(40):
        r, d = mpmath.mpf(rho.numerator) / rho.denominator, mpmath.mpf(delta)

        def bound(t: mpmath.mpf) -> mpmath.mpf:
            a = 1 + mpmath.exp(t)
            return a * r - mpmath.log(a * d) / (a - 1) + mpmath.log(1 - 1 / a)

        low, high = mpmath.mpf(-30), mpmath.mpf(30)
        for _ in range(120):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, right) if bound(left) < bound(right) else (left, high)
        truth = max(0.0, float(bound(low)))
    assert truth <= cks_epsilon(rho, delta) <= truth * (1 + 1e-9) + 1e-9


@settings(deadline=None, max_examples=100)
@given(rho=st.fractions(min_value=0, max_value=1000))
def test_units_round_up_by_less_than_one(rho: Fraction) -> None:
    units = rho_units(rho)
    assert rho <= Fraction(units, RHO_UNIT) < rho + Fraction(1, RHO_UNIT)


def test_costs_are_exact() -> None:
    assert gaussian_rho(sigma2=Fraction(9, 2), sensitivity=3) == 1
    assert cost(Fraction(9, 2), 7, sensitivity=3).rho == 7
    assert total_rho([cost(3), cost(7)]) == Fraction(1, 6) + Fraction(1, 14)


# Budget to rho


@settings(deadline=None, max_examples=60)
@given(epsilon=st.floats(1e-3, 100), exponent=st.floats(-13, -1))
def test_rho_for_is_the_largest_that_fits(epsilon: float, exponent: float) -> None:
    delta = 10.0**exponent
    units = int(rho_for(epsilon, delta) * RHO_UNIT)
    assert rho_for(epsilon, delta) == Fraction(units, RHO_UNIT)

    def exact(n: int) -> float:
        rho = Fraction(n, RHO_UNIT)
        if delta < 1e-10:
            return cks_epsilon(rho, delta)
        return float(get_epsilon_gaussian(float(1 / (2 * rho)) ** 0.5, delta))

    assert exact(units) <= epsilon
    assert exact(math.ceil(units * (1 + 1e-4)) + 1) > epsilon


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_rho_for_agrees_with_the_analytic_gaussian(epsilon: float) -> None:
    sigma = get_sigma_gaussian(epsilon, 1e-6)
    assert float(rho_for(epsilon, 1e-6)) == pytest.approx(1 / (2 * sigma**2), rel=1e-5)


@settings(deadline=None, max_examples=100)
@given(mu=st.floats(1e-6, 50), epsilon=st.floats(1e-6, 500))
def test_the_gaussian_delta_is_exact(mu: float, epsilon: float) -> None:
    with mpmath.workdps(60):
        m, e = mpmath.mpf(mu), mpmath.mpf(epsilon)
        truth = mpmath.ncdf(m / 2 - e / m) - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m)
    assert privacy._gaussian_delta(mu, epsilon) == pytest.approx(float(truth), rel=1e-7, abs=1e-14)


# Arguments


@pytest.mark.parametrize("epsilon", [0, -1.0, math.nan, math.inf, "1", True, None])
def test_a_budget_that_is_none_is_refused(epsilon: float) -> None:
    with pytest.raises(InvalidPlan, match=r"epsilon is .*; give a finite number above 0"):
        rho_for(epsilon, 1e-6)


@pytest.mark.parametrize("delta", [0, -1e-6, 1, 1.5, math.nan, math.inf, "1e-6", True])
def test_a_delta_that_is_none_is_refused_everywhere(delta: float) -> None:
    for call in (
        lambda: rho_for(1.0, delta),
        lambda: cks_epsilon(Fraction(1), delta),
        lambda: pld_epsilon([cost(4)], delta),
    ):
        with pytest.raises(InvalidPlan, match=r"delta is .*; give a number between 0 and 1"):
            call()


def test_a_budget_that_buys_nothing_is_refused() -> None:
    with pytest.raises(InvalidPlan, match=r"too small to buy anything; raise epsilon"):
        rho_for(1e-9, 1e-12)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("sigma2", {"sigma2": Fraction(0), "count": 1}),
        ("sigma2", {"sigma2": Fraction(-4), "count": 1}),
        ("sigma2", {"sigma2": 4.0, "count": 1}),
        ("count", {"sigma2": Fraction(4), "count": 0}),
        ("count", {"sigma2": Fraction(4), "count": True}),
        ("sensitivity", {"sigma2": Fraction(4), "count": 1, "sensitivity": 0}),
        ("sensitivity", {"sigma2": Fraction(4), "count": 1, "sensitivity": 1.5}),
    ],
)
def test_a_cost_that_cannot_be_is_refused(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlan, match=field):
        GaussianCost(**arguments)


def test_a_refund_is_refused() -> None:
    for call in (rho_units, lambda rho: cks_epsilon(rho, 1e-6)):
        with pytest.raises(InvalidPlan, match="nothing is refunded"):
            call(Fraction(-1, 2))
