"""From zCDP and Gaussian costs to (epsilon, delta), and back to a budget.

Every epsilon here is an upper bound: floats are rounded against us.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from silosynth.common.accounting.noise import (
    RHO_UNIT,
    SMOOTHING,
    GaussianCost,
    total_rho,
)
from silosynth.common.accounting.rdp import rdp_epsilon
from silosynth.common.accounting.zcdp import check_budget_arguments, check_delta, cks_epsilon
from silosynth.common.errors import InvalidPlan

SMALLEST_PLD_DELTA = 1e-10
_MOST_CELLS = 10**6
_GRID = 1e-4
_COARSER = 5
"""Where persons are sampled: each point costs more there, and epsilon rises by below 0.1 %."""
_SLACK = 1e-9
_SLACK_DELTA = 1 - 1e-6


def pld_epsilon(costs: Sequence[GaussianCost], delta: float) -> float:
    """Return an epsilon at ``delta`` of ``costs`` together, all fixed in advance.

    Guarantees: never below the true epsilon of the discrete noise, never above
    :func:`cks_epsilon` of the same costs.

    Where a person has one row and sigma <= 128, the discrete Gaussian's own privacy loss
    distribution is composed on a grid (dp-accounting, connect the dots, pessimistic). Every other
    mechanism is replaced by one that dominates it: the continuous Gaussian of variance
    sigma2 - 2, whichever cells the person's rows fall into. That is sound because N_Z(c, sigma2)
    is, within a factor 1 +- 1e-16 per cell, the randomised rounding of N(c, sigma2 - 2) to
    N_Z(., 2), and rounding does not look at c (Peikert 2010, Theorem 3.1, by the smoothing bound
    2 exp(-2 pi² 2)). Continuous Gaussians compose to one, whose epsilon is exact (Balle and Wang
    2018). A sum of shares of at least 4 differs from a discrete Gaussian by a factor 1 +- 4e-17 per
    cell and is taken for one; with smaller shares its law is convolved and its own privacy loss
    distribution composed (see :mod:`silosynth.common.accounting.sum_law`). Where neither can be had
    (sigma2 < 1/16, or <= 2 or shares below 4 with several rows a person, or a sigma below 1/128 of
    what a person adds), and for delta < 1e-10,
    where float convolution is not to be trusted, the zCDP bound is returned.

    Sums over a random part of the persons are dominated by Poisson-subsampled continuous Gaussians
    (see ``GaussianCost.multiplier``), whose privacy loss distribution is composed
    in both directions, a person added and a person removed; there the bound is the lower of the
    zCDP and the Rényi one.

    Time: 0.1 s for each distinct sigma2 at most, however many marginals share it; what was
    composed is remembered, since planner, certificate and gateway ask for the same plan's.
    """
    check_delta(delta)
    bound = cks_epsilon(total_rho(costs), delta)
    sampled = [c for c in costs if c.rate < 1]
    if sampled and all(c.sigma2 > SMOOTHING for c in sampled):
        bound = min(bound, rdp_epsilon(costs, delta))
    convolved = [c for c in costs if c.convolved]
    smooth = [c for c in costs if c.smooth]
    if (
        not costs
        or delta < SMALLEST_PLD_DELTA
        or not all(c.composes for c in costs)
        or sum(c.count * c.touched for c in smooth) > _MOST_CELLS
    ):
        return bound
    discrete: Counter[float] = Counter()
    for cost in costs:
        if cost.rate == 1 and not (cost.smooth or cost.convolved):
            discrete[cost.scale] += cost.count
    rho = sum((c.dominating_rho for c in smooth), Fraction(0))
    if not discrete and not convolved and not sampled:
        return min(bound, _gaussian_epsilon(rho, delta) + _SLACK)
    grid = _grid(bound) * (_COARSER if sampled else 1)
    sums = [*convolved, *sampled]
    return min(bound, _composed_epsilon(discrete, rho, delta, sums=sums, grid=grid) + _SLACK)


def rho_for(epsilon: float, delta: float) -> Fraction:
    """Return the largest total rho that (epsilon, delta) buys in continuous Gaussian noise.

    Guarantees: a multiple of 2^-40, rounded down; the exact Gaussian epsilon of it (Balle and
    Wang 2018; the zCDP bound for delta < 1e-10) is at most ``epsilon``. Discrete noise of the
    same rho can cost a little more, so a planner checks its result with :func:`pld_epsilon`.
    """
    check_budget_arguments(epsilon, delta)
    fits = 0
    above = 1
    while _epsilon_of_units(above, delta) <= epsilon:
        fits, above = above, above * 2
    while above - fits > 1:
        middle = (fits + above) // 2
        if _epsilon_of_units(middle, delta) <= epsilon:
            fits = middle
        else:
            above = middle
    if fits == 0:
        raise InvalidPlan(
            f"epsilon {epsilon:g} at delta {delta:g} is too small to buy anything",
            hint="raise epsilon",
        )
    return Fraction(fits, RHO_UNIT)


def _epsilon_of_units(units: int, delta: float) -> float:
    """Return the epsilon of continuous Gaussians that cost ``units``."""
    rho = Fraction(units, RHO_UNIT)
    if delta < SMALLEST_PLD_DELTA:
        return cks_epsilon(rho, delta)
    return _gaussian_epsilon(rho, delta)


def _grid(bound: float) -> float:
    """Return the step of the privacy loss grid: coarser where epsilon is large, to bound time."""
    return _GRID * max(1.0, bound / 20)


def _gaussian_epsilon(rho: Fraction, delta: float) -> float:
    """Return the epsilon of continuous Gaussians of total ``rho``, exact but for the slack."""
    mu, target = math.sqrt(2 * rho), delta * _SLACK_DELTA
    if _gaussian_delta(mu, 0.0) <= target:
        return 0.0
    low, high = 0.0, 1.0
    while _gaussian_delta(mu, high) > target:
        low, high = high, high * 2
    while high - low > _SLACK * min(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if _gaussian_delta(mu, middle) > target else (low, middle)
    return high


def _gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the exact delta of a Gaussian whose mean moves by ``mu`` standard deviations."""
    from silosynth.common.accounting.loss import gaussian_delta  # see there why not above

    return gaussian_delta(mu, epsilon)


def _composed_epsilon(
    discrete: Counter[float],
    rho: Fraction,
    delta: float,
    *,
    sums: Sequence[GaussianCost],
    grid: float,
) -> float:
    """Return the epsilon of discrete Gaussians, of ``sums``, and of continuous ones of ``rho``."""
    from silosynth.common.accounting.loss import composed_epsilon  # see there why not above

    return composed_epsilon(discrete, rho, delta * _SLACK_DELTA, sums=sums, grid=grid)
