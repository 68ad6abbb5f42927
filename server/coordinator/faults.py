"""Errors that end a run or a silo's part in it, by the name of the silo."""

from __future__ import annotations

from silosynth.common.errors import DeadlineExceeded, PlanRefused, SilosynthError
from silosynth.common.messages import Verdict
from silosynth.common.plan import Plan


def undecided(plan: Plan, silo: str) -> DeadlineExceeded:
    """Return the error that names a silo whose people have not decided in time."""
    return DeadlineExceeded(
        f"silo {silo} did not approve plan {plan.id} within {plan.approval_seconds} s",
        hint="ask its operator, then resume the run; nothing is spent",
    )


def refused(verdict: Verdict) -> PlanRefused:
    """Return the error for a plan that a silo refused, in the silo's public words."""
    why = verdict.message or "no reason was given"
    return PlanRefused(f"silo {verdict.silo}: {why}", hint=verdict.hint)


def named(error: SilosynthError, silo: str) -> SilosynthError:
    """Return ``error`` with the name of the silo that it is about."""
    return type(error)(f"silo {silo}: {error.message}", hint=error.hint)
