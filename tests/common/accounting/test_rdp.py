"""Costs of sums over a random part of the persons, against a library, exact laws and mpmath."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import dp_accounting
import mpmath
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.accounting import (
    ORDER_UNIT,
    ORDERS,
    RHO_UNIT,
    GaussianCost,
    budget_order,
    cks_epsilon,
    pld_epsilon,
    price_units,
    rdp_epsilon,
    rdp_vector,
    rho_units,
    total_rho,
)
from silosynth.common.accounting.zcdp import budget_units
from silosynth.common.errors import InvalidPlan

DELTA = 1e-6
BOUND = 4095


def _cost(*, noise: Fraction, rate: Fraction, count: int = 1, **changes: int) -> GaussianCost:
    sigma2 = (noise * BOUND) ** 2 + 4
    return GaussianCost(
        sigma2=sigma2, count=count, sensitivity=BOUND, cells=100, rate=rate, **changes
    )


@pytest.mark.parametrize("noise", [Fraction(3, 4), Fraction(1), Fraction(4), Fraction(50)])
@pytest.mark.parametrize("rate", [Fraction(1, 1000), Fraction(1, 20), Fraction(9, 10)])
def test_divergences_are_the_librarys_at_the_same_orders(noise: Fraction, rate: Fraction) -> None:
    library = RdpAccountant(ORDERS)
    step = dp_accounting.PoissonSampledDpEvent(
        float(rate), dp_accounting.GaussianDpEvent(float(noise))
    )
    library.compose(dp_accounting.SelfComposedDpEvent(step, 100))
    ours = np.array(rdp_vector(_cost(noise=noise, rate=rate, count=100))) / RHO_UNIT
    assert ours == pytest.approx(np.asarray(library._rdp), rel=1e-6, abs=2 / RHO_UNIT)


def test_small_divergences_do_not_cancel() -> None:
    """Against 60 digits, where a plain sum would lose all of them."""
    cost = _cost(noise=Fraction(1000), rate=Fraction(1, 10_000), count=10**9)
    with mpmath.workdps(60):
        q, order, noise = mpmath.mpf(1) / 10_000, 8, mpmath.mpf(1000)
        terms = (
            mpmath.binomial(order, k)
            * q**k
            * (1 - q) ** (order - k)
            * mpmath.exp((k * k - k) / (2 * noise**2))
            for k in range(order + 1)
        )
        exact = 10**9 * mpmath.log(sum(terms)) / (order - 1)
    ours = rdp_vector(cost)[ORDERS.index(order)] / RHO_UNIT
    assert exact <= ours <= exact * (1 + 1e-7)


def test_everybody_in_every_sum_costs_what_zcdp_says() -> None:
    cost = GaussianCost(sigma2=Fraction(100), count=3, sensitivity=2)
    for order, units in zip(ORDERS, rdp_vector(cost), strict=True):
        assert units == math.ceil(order * cost.rho * RHO_UNIT)


def test_golden_epsilons_of_dp_sgd() -> None:
    cost = _cost(noise=Fraction(1), rate=Fraction(1, 100), count=1000)
    assert rdp_epsilon([cost], DELTA) == pytest.approx(2.437, abs=1e-3)
    assert pld_epsilon([cost], DELTA) == pytest.approx(2.125, abs=1e-3)


@pytest.mark.parametrize("rate", [Fraction(1, 10), Fraction(1, 2)])
@pytest.mark.parametrize("removed", [False, True])
def test_the_continuous_law_costs_no_less_than_the_discrete_one(
    rate: Fraction, removed: bool
) -> None:
    """The exact divergence of integer noise, a person's five units in or out by chance."""
    shift, sigma2 = 5, 100
    x = np.arange(-200, 201)
    law = np.exp(-(x.astype(float) ** 2) / (2 * sigma2))
    law /= law.sum()
    mixed = (1 - float(rate)) * law + float(rate) * np.roll(law, shift)
    one, other = (mixed, law) if removed else (law, mixed)
    cost = GaussianCost(sigma2=Fraction(sigma2), count=1, sensitivity=shift, cells=1, rate=rate)
    for delta in (1e-2, 1e-4, 1e-6):
        epsilon = pld_epsilon([cost], delta)
        exact = np.clip(one - math.exp(epsilon) * other, 0, None).sum()
        assert exact <= delta * (1 + 1e-6)
        assert epsilon <= rdp_epsilon([cost], delta)


def test_sampling_costs_less_and_shares_of_noise_the_same() -> None:
    whole = _cost(noise=Fraction(4), rate=Fraction(1), count=100)
    part = _cost(noise=Fraction(4), rate=Fraction(1, 10), count=100)
    assert rdp_epsilon([part], DELTA) < pld_epsilon([whole], DELTA)
    assert pld_epsilon([replace(part, shares=10)], DELTA) == pld_epsilon([part], DELTA)


def test_noise_that_no_continuous_law_dominates_is_refused() -> None:
    cost = GaussianCost(sigma2=Fraction(4), count=1, rate=Fraction(1, 2))
    with pytest.raises(InvalidPlan, match="sigma2 above 4"):
        rdp_vector(cost)
    assert pld_epsilon([cost], DELTA) == cks_epsilon(total_rho([cost]), DELTA)


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(11, 10), 0.5])
def test_a_rate_that_is_no_exact_chance_is_refused(rate: Fraction) -> None:
    with pytest.raises(InvalidPlan, match="rate"):
        _cost(noise=Fraction(1), rate=rate)


# Prices


@given(
    st.fractions(min_value=Fraction(1, 2), max_value=30),
    st.fractions(min_value=Fraction(1, 500), max_value=Fraction(99, 100)),
    st.floats(1.0001, 1500),
)
def test_a_price_covers_the_divergence_at_its_order_and_is_at_most_zcdps(
    noise: Fraction, rate: Fraction, alpha: float
) -> None:
    cost = _cost(noise=noise, rate=rate)
    units = rho_units(cost.rho)
    order = round(alpha * ORDER_UNIT)
    vector = rdp_vector(cost)
    price = price_units(cost_units=units, vector=vector, order=order)
    assert price <= units
    higher = [v for o, v in zip(ORDERS, vector, strict=True) if o * ORDER_UNIT >= order]
    lower = [v for o, v in zip(ORDERS, vector, strict=True) if o * ORDER_UNIT <= order]
    spent = price * Fraction(order, ORDER_UNIT)
    assert spent >= (lower[-1] if lower else 0)
    if higher:
        assert spent <= higher[0] + Fraction(order, ORDER_UNIT)


def test_a_price_at_an_order_of_the_vector_is_its_entry() -> None:
    vector = rdp_vector(_cost(noise=Fraction(1), rate=Fraction(1, 100), count=7))
    for order in (2, 6, 64, 384):
        price = price_units(cost_units=2**62, vector=vector, order=order * ORDER_UNIT)
        assert price == -(-vector[ORDERS.index(order)] // order)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0, 100.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_a_budget_at_its_own_order_buys_as_much_zcdp_as_before(
    epsilon: float, delta: float
) -> None:
    units, order = budget_order(epsilon=epsilon, delta=delta)
    before = budget_units(epsilon=epsilon, delta=delta)
    assert before * (1 - 1e-10) - 1 <= units <= before
    assert _epsilon(units, order, delta) <= epsilon


@pytest.mark.parametrize("order", [Fraction(8), Fraction(33, 2), Fraction(100)])
def test_a_budget_at_a_chosen_order_stays_within_its_epsilon(order: Fraction) -> None:
    units, held = budget_order(epsilon=3.0, delta=DELTA, order=order)
    assert held == order * ORDER_UNIT
    assert _epsilon(units, held, DELTA) <= 3.0 < _epsilon(units + 100, held, DELTA)


def test_an_order_at_which_a_budget_buys_nothing_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="buys nothing at the order 3"):
        budget_order(epsilon=1.0, delta=DELTA, order=Fraction(3))


def _epsilon(units: int, order: int, delta: float) -> float:
    """Return the conversion at one order, in 40 digits."""
    with mpmath.workdps(40):
        alpha = mpmath.mpf(order) / ORDER_UNIT
        spent = alpha * units / RHO_UNIT
        bound = spent - mpmath.log(alpha * delta) / (alpha - 1) + mpmath.log(1 - 1 / alpha)
        return float(bound)
