"""What a silo permits: limits that hold for every request, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from silosynth.common.errors import CapExceeded, InvalidPlan, Refused
from silosynth.common.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits on size, and what the silo knows about persons and rows.

    ``rows_per_person`` is the silo's own word on how many rows one person may have; a plan that
    assumes fewer would promise too much and is refused.
    """

    rows_per_person: int = 1
    max_cells_per_marginal: int = 5_000_000
    max_cells_per_request: int = 50_000_000
    max_marginals: int = 10_000
    max_attributes: int = 256
    max_message_bytes: int = 64_000_000

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise InvalidPlan(f"policy: {name} must be at least 1")


def check_message(policy: Policy, *messages: bytes) -> None:
    """Raise CapExceeded when a message is larger than the policy allows."""
    if sum(len(m) for m in messages) > policy.max_message_bytes:
        raise CapExceeded(f"a message of over {policy.max_message_bytes} bytes was sent")


def check_request(policy: Policy, *, plan: Plan, cells: Sequence[int], attributes: int) -> None:
    """Raise CapExceeded or Refused when a request goes beyond the policy."""
    if plan.privacy.rows_per_person < policy.rows_per_person:
        raise Refused(
            f"plan {plan.id} assumes {plan.privacy.rows_per_person} rows a person; "
            f"this silo has up to {policy.rows_per_person}",
            hint="make the plan with --rows-per-person",
        )
    limits = (
        ("attributes", attributes, policy.max_attributes),
        ("marginals", len(cells), policy.max_marginals),
        ("cells in one marginal", max(cells), policy.max_cells_per_marginal),
        ("cells in one request", sum(cells), policy.max_cells_per_request),
    )
    for what, asked, limit in limits:
        if asked > limit:
            raise CapExceeded(f"{asked} {what} were asked for; this silo allows {limit}")
