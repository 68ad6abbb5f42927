"""What a plan costs a silo, worked out from its noise and not from what it states."""

from __future__ import annotations

from silosynth.common.accounting import pld_epsilon
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.plan.cost import plan_costs
from silosynth.common.plan.plan import Plan

MOST_EPSILON, MOST_DELTA = 100.0, 0.01


def check_promise(*, epsilon: float, delta: float) -> None:
    """Raise InvalidArgument for a budget that would promise nothing, before anything is planned."""
    if not 0 < epsilon <= MOST_EPSILON:
        raise InvalidArgument(
            f"epsilon {epsilon:g} is not between 0 and {MOST_EPSILON:g}",
            hint="above 10 it promises next to nothing; 1 is a common choice",
        )
    if not 0 < delta <= MOST_DELTA:
        raise InvalidArgument(
            f"delta {delta:g} is not between 0 and {MOST_DELTA:g}",
            hint="it is the chance that a person is published whole; 1e-6 is a common choice",
        )


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
