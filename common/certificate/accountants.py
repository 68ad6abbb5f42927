"""The accountants of other libraries, each at its edge: dp-accounting, OpenDP, Opacus.

They share no code with one another, nor with :mod:`silosynth.common.accounting` but the costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce

from silosynth.common.accounting import GaussianCost

_GRID = 1e-4
_LARGEST_DISCRETE = 128.0


def least_epsilon(costs: Sequence[GaussianCost], delta: float) -> float:
    """Return an epsilon below which nobody can prove ``costs``: dp-accounting's PLD, optimistic.

    One person moves one cell, or one coordinate, by all that they may; losses are rounded down. A
    sum of shares is taken for the discrete Gaussian that it is next to.
    """
    from dp_accounting.pld import privacy_loss_distribution as pld

    parts = []
    for cost in costs:
        options = {"value_discretization_interval": _GRID, "pessimistic_estimate": False}
        if cost.rate == 1 and cost.scale <= _LARGEST_DISCRETE:
            one = pld.from_discrete_gaussian_mechanism(
                cost.scale,
                sensitivity=cost.sensitivity,
                use_connect_dots=False,
                **options,
            )
        else:
            one = pld.from_gaussian_mechanism(
                cost.scale / cost.sensitivity,
                sampling_prob=float(cost.rate),
                use_connect_dots=False,
                **options,
            )
        parts.append(one.self_compose(cost.count))
    total = reduce(lambda a, b: a.compose(b), parts)
    return float(total.get_epsilon_for_delta(delta))


def opendp_rho(cost: GaussianCost) -> float:
    """Return the zCDP rho of ``cost`` by OpenDP's map of its discrete Gaussian measurement.

    It knows nothing of sampling, nor of what a sum of small shares costs beyond one Gaussian.
    """
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    one = dp.m.make_gaussian(*space, scale=cost.scale)
    return cost.count * float(one.map(float(cost.sensitivity)))


def opendp_epsilon(rho: Fraction, delta: float) -> float:
    """Return the epsilon of a zCDP ``rho`` by OpenDP's conversion; holds for adaptive choices."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.atom_domain(T="f64", nan=False), dp.absolute_distance(T="f64")
    measurement = dp.m.make_gaussian(*space, scale=math.sqrt(1 / (2 * rho)))
    return float(dp.c.make_zCDP_to_approxDP(measurement).map(1.0).epsilon(delta))


def opacus_epsilon(costs: Sequence[GaussianCost], delta: float) -> float:
    """Return an epsilon of ``costs`` by Opacus' Rényi accountant, sampled gradients and all.

    Integer noise has the divergence of continuous noise at most, but where persons are sampled;
    there the two are next to one another.
    """
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis import rdp

    orders = [*RDPAccountant.DEFAULT_ALPHAS, *range(64, 512, 8), *range(512, 4097, 128)]
    total = sum(
        rdp.compute_rdp(
            q=float(cost.rate),
            noise_multiplier=cost.scale / cost.sensitivity,
            steps=cost.count,
            orders=orders,
        )
        for cost in costs
    )
    epsilon, _ = rdp.get_privacy_spent(orders=orders, rdp=total, delta=delta)
    return float(epsilon)
