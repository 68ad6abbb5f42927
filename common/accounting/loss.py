"""Privacy loss at its edge: dp-accounting's distributions and scipy's one special function.

Whoever makes, checks or certifies a plan imports this module, and only then: it takes 80 MB and
half a second, which a relay, a fit or a draw of rows does not need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from dp_accounting.pld import privacy_loss_distribution as pld
from scipy.special import erfcx

from silosynth.common.accounting.noise import GaussianCost
from silosynth.common.accounting.sum_privacy import sum_loss


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the exact delta of a Gaussian whose mean moves by ``mu`` standard deviations.

    Source: Balle and Wang 2018, Theorem 8, Phi(-a) - exp(epsilon) Phi(-b), with the exponential
    taken out of both terms so that nothing cancels or overflows.
    """
    a, b = epsilon / mu - mu / 2, epsilon / mu + mu / 2
    root = math.sqrt(2)
    decay = math.exp(-a * a / 2)
    if a < 0:
        return 0.5 * (math.erfc(a / root) - decay * float(erfcx(b / root)))
    return 0.5 * decay * float(erfcx(a / root) - erfcx(b / root))


def composed_epsilon(
    discrete: Mapping[float, int],
    rho: Fraction,
    delta: float,
    *,
    sums: Sequence[GaussianCost],
    grid: float,
) -> float:
    """Return the epsilon of discrete Gaussians, of ``sums``, and of continuous ones of ``rho``.

    Args:
        discrete: how many mechanisms have each standard deviation.
        sums: costs whose shares are convolved, or of sums over a random part of the persons.
    """
    return _composed_epsilon(tuple(sorted(discrete.items())), rho, delta, tuple(sums), grid)


# Many gateways of one process, as in a simulation, ask about the same plan.
@lru_cache(maxsize=64)
def _composed_epsilon(
    discrete: tuple[tuple[float, int], ...],
    rho: Fraction,
    delta: float,
    sums: tuple[GaussianCost, ...],
    grid: float,
) -> float:
    """Return the epsilon of :func:`composed_epsilon`; it depends on its arguments alone."""
    parts = [_loss(cost, grid=grid) for cost in sums]
    parts += [
        pld.from_discrete_gaussian_mechanism(
            scale, value_discretization_interval=grid, use_connect_dots=True
        ).self_compose(count)
        for scale, count in discrete
    ]
    if rho:
        parts.append(
            pld.from_gaussian_mechanism(
                math.sqrt(1 / (2 * rho)),
                value_discretization_interval=grid,
                use_connect_dots=True,
            )
        )
    total = parts[0]
    for part in parts[1:]:
        total = total.compose(part)
    return float(total.get_epsilon_for_delta(delta))


def _loss(cost: GaussianCost, *, grid: float) -> pld.PrivacyLossDistribution:
    """Return the loss distribution of one kind of sum."""
    if cost.rate < 1:
        step = _sampled_loss(cost.multiplier, float(cost.rate), grid)
        return step.self_compose(cost.count)
    return sum_loss(share=cost.share, shares=cost.shares, count=cost.count, grid=grid)


@lru_cache(maxsize=32)
def _sampled_loss(noise: float, rate: float, grid: float) -> pld.PrivacyLossDistribution:
    """Return the loss distribution of one Poisson-subsampled Gaussian, in both directions."""
    return pld.from_gaussian_mechanism(
        noise,
        value_discretization_interval=grid,
        sampling_prob=min(math.nextafter(rate, 1.0), 1.0),
        use_connect_dots=True,
    )
