"""What a plan costs a silo, worked out from its noise and not from what it states."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.cost import GaussianCost
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Phase, Plan
from silosynth.common.plan_cost import plan_units
from silosynth.common.privacy import pld_epsilon

__all__ = ["check_budget", "phase_costs", "plan_units"]


def phase_costs(phases: Sequence[Phase], rows_per_person: int) -> tuple[GaussianCost, ...]:
    """Return the noise of a plan's phases as mechanisms for the accountant."""
    return tuple(
        GaussianCost(
            sigma2=p.sigma2,
            count=p.marginals,
            sensitivity=rows_per_person * p.bound,
            cells=p.cells if p.bound > 1 else None,
        )
        for p in phases
    )


def check_budget(plan: Plan) -> float:
    """Return what the plan really costs; raise InvalidPlan when it is above its epsilon.

    A plan is a file that anyone can edit, so its noise is not taken on trust.
    """
    costs = phase_costs(plan.phases, plan.privacy.rows_per_person)
    epsilon = pld_epsilon(costs, plan.privacy.delta)
    if epsilon > plan.privacy.epsilon:
        raise InvalidPlan(
            f"plan {plan.id} states epsilon {plan.privacy.epsilon:g} but its noise gives "
            f"{epsilon:.4g}",
            hint="make the plan again with 'silosynth plan new'",
        )
    return epsilon
