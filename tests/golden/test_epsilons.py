"""Epsilons at delta 1e-6 that are known from elsewhere, to 1e-3."""

from __future__ import annotations

from fractions import Fraction

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from silosynth.common.accounting import (
    GaussianCost,
    cks_epsilon,
    pld_epsilon,
    stated_epsilon,
    total_rho,
)

DELTA = 1e-6
DISCRETE = [(1, 2, 2.419, 2.276), (100, 10, 5.222, 4.887)]


@pytest.mark.parametrize(("count", "sigma", "by_cks", "by_pld"), DISCRETE)
def test_discrete_gaussians(count: int, sigma: int, by_cks: float, by_pld: float) -> None:
    costs = [GaussianCost(sigma2=Fraction(sigma**2), count=count)]
    assert cks_epsilon(total_rho(costs), DELTA) == pytest.approx(by_cks, abs=1e-3)
    assert pld_epsilon(costs, DELTA) == pytest.approx(by_pld, abs=1e-3)


@pytest.mark.parametrize(
    ("accountant", "epsilon"), [(RdpAccountant(), 2.437), (PLDAccountant(), 2.125)]
)
def test_dp_sgd_with_the_library_that_accounts_for_it(
    accountant: dp_accounting.PrivacyAccountant, epsilon: float
) -> None:
    step = dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.0))
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, 1000))
    assert accountant.get_epsilon(DELTA) == pytest.approx(epsilon, abs=1e-3)


@pytest.mark.parametrize(
    ("of_one_processor", "of_another"),
    [(2.9996807191667347, 2.9996807192636834), (4.423940098131284, 4.423940098170198)],
)
def test_what_is_stated_is_the_same_on_every_processor_and_never_less(
    of_one_processor: float, of_another: float
) -> None:
    """Both were composed from one plan by numpy, with AVX-512 and without."""
    assert of_one_processor != of_another
    stated = stated_epsilon(of_one_processor)
    assert stated == stated_epsilon(of_another) >= max(of_one_processor, of_another)
    assert stated == pytest.approx(of_another, rel=1e-5)
    assert [stated_epsilon(x) for x in (0.0, 1.0, 0.1, stated)] == [0.0, 1.0, 0.1, stated]
