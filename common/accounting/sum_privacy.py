"""The privacy loss of a sum of small shares, from its exact law."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from dp_accounting.pld import pld_pmf
from dp_accounting.pld import privacy_loss_distribution as pld

from silosynth.common.accounting.sum_law import sum_law

_SMALLEST_MASS = 1e-25


def sum_loss(
    *, share: Fraction, shares: int, count: int, grid: float
) -> pld.PrivacyLossDistribution:
    """Return the loss distribution of ``count`` sums of ``shares`` draws, one cell moving by one.

    Guarantees: pessimistic. The hockey-stick divergences at losses on the grid come from the
    convolved law; between them the dots are connected (Doroshenko et al. 2022), and outcomes
    rarer than 1e-25 count as certain loss.
    """
    law = sum_law(share=share, shares=shares)
    upper, lower = np.append(law, 0.0), np.insert(law, 0, 0.0)
    kept = (upper > _SMALLEST_MASS) & (lower > _SMALLEST_MASS)
    losses = np.log(upper[kept]) - np.log(lower[kept])
    steps = np.unique(np.concatenate([np.floor(losses / grid), np.ceil(losses / grid)]))
    deltas = [_divergence(upper, lower, float(step) * grid) for step in steps]
    falling = np.minimum.accumulate(np.array(deltas))
    dots = pld_pmf.create_pmf_pessimistic_connect_dots(grid, steps.astype(np.int64), falling)
    return pld.PrivacyLossDistribution(dots).self_compose(count)


def _divergence(upper: np.ndarray, lower: np.ndarray, epsilon: float) -> float:
    """Return the hockey-stick divergence of two laws at ``epsilon``."""
    excess = upper - math.exp(epsilon) * lower
    return math.fsum(excess[excess > 0])
