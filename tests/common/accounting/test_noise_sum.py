"""The sum of discrete Gaussian shares: its law against exact sums, its cost against its law."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from silosynth.common.accounting import GaussianCost, cks_epsilon, pld_epsilon
from silosynth.common.accounting.sum_law import excess_rho, log_ratio, sum_law
from silosynth.common.errors import InvalidPlan

RADIUS = 60


def _oracle(share: Fraction, shares: int) -> list[mpf]:
    """Return the law of the sum at -RADIUS..RADIUS, by convolution with 60 digits."""
    mp.dps = 60
    variance = mpf(share.numerator) / share.denominator
    weights = [mp.exp(-mpf(x * x) / (2 * variance)) for x in range(-RADIUS, RADIUS + 1)]
    one = [w / mp.fsum(weights) for w in weights]
    law = one
    for _ in range(shares - 1):
        law = [
            mp.fsum(
                law[i] * one[x - i + RADIUS]
                for i in range(max(0, x - RADIUS), min(2 * RADIUS, x + RADIUS) + 1)
            )
            for x in range(2 * RADIUS + 1)
        ]
    return law


@pytest.mark.parametrize(("share", "shares"), [(Fraction(1), 2), (Fraction(7, 3), 3)])
def test_the_law_is_the_convolution(share: Fraction, shares: int) -> None:
    law, oracle = sum_law(share=share, shares=shares), _oracle(share, shares)
    centre = len(law) // 2
    for x in range(-20, 21):
        assert math.isclose(law[centre + x], float(oracle[RADIUS + x]), rel_tol=1e-11)
    assert law.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("share", [Fraction(1), Fraction(3, 2), Fraction(4)])
@pytest.mark.parametrize("shares", [2, 3])
def test_the_sum_is_a_discrete_gaussian_within_the_stated_factor(
    share: Fraction, shares: int
) -> None:
    oracle = _oracle(share, shares)
    variance = mpf(share.numerator) / share.denominator * shares
    weights = [mp.exp(-mpf(x * x) / (2 * variance)) for x in range(-RADIUS, RADIUS + 1)]
    gaussian = [w / mp.fsum(weights) for w in weights]
    ratios = [abs(mp.log(oracle[RADIUS + x] / gaussian[RADIUS + x])) for x in range(-12, 13)]
    bound = log_ratio(share=share, shares=shares)
    assert max(ratios) <= bound
    assert shares > 2 or max(ratios) > 0.2 * bound


@pytest.mark.parametrize(("share", "below"), [(Fraction(4), 4e-17), (Fraction(1), 3e-4)])
def test_a_hundred_shares_stay_as_near_as_stated(share: Fraction, below: float) -> None:
    assert log_ratio(share=share, shares=100) < below


@pytest.mark.parametrize("share", [Fraction(1), Fraction(3, 2), Fraction(3)])
@pytest.mark.parametrize("shares", [2, 5])
def test_the_stated_rho_bounds_every_renyi_divergence_of_the_law(
    share: Fraction, shares: int
) -> None:
    law = sum_law(share=share, shares=shares)
    log = np.log(law)
    rho = float(GaussianCost(sigma2=share * shares, count=1, shares=shares).rho)
    for alpha in (1.01, 1.5, 2, 4, 8, 16):
        exponent = alpha * log[1:] + (1 - alpha) * log[:-1]
        divergence = (exponent.max() + math.log(np.exp(exponent - exponent.max()).sum())) / (
            alpha - 1
        )
        assert divergence <= alpha * rho + 1e-11


@pytest.mark.parametrize("share", [Fraction(1), Fraction(2)])
def test_the_convolved_epsilon_is_that_of_the_exact_law(share: Fraction) -> None:
    law = sum_law(share=share, shares=3)
    upper, lower = np.append(law, 0.0), np.insert(law, 0, 0.0)
    epsilon = pld_epsilon([GaussianCost(sigma2=3 * share, count=1, shares=3)], 1e-6)

    def delta(e: float) -> float:
        return float(np.clip(upper - math.exp(e) * lower, 0, None).sum())

    assert delta(epsilon) <= 1e-6 <= delta(epsilon - 2e-3)


def test_shares_cost_no_less_than_one_gaussian_and_hardly_more() -> None:
    shared = GaussianCost(sigma2=Fraction(40), count=50, shares=10)
    plain = GaussianCost(sigma2=Fraction(40), count=50)
    assert plain.rho < shared.rho < plain.rho * (1 + Fraction(1, 10**12))
    assert cks_epsilon(shared.rho, 1e-6) >= cks_epsilon(plain.rho, 1e-6)
    assert pld_epsilon([shared], 1e-6) == pytest.approx(pld_epsilon([plain], 1e-6), abs=1e-9)


def test_shares_below_one_are_refused() -> None:
    with pytest.raises(InvalidPlan, match="at least 1"):
        GaussianCost(sigma2=Fraction(19), count=1, shares=20)
    with pytest.raises(InvalidPlan):
        excess_rho(share=Fraction(999, 1000), shares=2)
    assert excess_rho(share=Fraction(1, 2), shares=1) == 0
