"""Rényi differential privacy of Poisson-subsampled Gaussian sums, at orders that never change.

What a ledger adds up for DP-SGD is a vector: for each order of :data:`ORDERS` the Rényi divergence
in units of 2^-40, rounded up. It adds up, adaptively, at every order that was fixed in advance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from silosynth.common.accounting.noise import RHO_UNIT, GaussianCost
from silosynth.common.accounting.zcdp import ORDERS, Vector, check_delta

_ROUND_UP = 1 + 1e-9
_LOG_FACTORIALS = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, ORDERS[-1] + 1)))))


def rdp_vector(cost: GaussianCost) -> Vector:
    """Return what ``cost`` adds at every order of :data:`ORDERS`, in units of 2^-40, rounded up.

    Guarantees: at each order, at least the divergence both of the sum with a person from the one
    without, and the reverse.
    """
    if cost.rate == 1:
        return tuple(-((-order * cost.rho * RHO_UNIT) // 1) for order in ORDERS)
    values = _one_step(float(cost.rate), cost.multiplier)
    return tuple(math.ceil(Fraction(value * _ROUND_UP) * cost.count * RHO_UNIT) for value in values)


def add_vectors(vectors: Sequence[Vector]) -> Vector:
    """Return the sum of vectors; zeros for none."""
    return tuple(sum(column) for column in zip(*vectors, (0,) * len(ORDERS), strict=True))


def rdp_epsilon(costs: Sequence[GaussianCost], delta: float) -> float:
    """Return an epsilon at ``delta`` of ``costs`` together, all fixed in advance.

    Guarantees: an upper bound at every order, so the best of them may be taken.

    Source: Canonne, Kamath, Steinke 2020, Proposition 12.
    """
    check_delta(delta)
    if not costs:
        return 0.0
    total = add_vectors([rdp_vector(c) for c in costs])
    best: float = min(
        units / RHO_UNIT - math.log(order * delta) / (order - 1) + math.log1p(-1 / order)
        for order, units in zip(ORDERS, total, strict=True)
    )
    return max(0.0, best * (1 + 1e-12) + 1e-12)


@lru_cache(maxsize=256)
def _one_step(rate: float, noise: float) -> tuple[float, ...]:
    """Return the divergence of one Poisson-subsampled Gaussian at every order.

    Only positive terms are added: with a_k = C(alpha, k) q^k (1 - q)^(alpha - k) and the k below 2
    dropping out, D_alpha = log1p(sum a_k (exp((k² - k) / (2 noise²)) - 1)) / (alpha - 1).

    Source: Mironov, Talwar, Zhang 2019, Theorem 4 and section 3.3; the other direction is never
    larger (Theorem 5).
    """
    return tuple(_divergence(order, rate=rate, noise=noise) for order in ORDERS)


def _divergence(order: int, *, rate: float, noise: float) -> float:
    """Return one entry of :func:`_one_step`."""
    k = np.arange(2, order + 1, dtype=np.float64)
    chosen = _LOG_FACTORIALS[order] - _LOG_FACTORIALS[2 : order + 1]
    chosen -= _LOG_FACTORIALS[order - 2 :: -1]
    weight = chosen + k * math.log(rate) + (order - k) * math.log1p(-rate)
    exponent = (k * k - k) / (2 * noise * noise)
    # exp(x) - 1 for large x is exp(x): its logarithm is x + log1p(-exp(-x)).
    log_excess = exponent + np.log(-np.expm1(-exponent))
    largest = float(np.max(weight + log_excess))
    log_sum = largest + math.log(float(np.exp(weight + log_excess - largest).sum()))
    log_total = math.log1p(math.exp(log_sum)) if log_sum < 30 else log_sum + math.exp(-log_sum)
    return float(log_total) / (order - 1)
