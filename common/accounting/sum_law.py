"""The law of a sum of discrete Gaussian shares, and what it costs beyond one discrete Gaussian.

The sum of independent N_Z(0, s), N_Z(0, u) is not N_Z(0, s + u), but nearly. Completing the square,

    P(sum = x) ~ exp(-x² / (2 (s + u))) sum over y in Z of exp(-(y - x s / (s + u))² / (2 r)),
    r = s u / (s + u),

and by Poisson summation the inner sum is a constant times 1 + e(x) with
abs(e(x)) <= 2 exp(-2 pi² r) / (1 - exp(-2 pi² r)). So the law of the sum and the discrete Gaussian
differ by a factor of at most (1 + e) / (1 - e) at *every* integer, tails included. For n equal
shares s, the k-th addition has r = s k / (k + 1), and the factors multiply. At s = 4 their
logarithm is below 4e-17 for any n; at s = 1 it is 2e-4.

Source: Kairouz, Liu, Steinke 2021, "The Distributed Discrete Gaussian Mechanism", Theorem 1, for
the cost in zCDP; the law by elementary means as above.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

from silosynth.common.errors import InvalidPlan

SMALLEST_SHARE = Fraction(1)
PLAIN_SHARE = Fraction(4)
_ROUND_UP = 1 + 1e-9
_SMALLEST_MASS = 1e-100


def check_share(share: Fraction) -> None:
    """Raise InvalidPlan unless a share of the noise is large enough for the sum's law to hold."""
    if share < SMALLEST_SHARE:
        raise InvalidPlan(
            f"each silo would add noise of variance {float(share):.3g}; at least 1 is needed",
            hint="lower epsilon, or use own noise",
        )


@lru_cache(maxsize=256)
def excess_rho(*, share: Fraction, shares: int) -> Fraction:
    """Return the zCDP rho per changed cell that the sum costs beyond one discrete Gaussian.

    tau / 4 with tau = 10 * sum over 0 < k < shares of exp(-2 pi² share k / (k + 1)); 0 for one
    share. Floats are rounded up.

    Source: Kairouz, Liu, Steinke 2021, Theorem 1 (share >= 1/4 there).
    """
    if shares < 2:
        return Fraction(0)
    check_share(share)
    return Fraction(2.5 * _decay(share, shares) * _ROUND_UP)


@lru_cache(maxsize=256)
def log_ratio(*, share: Fraction, shares: int) -> float:
    """Return a bound of abs(log(law of the sum / discrete Gaussian)) at any integer."""
    if shares < 2:
        return 0.0
    terms = (_peak(share, k) for k in range(1, shares))
    return sum(math.log1p(e) - math.log1p(-e) for e in terms) * _ROUND_UP


@lru_cache(maxsize=32)
def sum_law(*, share: Fraction, shares: int) -> np.ndarray:
    """Return the probabilities of the sum of ``shares`` draws of N_Z(0, share), by convolution.

    (2 r + 1,) float64 for -r..r, where the next one falls below 1e-100. Only products and sums of
    positive numbers are taken, so each is right to a relative 1e-11.
    """
    one = _gaussian(share)
    law = np.ones(1)
    for bit in format(shares, "b"):
        law = _trim(np.convolve(law, law))
        if bit == "1":
            law = _trim(np.convolve(law, one))
    return law / math.fsum(law)


def _gaussian(share: Fraction) -> np.ndarray:
    """Return the probabilities of N_Z(0, share) as a symmetric vector."""
    radius = math.isqrt(int(2 * share * 250)) + 1
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    weights = np.exp(-x * x / float(2 * share))
    return _trim(weights / math.fsum(weights))


def _trim(law: np.ndarray) -> np.ndarray:
    """Cut equal tails off a symmetric law where it is below any probability that matters."""
    cut = int(np.argmax(law >= _SMALLEST_MASS))
    return law[cut : len(law) - cut]


def _peak(share: Fraction, k: int) -> float:
    """Return the largest relative ripple of the k-th addition."""
    decay = math.exp(-2 * math.pi**2 * float(share) * k / (k + 1))
    return 2 * decay / (1 - decay)


def _decay(share: Fraction, shares: int) -> float:
    """Return the sum over k of exp(-2 pi² share k / (k + 1))."""
    return math.fsum(
        math.exp(-2 * math.pi**2 * float(share) * k / (k + 1)) for k in range(1, shares)
    )
