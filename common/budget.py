"""What a plan costs a silo, worked out from its noise and not from what it states."""

from __future__ import annotations

from silosynth.common.cost import GaussianCost, rho_units
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Plan
from silosynth.common.privacy import pld_epsilon


def plan_costs(plan: Plan) -> tuple[GaussianCost, ...]:
    """Return the noise of a plan's phases as mechanisms for the accountant."""
    return tuple(plan.phase_cost(phase) for phase in plan.phases)


def check_budget(plan: Plan) -> float:
    """Return what the plan really costs; raise InvalidPlan when it is above its epsilon.

    A plan is a file that anyone can edit, so its noise is not taken on trust.
    """
    epsilon = pld_epsilon(plan_costs(plan), plan.privacy.delta)
    if epsilon > plan.privacy.epsilon:
        raise InvalidPlan(
            f"plan {plan.id} states epsilon {plan.privacy.epsilon:g} but its noise gives "
            f"{epsilon:.4g}",
            hint="make the plan again with 'silosynth plan new'",
        )
    return epsilon


def plan_units(plan: Plan) -> int:
    """Return the most that a plan charges a silo, in ledger units, rounded up charge by charge."""
    return sum(plan.attempts * rho_units(cost.rho / plan.attempts) for cost in plan_costs(plan))
