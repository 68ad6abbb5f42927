"""What of a scenario can never happen to a plan: it is said, and the rest happens."""

from __future__ import annotations

from collections.abc import Iterator

from silosynth.common.plan import Plan
from silosynth.simulations.world.faults import CoordinatorCrash, Fault, Loss, Point
from silosynth.simulations.world.scenario import Lie, Scenario


def idle(scenario: Scenario, plan: Plan) -> Iterator[str]:
    """Yield a line for each fault that never happens to a plan, with why.

    A scenario may be for several plans, so these are no errors; but a run that is calm because of
    one should not pass for one that withstood it.
    """
    for number, fault in enumerate(scenario.faults):
        if why := _why(fault, plan):
            yield f"faults: {number}: this {fault.kind} never happens: {why}"
    for silo, one in scenario.silos.items():
        if one.lie is Lie.NO_NOISE and not can_be_still(plan):
            method = plan.method.value
            yield f"silos: {silo}: this lie never happens: {method} draws persons as it draws noise"


def can_be_still(plan: Plan) -> bool:
    """Say whether a silo can leave its noise out: not where the same bits choose persons."""
    return not plan.chosen.samples_persons


def _why(fault: Fault, plan: Plan) -> str | None:
    """Return why a fault never happens to a plan; None where it may."""
    if fault.at is Point.SET and not plan.masked:
        return f"plan {plan.id} has its own noise, and only shared noise sets out sums"
    if isinstance(fault, Loss):
        return None
    if fault.phase is not None and fault.phase not in {p.name for p in plan.phases}:
        known = ", ".join(p.name.value for p in plan.phases)
        return f"plan {plan.id} has no phase {fault.phase.value}, but {known}"
    if isinstance(fault, CoordinatorCrash) and fault.answers > len(plan.silos):
        return f"the coordinator never hears {fault.answers} of {len(plan.silos)} silos"
    return None
