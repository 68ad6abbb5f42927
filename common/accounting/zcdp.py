"""From zCDP to (epsilon, delta), and from a budget to the ledger's units, without heavy libraries.

What a ledger adds up was chosen adaptively, plan after plan, so its budgets are converted by the
bound that holds for any sum of zCDP costs, and not by privacy loss distributions. Beside it the
ledger's Rényi orders, and what a vector of divergences takes from a budget at one order.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from silosynth.common.accounting.noise import RHO_UNIT
from silosynth.common.errors import InvalidPlan

ORDER_UNIT = 2**20
"""Rényi orders of budgets are whole numbers of 2^-20."""


def cks_epsilon(rho: Fraction, delta: float) -> float:
    """Return an epsilon at ``delta`` of any ``rho``-zCDP mechanism, adaptive ones included.

    Guarantees: an upper bound for every order alpha tried, so the search cannot make it too low.

    Source: Canonne, Kamath, Steinke 2020, Corollary 13: for every alpha > 1,
    epsilon = alpha rho + log(1 / (alpha delta)) / (alpha - 1) + log(1 - 1 / alpha).
    """
    check_delta(delta)
    if rho < 0:
        raise InvalidPlan("a cost is below 0", hint="costs only add up; nothing is refunded")
    if rho == 0:
        return 0.0
    rho_float, log_delta = float(rho), math.log(delta)

    def bound(log_excess: float) -> float:
        excess = math.exp(log_excess)
        log_alpha = math.log1p(excess)
        return (1 + excess) * rho_float - (log_alpha + log_delta) / excess + log_excess - log_alpha

    center = 0.5 * math.log(-log_delta / rho_float)
    low, high = center - 8.0, center + 8.0
    for _ in range(100):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if bound(left) < bound(right) else (left, high)
    return max(0.0, bound(low) * (1 + 1e-12) + 1e-12)


def units_epsilon(units: int, delta: float) -> float:
    """Return :func:`cks_epsilon` of ledger units of 2^-40."""
    return cks_epsilon(Fraction(units, RHO_UNIT), delta)


def stated_epsilon(epsilon: float) -> float:
    """Return an epsilon with six significant digits, rounded up: every machine states the same.

    The last bits of a composed loss depend on the processor (its exponentials differ), by some
    1e-10; a certificate's bytes must not.
    """
    return float(Context(prec=6, rounding=ROUND_CEILING).create_decimal(repr(float(epsilon))))


def rounded_up(epsilon: float) -> str:
    """Return an epsilon with four digits, rounded up."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(epsilon)
    return f"{rounded.normalize():f}"


@lru_cache(maxsize=1024)
def budget_units(*, epsilon: float, delta: float) -> int:
    """Return the most units of 2^-40 whose sum stays within (epsilon, delta), rounded down.

    Guarantees: :func:`cks_epsilon` of what is returned is at most ``epsilon``.

    Raises InvalidPlan for numbers out of range, or a budget that buys nothing.
    """
    check_budget_arguments(epsilon, delta)

    def fits(units: int) -> bool:
        return units_epsilon(units, delta) <= epsilon

    below, above = 0, 1
    while fits(above):
        below, above = above, above * 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if fits(middle) else (below, middle)
    if below == 0:
        raise InvalidPlan(
            f"epsilon {epsilon:g} at delta {delta:g} is too small to buy anything",
            hint="raise epsilon",
        )
    return below


def budget_order(*, epsilon: float, delta: float, order: Fraction | None = None) -> tuple[int, int]:
    """Return (units, order): a budget of (epsilon, delta) held at one Rényi order, fixed for good.

    Guarantees: divergences at the order alpha = order / 2^20 that add up to at most
    alpha * units / 2^40 stay within (epsilon, delta), whoever chose them and when. A filter at one
    order that was fixed in advance holds for adaptive charges (Feldman, Zrnic 2021, Theorem 4.3);
    the best of several orders, chosen when all is spent, would not. Without ``order`` it is the one
    at which zCDP charges convert best, so that they may spend as much as in no filter at all.

    Raises InvalidPlan for numbers out of range, or an order at which the budget buys nothing.
    """
    check_budget_arguments(epsilon, delta)
    held = _best_order(epsilon, delta) if order is None else round(order * ORDER_UNIT)
    if held <= ORDER_UNIT:
        raise InvalidPlan(f"the order {order} is not above 1", hint="give one such as 6")
    alpha = held / ORDER_UNIT
    units = int((epsilon - _epsilon_at(0, held, delta)) / alpha * RHO_UNIT)
    while units > 0 and _epsilon_at(units, held, delta) > epsilon:
        units -= max(1, units >> 44)
    if units < 1:
        raise InvalidPlan(
            f"epsilon {epsilon:g} at delta {delta:g} buys nothing at the order {alpha:g}",
            hint="give a higher order, or leave it out",
        )
    return units, held


def _best_order(epsilon: float, delta: float) -> int:
    """Return the order at which :func:`cks_epsilon` of the whole budget is reached.

    The derivative of its bound vanishes: rho (alpha - 1)² = log(1 / (alpha delta)).
    """
    rho = budget_units(epsilon=epsilon, delta=delta) / RHO_UNIT
    excess = math.sqrt(-math.log(delta) / rho)
    for _ in range(100):
        excess = math.sqrt(max(-math.log((1 + excess) * delta), 1e-6) / rho)
    return max(round((1 + excess) * ORDER_UNIT), ORDER_UNIT + 1)


def held_epsilon(units: int, *, order: int, delta: float) -> float:
    """Return the epsilon of units that were spent at one Rényi order, in units of 2^-20."""
    check_delta(delta)
    return max(0.0, _epsilon_at(units, order, delta)) if units else 0.0


def _epsilon_at(units: int, order: int, delta: float) -> float:
    """Return the epsilon of a rho of ``units`` by one order, rounded up (Proposition 12)."""
    alpha = order / ORDER_UNIT
    spent = alpha * units / RHO_UNIT
    log_term = -math.log(alpha * delta) / (alpha - 1)
    return (spent + log_term + math.log1p(-1 / alpha)) * (1 + 1e-12) + 1e-12


def check_budget_arguments(epsilon: float, delta: float) -> None:
    """Raise InvalidPlan unless epsilon is finite and above 0, and 0 < delta < 1."""
    if not (_is_number(epsilon) and math.isfinite(epsilon) and epsilon > 0):
        raise InvalidPlan(
            f"epsilon is {epsilon!r}", hint="give a finite number above 0, such as 1.0"
        )
    check_delta(delta)


def check_delta(delta: float) -> None:
    """Raise InvalidPlan unless 0 < delta < 1."""
    if not (_is_number(delta) and 0 < delta < 1):
        raise InvalidPlan(f"delta is {delta!r}", hint="give a number between 0 and 1, such as 1e-6")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
