"""What a plan costs a silo, worked out from its noise and not from what it states."""

from __future__ import annotations

from silosynth.common.accounting.epsilon import pld_epsilon
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan.cost import plan_costs, plan_units
from silosynth.common.plan.plan import Plan

__all__ = ["check_budget", "plan_costs", "plan_units"]


def check_budget(plan: Plan) -> float:
    """Return what the plan really costs; raise InvalidPlan when it is above its epsilon.

    A plan is a file that anyone can edit, so its noise is not taken on trust.
    """
    epsilon = pld_epsilon(plan_costs(plan), plan.privacy.delta)
    # A comparison with NaN is false, so this refuses it as well.
    if not epsilon <= plan.privacy.epsilon:
        raise InvalidPlan(
            f"plan {plan.id} states epsilon {plan.privacy.epsilon:g} but its noise gives "
            f"{epsilon:.4g}",
            hint="make the plan again with 'silosynth plan new'",
        )
    return epsilon
