"""Hold a plan against the rules of every region, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from silosynth.common.errors import InvalidArgument, PlanRefused
from silosynth.common.plan import Plan, fewest_in_sum
from silosynth.simulations.world.permits import Rules
from silosynth.simulations.world.scenario import Scenario


def match_plan(scenario: Scenario, plan: Plan) -> None:
    """Raise InvalidArgument unless scenario and plan speak of the same silos, without keys."""
    if plan.roster:
        raise InvalidArgument(
            f"plan {plan.id} has a roster of real keys",
            hint="a scenario makes keys of its own: leave --roster out of 'plan new'",
        )
    homes = scenario.homes()
    if unknown := [s for s in homes if s not in plan.silo_names]:
        raise InvalidArgument(
            f"scenario {scenario.name} has silo {unknown[0]!r}, which is not in plan {plan.id}",
            hint="name the plan's silos in the scenario, each in one region",
        )
    if homeless := [s for s in plan.silos if s not in homes]:
        raise InvalidArgument(
            f"silo {homeless[0]!r} of plan {plan.id} stands in no region of {scenario.name}",
            hint="name it in a region",
        )


def check_rules(scenario: Scenario, plan: Plan) -> None:
    """Raise PlanRefused, with region and rule, for the first rule that a plan breaks."""
    homes = scenario.homes()
    for region in dict.fromkeys(homes[s] for s in plan.silos):
        rules = scenario.regions[region].rules
        for rule, fault in broken(rules, plan):
            raise PlanRefused(
                f"region {region}: rule {rule}: {fault}",
                hint="nothing was spent; make a plan that keeps the rule",
            )


def broken(rules: Rules, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each rule of a region that a plan breaks, and how."""
    privacy = plan.privacy
    if rules.max_epsilon is not None and privacy.epsilon > rules.max_epsilon:
        yield "max_epsilon", f"{rules.max_epsilon:g} at most, and the plan asks {privacy.epsilon:g}"
    if rules.max_delta is not None and privacy.delta > rules.max_delta:
        yield "max_delta", f"{rules.max_delta:g} at most, and the plan asks {privacy.delta:g}"
    if rules.methods is not None and plan.method not in rules.methods:
        allowed = ", ".join(m.value for m in rules.methods)
        yield "methods", f"{allowed} alone, and the plan's is {plan.method.value}"
    if rules.trust is not None and plan.trust not in rules.trust:
        allowed = ", ".join(t.value for t in rules.trust)
        yield "trust", f"{allowed} alone, and the plan's is {plan.trust.value}"
    if rules.only_sums and fewest_in_sum(plan) < 2:
        yield "only_sums", "each silo's own release would leave; the plan needs shared trust"
    if (fewest := fewest_in_sum(plan)) < rules.min_silos_in_sum:
        yield (
            "min_silos_in_sum",
            f"{rules.min_silos_in_sum} at least, and what leaves may be of {fewest}",
        )
    if rules.datasets is not None and plan.dataset not in rules.datasets:
        yield "datasets", f"{', '.join(rules.datasets)} alone, and the plan's is {plan.dataset}"
    if plan.dataset in rules.datasets_apart:
        yield "datasets_apart", f"{plan.dataset} may not join"
