"""Which plans a silo answers, and which of them without asking a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from silosynth.client.policy.approvers import Approvers
from silosynth.common.accounting import units_epsilon
from silosynth.common.errors import PlanRefused
from silosynth.common.plan import (
    Method,
    Plan,
    alone_costs,
    alone_units,
    plan_costs,
    plan_units,
    sampled_epsilon,
)
from silosynth.common.trust import PublicKey, SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloIdentity:
    """The key that signs what leaves, and the coordinators whose plans are read at all.

    ``former`` are keys that the silo had before: what they signed binds it still.
    """

    key: SigningKey
    coordinators: Mapping[PublicKey, str]
    former: Collection[PublicKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which plans are automatic; every other one waits for a person.

    ``max_alone_epsilon`` is what a silo's share of shared noise may cost if the masks failed;
    ``max_epsilon`` where it is not stated.
    Empty ``projects`` or ``coordinators`` mean any that the policy names.
    """

    automatic: bool = False
    max_epsilon: float | None = None
    max_alone_epsilon: float | None = None
    max_delta: float | None = None
    methods: Collection[Method] = ()
    projects: Collection[str] = ()
    coordinators: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rosters that a silo pins, by project, what it approves by itself, and who else may.

    ``versions`` are those of the rosters, 0 where none is stated. A change of a roster is approved
    without a person here once the persons of ``vouchers`` other silos approved it; None: never.
    """

    rosters: Mapping[str, Mapping[str, PublicKey]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    vouchers: int | None = None
    approval: Approval = field(default_factory=Approval)
    approvers: Approvers = field(default_factory=Approvers)


def check_roster(pinned: Mapping[str, PublicKey] | None, plan: Plan, *, silo: str) -> None:
    """Raise PlanRefused unless the plan's project has a roster and every key is pinned there."""
    if pinned is None:
        raise PlanRefused(
            f"project {plan.project!r} is not in this silo's policy",
            hint="ask the silo's operator to add it, or correct the plan's project",
        )
    if not plan.roster:
        raise PlanRefused(
            f"plan {plan.id} has no roster", hint="a signed plan states each silo's public key"
        )
    if plan.roster == pinned:
        return
    for name, key in sorted(plan.roster.items()):
        if pinned.get(name) != key:
            raise PlanRefused(
                f"plan {plan.id} names a key of silo {name!r} that silo {silo!r} has not pinned",
                hint="see 'silosynth silo pending' for a change of the roster that waits, and "
                "'silosynth silo roster'",
            )


def needs_person(rules: Rules, plan: Plan, *, consumer: str) -> str | None:
    """Say why a plan has to wait for a person; None when the policy approves it by itself.

    The epsilon compared is the ledger's, from the zCDP cost of the plan's noise at the plan's
    delta, and not the one that the plan states. With shared noise both count: that of the sum, and
    that of the silo's share standing alone, which a policy accepts in a number of its own or as if
    it were the sum's.
    """
    approval = rules.approval
    if plan.series is not None:
        return f"a series of {plan.series.epochs} epochs waits for a person"
    if not approval.automatic or approval.max_epsilon is None or approval.max_delta is None:
        return "this silo's policy approves no plan by itself"
    if plan.method not in approval.methods:
        return f"method {plan.method.value} is not automatic here"
    if approval.projects and plan.project not in approval.projects:
        return f"project {plan.project!r} is not automatic here"
    if approval.coordinators and consumer not in approval.coordinators:
        return f"coordinator {consumer!r} is not automatic here"
    if plan.privacy.delta > approval.max_delta:
        return f"delta {plan.privacy.delta:g} is above {approval.max_delta:g}"
    epsilon, alone = ledger_epsilon(plan), alone_epsilon(plan)
    if epsilon > approval.max_epsilon:
        return f"epsilon {epsilon:.4g} (zCDP conversion) is above {approval.max_epsilon:g}"
    limit = approval.max_alone_epsilon or approval.max_epsilon
    if plan.masked and alone > limit:
        return (
            f"epsilon {alone:.4g} (zCDP conversion) of the silo's share standing alone is above "
            f"{limit:g}"
        )
    return None


def alone_epsilon(plan: Plan) -> float:
    """Return the epsilon of a plan if nobody else's noise protected the silo."""
    if plan.chosen.samples_persons:
        return sampled_epsilon(alone_costs(plan), plan.privacy.delta)
    return units_epsilon(alone_units(plan), plan.privacy.delta)


def ledger_epsilon(plan: Plan) -> float:
    """Return the epsilon of a plan as the ledger adds it up, at the plan's delta."""
    if plan.chosen.samples_persons:
        return sampled_epsilon(plan_costs(plan), plan.privacy.delta)
    return units_epsilon(plan_units(plan), plan.privacy.delta)
