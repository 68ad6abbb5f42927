"""What a plan charges a silo, in the ledger's integer units."""

from __future__ import annotations

from dataclasses import replace

from silosynth.common.cost import GaussianCost, rho_units
from silosynth.common.plan import Plan


def plan_costs(plan: Plan) -> tuple[GaussianCost, ...]:
    """Return the noise of a plan's phases as mechanisms for the accountant."""
    return tuple(plan.phase_cost(phase) for phase in plan.phases)


def plan_units(plan: Plan) -> int:
    """Return the most that a plan charges a silo, in ledger units, rounded up charge by charge."""
    return sum(plan.attempts * rho_units(cost.rho / plan.attempts) for cost in plan_costs(plan))


def alone_units(plan: Plan) -> int:
    """Return what a plan would cost a silo whose noise stood alone: in own trust, what it costs."""
    alone = (replace(c, sigma2=c.share, shares=1) for c in plan_costs(plan))
    return sum(plan.attempts * rho_units(cost.rho / plan.attempts) for cost in alone)
