"""What a plan says beside budget and method: whose table, who pays, how long people may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import Plan, parse_plan

_TIME = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFlags:
    """What the command line says of the terms of a plan."""

    dataset: Annotated[str | None, "The silos' name for their table; 'default' without it."] = None
    project: Annotated[str | None, "The project whose budget pays; 'default' without it."] = None
    deadline: Annotated[
        str | None, "How long a silo may take to answer a phase, such as 90s or 2h."
    ] = None
    approval: Annotated[
        str | None, "How long silos' people may take to approve, such as 12h or 30d."
    ] = None

    def apply(self, plan: Plan) -> Plan:
        """Return the plan with these terms; raise InvalidPlan or InvalidArgument for a bad one."""
        stated: dict[str, str | int | None] = {
            "dataset": self.dataset,
            "project": self.project,
            "deadline_seconds": _seconds(self.deadline, "--deadline"),
            "approval_seconds": _seconds(self.approval, "--approval"),
        }
        given = {name: value for name, value in stated.items() if value is not None}
        return parse_plan(plan.model_dump(mode="json") | given) if given else plan


def _seconds(text: str | None, option: str) -> int | None:
    """Return a time in seconds; raise InvalidArgument for a text that is none."""
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(
            f"{option} {text!r} is no time", hint="give a whole number and s, m, h or d: 90s, 30d"
        )
    return int(found[1]) * _SECONDS[found[2] or "s"]
