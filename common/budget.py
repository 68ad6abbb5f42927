"""What a plan costs a silo, worked out from its noise and not from what it states."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.cost import GaussianCost, rho_units
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Phase, Plan, phase_rho
from silosynth.common.privacy import pld_epsilon


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


def plan_units(plan: Plan) -> int:
    """Return the most that a plan charges a silo, in ledger units, rounded up phase by phase."""
    return sum(rho_units(phase_rho(p, plan.privacy.rows_per_person)) for p in plan.phases)
