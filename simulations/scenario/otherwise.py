"""What a plan's settings bought: the same world again, with one of them otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from silosynth.common.plan import OnAbsent, Plan, parse_plan
from silosynth.simulations.world import SECOND, spell_span

_FACTOR = 4
_MOST_DEADLINE = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """A plan with one setting otherwise: what it was, and what it is instead."""

    setting: str
    value: str
    instead: str
    plan: Plan


def alternatives(plan: Plan) -> Iterator[Otherwise]:
    """Yield a plan with each of its ways with absent silos otherwise, one at a time.

    Deadlines are a quarter and four times as long. With shared noise the silos that may be away
    become none, and attempts one; the noise of a sum stays what the plan says.
    """
    deadline = plan.deadline_seconds
    for seconds in (deadline // _FACTOR, deadline * _FACTOR):
        if 1 <= seconds <= _MOST_DEADLINE:
            words = spell_span(deadline * SECOND), spell_span(seconds * SECOND)
            yield _other(plan, "deadline", *words, deadline_seconds=seconds)
    if plan.masked:
        if plan.absent:
            stop = OnAbsent.STOP.value
            yield _other(plan, "absent", str(plan.absent), "0", absent=0, on_absent=stop)
        if plan.attempts > 1:
            yield _other(plan, "attempts", str(plan.attempts), "1", attempts=1)
        return
    now = plan.on_absent
    other = OnAbsent.CONTINUE if now is OnAbsent.STOP else OnAbsent.STOP
    yield _other(plan, "on_absent", now.value, other.value, on_absent=other.value)


def _other(plan: Plan, setting: str, value: str, instead: str, **fields: object) -> Otherwise:
    """Return a plan with some fields otherwise."""
    changed = parse_plan(plan.model_dump(mode="json") | fields)
    return Otherwise(setting=setting, value=value, instead=instead, plan=changed)


def live_otherwise(
    plan: Plan, *, live: Callable[[Plan], Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Return what comes of a plan with each setting otherwise.

    Args: live: lives through the same world with a plan, and returns the facts of the run.
    """
    return tuple(_facts(other, live(other.plan)) for other in alternatives(plan))


def _facts(other: Otherwise, came: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of one setting's being otherwise."""
    ended = came["ended"] == "completed"
    return {
        "setting": other.setting,
        "value": other.value,
        "instead": other.instead,
        "ended": came["ended"],
        "error": came["error"],
        "virtual_seconds": came["timeline"]["virtual_seconds"],
        "virtual_time": came["timeline"]["virtual_time"],
        "silos": len(came["silos"]) if ended else 0,
        "invariants_held": came["invariants"]["held"],
    }
