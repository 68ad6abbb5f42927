"""What a plan charges a silo, in the ledger's integer units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from silosynth.common.accounting import (
    RHO_UNIT,
    GaussianCost,
    cks_epsilon,
    price_units,
    rdp_epsilon,
    rdp_vector,
    rho_units,
    total_rho,
    units_epsilon,
)
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan.plan import Plan


def plan_costs(plan: Plan) -> tuple[GaussianCost, ...]:
    """Return the noise of a plan's phases as mechanisms for the accountant."""
    return tuple(plan.phase_cost(phase) for phase in plan.phases)


def plan_units(plan: Plan) -> int:
    """Return the most that a plan charges a silo, in ledger units, rounded up charge by charge."""
    return plan_price(plan, order=None)


def plan_price(plan: Plan, *, order: int | None) -> int:
    """Return the most that a plan takes from a budget that is held at a Rényi order."""
    return _price(plan, plan_costs(plan), order=order)


def check_series(plan: Plan) -> None:
    """Raise InvalidPlan where one epoch costs more than its cap, or than is left of a lifetime."""
    series = plan.series
    if series is None:
        return
    units, before = plan_units(plan), series.before_units or 0
    if units > series.epoch_units:
        raise InvalidPlan(
            f"one epoch of series {series.name} costs {_rho(units)} of zCDP rho, and its cap is "
            f"{_rho(series.epoch_units)}",
            hint="raise the caps, or plan with more noise",
        )
    if before + units > series.lifetime_units:
        raise InvalidPlan(
            f"plan {plan.id} costs {_rho(units)} of zCDP rho after {_rho(before)} before, and all "
            f"epochs together may cost {_rho(series.lifetime_units)}",
            hint="the series has ended: have a new one approved",
        )


def _rho(units: int) -> str:
    """Return units as a rho with six digits."""
    return f"{units / RHO_UNIT:.6g}"


def alone_units(plan: Plan) -> int:
    """Return what a plan would cost a silo whose noise stood alone: in own trust, what it costs."""
    return _price(plan, alone_costs(plan), order=None)


def alone_costs(plan: Plan) -> tuple[GaussianCost, ...]:
    """Return :func:`plan_costs` of a silo whose share of the noise stood alone."""
    return tuple(c.alone for c in plan_costs(plan))


def sampled_epsilon(costs: Sequence[GaussianCost], delta: float) -> float:
    """Return an epsilon of fixed costs by zCDP or by Rényi orders, without heavy libraries."""
    return min(rdp_epsilon(costs, delta), cks_epsilon(total_rho(costs), delta))


def spent_epsilon(plan: Plan, *, rounds: int) -> float:
    """Return what the phases before training and ``rounds`` of it cost, by Rényi orders.

    Never more than the plan states for all of it.
    """
    costs = []
    for phase, cost in zip(plan.phases, plan_costs(plan), strict=True):
        if cost.rate == 1:
            costs.append(cost)
        elif rounds:
            part = cost.count * rounds * plan.attempts // plan.requests(phase)
            costs.append(replace(cost, count=part))
    return min(sampled_epsilon(costs, plan.privacy.delta), plan.privacy.epsilon)


def charged_epsilon(plan: Plan, units: int) -> float:
    """Return the epsilon of what a silo was charged in a run of ``plan``, in ledger units.

    Where persons are sampled, the units say how many rounds there were, and these convert better.
    """
    delta = plan.privacy.delta
    if not plan.chosen.samples_persons:
        return units_epsilon(units, delta)
    costs = []
    for phase, cost in zip(plan.phases, plan_costs(plan), strict=True):
        charges = plan.requests(phase)
        each = rho_units(cost.rho / charges)
        made = min(-(-units // each), charges)
        units -= made * each
        if made > 0:
            costs.append(replace(cost, count=cost.count // charges * made))
    return min(sampled_epsilon(costs, delta), plan.privacy.epsilon)


def _price(plan: Plan, costs: Sequence[GaussianCost], *, order: int | None) -> int:
    """Add up all charges at an order."""
    total = 0
    for phase, cost in zip(plan.phases, costs, strict=True):
        charges = plan.requests(phase)
        vector = rdp_vector(replace(cost, count=cost.count // charges)) if cost.rate < 1 else None
        units = rho_units(cost.rho / charges)
        total += charges * price_units(cost_units=units, vector=vector, order=order)
    return total
