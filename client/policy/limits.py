"""What a silo permits: limits that hold for every plan and request, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from silosynth.common.domain import Domain
from silosynth.common.errors import CapExceeded, InvalidPlan, PlanRefused, Refused
from silosynth.common.generator import OWN_EMBEDDINGS, short
from silosynth.common.messages import most_step_bytes
from silosynth.common.plan import WEIGHT_BYTES, Plan, fewest_in_sum

MAX_PLAN_BYTES = 1_000_000
_MOST_SPELLED = 10**18
_LEVELS = 8
_BYTES_PER_CODE = 8
_BYTES_PER_QUERY = 1024
_ESCAPED = 6
_BYTES_PER_POINT = 17
"""Of a point up to 2^48 and its comma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits on size, and what the silo knows about persons and rows.

    ``rows_per_person`` is how many rows one person may have at most: the silo's own word where
    rows are not bounded by the gateway, and the most that it ever counts where they are.
    ``embeddings``: those by which rows may vote, and no other.
    ``silos_in_sum``: whatever leaves is a sum over the rows of so many silos at least.
    """

    rows_per_person: int = 1
    silos_in_sum: int = 1
    max_cells_per_marginal: int = 5_000_000
    max_cells_per_request: int = 50_000_000
    max_marginals: int = 150_000
    max_attributes: int = 600
    max_message_bytes: int = 64_000_000
    embeddings: frozenset[str] = OWN_EMBEDDINGS

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            limit = getattr(self, name)
            if isinstance(limit, int) and limit < 1:
                raise InvalidPlan(f"policy: {name} must be at least 1")


def check_size(size: int, limit: int) -> None:
    """Raise CapExceeded when a message of ``size`` bytes is above ``limit``."""
    if size > limit:
        raise CapExceeded(f"a message of over {limit} bytes was sent")


def request_limit(policy: Policy, *, plan: Plan, domain: Domain) -> int:
    """Return the most bytes that a request of ``plan`` can need, so that no more are parsed.

    Every level may list the group of every code once, a query names its attributes, bins and
    leaves begin at points, and every class has a central image.
    """
    names = sum(len(a) for a in domain.attributes)
    levels = _LEVELS * (sum(domain.shape) * _BYTES_PER_CODE + 8 * names)
    marginals = min(policy.max_marginals, max(p.marginals for p in plan.phases))
    queries = marginals * min(_BYTES_PER_QUERY + 8 * names, policy.max_message_bytes)
    proof = most_step_bytes(plan) * 2 if plan.masked else 0
    binned = bool(plan.values) or plan.renews is not None
    points = (sum(domain.shape) + plan.closer_leaves) * _BYTES_PER_POINT if binned else 0
    points += plan.central.centre_bytes(domain) if plan.central is not None else 0
    weights = WEIGHT_BYTES * plan.phases[-1].cells if plan.training is not None else 0
    rest = proof + points + weights + _bytes_of_candidates(plan)
    return min(policy.max_message_bytes, 100_000 + levels + queries + rest)


def _bytes_of_candidates(plan: Plan) -> int:
    """Return the most that a round's candidates take as JSON, where every character is escaped."""
    votes = plan.votes
    return 0 if votes is None else votes.candidates * (_ESCAPED * votes.max_bytes + 8)


def check_embedding(policy: Policy, *, plan: Plan) -> None:
    """Raise PlanRefused where rows would vote by other bytes than the policy names."""
    votes = plan.votes
    if votes is not None and votes.embedding not in policy.embeddings:
        named = " and ".join(map(short, sorted(policy.embeddings)))
        raise PlanRefused(
            f"plan {plan.id} counts votes by embedding {short(votes.embedding)}, and this silo's "
            f"policy names {named}",
            hint="make the plan with the silosynth, or the folder, that the silos have, or have "
            "the policy changed",
        )


def check_plan_size(policy: Policy, *, plan: Plan, attributes: int) -> None:
    """Raise CapExceeded or Refused when all of a plan goes beyond the policy."""
    _check_limits(
        ("attributes", attributes, policy.max_attributes),
        ("marginals", sum(p.marginals for p in plan.phases), policy.max_marginals),
        ("cells in one plan", sum(p.cells for p in plan.phases), policy.max_cells_per_request),
    )


def check_rows(policy: Policy, *, plan: Plan) -> None:
    """Raise Refused when a plan assumes fewer rows a person than the silo's operator states."""
    if plan.privacy.rows_per_person < policy.rows_per_person:
        raise Refused(
            f"plan {plan.id} assumes {plan.privacy.rows_per_person} rows a person; "
            f"this silo has up to {policy.rows_per_person}",
            hint="make the plan with --rows-per-person",
        )


def check_company(policy: Policy, *, plan: Plan) -> None:
    """Raise Refused when something of fewer silos' rows may leave than the policy asks for."""
    fewest = fewest_in_sum(plan)
    if fewest < policy.silos_in_sum:
        raise Refused(
            f"what leaves under plan {plan.id} may be a sum over {fewest} "
            f"silo{'s' * (fewest > 1)}; "
            f"this silo's rows leave in sums over {policy.silos_in_sum} at least",
            hint="make the plan with --trust shared, and with silos enough beside those that it "
            "spares and those that lack columns",
        )


def check_request(policy: Policy, *, cells: Sequence[int], attributes: int) -> None:
    """Raise CapExceeded when a request goes beyond the policy."""
    _check_limits(
        ("attributes", attributes, policy.max_attributes),
        ("marginals", len(cells), policy.max_marginals),
        ("cells in one marginal", max(cells), policy.max_cells_per_marginal),
        ("cells in one request", sum(cells), policy.max_cells_per_request),
    )


def _check_limits(*limits: tuple[str, int, int]) -> None:
    """Raise CapExceeded for the first of (what, asked, limit) that is above its limit."""
    for what, asked, limit in limits:
        if asked > limit:
            number = str(asked) if asked <= _MOST_SPELLED else "more than 10^18"
            raise CapExceeded(f"{number} {what} were asked for; this silo allows {limit}")
