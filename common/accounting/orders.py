"""Rényi orders of the ledger, and what a vector of divergences takes from a budget at one order."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from silosynth.common.accounting.zcdp import ORDER_UNIT

ORDERS = (*range(2, 65), 72, 80, 96, 112, 128, 160, 192, 256, 384, 512, 1024)
ORDERS_VERSION = 1
Vector = tuple[int, ...]
"""Divergences at :data:`ORDERS`, in units of 2^-40, rounded up."""


def price_units(*, cost_units: int, vector: Vector | None, order: int | None) -> int:
    """Return what a charge takes from a budget that is held at ``order``, in units of zCDP rho.

    A budget of rho at the order alpha admits divergences at that order of alpha * rho in all. A
    charge without a vector, or to a budget without an order, takes its zCDP cost.

    Guarantees: never below the divergence at the order over the order, between the orders of
    :data:`ORDERS` by convexity of (alpha - 1) D_alpha (van Erven, Harremoës 2014, Corollary 2);
    never above ``cost_units``, which bounds it as well.

    Args: order: in units of 2^-20, above 1.
    """
    if vector is None or order is None or order > ORDERS[-1] * ORDER_UNIT:
        return cost_units
    alpha = Fraction(order, ORDER_UNIT)
    if alpha <= ORDERS[0]:
        return min(cost_units, _ceil(vector[0] / alpha))
    pairs = pairwise(zip(ORDERS, vector, strict=True))
    (low, below), (high, above) = next(pair for pair in pairs if pair[1][0] >= alpha)
    weight = (high - alpha) / (high - low)
    scaled = weight * (low - 1) * below + (1 - weight) * (high - 1) * above
    return min(cost_units, _ceil(scaled / (alpha - 1) / alpha))


def _ceil(value: Fraction) -> int:
    return -((-value) // 1)
