"""Epochs of a series that a person approved once: when each may be asked, and who pays for it.

A coordinator chooses when it asks, what it calls an epoch and what it says that earlier ones cost.
Each is held here against the silo's own ledger and clock, before anything is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta

from silosynth.client.ledger import Ledger
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import BudgetExceeded, PlanRefused, RequestConflict
from silosynth.common.plan import Plan, Series, check_series, plan_units

MOST_BACK = timedelta(days=1)
"""How far a clock may lie behind the newest entry: a day is what an epoch is due by."""


def permit_series(plan: Plan) -> None:
    """Raise a SilosynthError unless a plan of a series is one epoch, within its caps."""
    if plan.series is None:
        return
    if plan.series.epoch is None:
        raise PlanRefused(
            f"plan {plan.id} is the template of a series, and no epoch of it",
            hint="make an epoch's plan with 'silosynth series next'",
        )
    check_series(plan)


def series_caps(plan: Plan) -> Mapping[Scope, int]:
    """Return the budgets of a series and of its epoch, beside those of the policy; mostly none."""
    if plan.series is None:
        return {}
    return {
        series_scope(plan): plan.series.lifetime_units,
        epoch_scope(plan, plan.series.epoch or 0): plan.series.epoch_units,
    }


def series_scope(plan: Plan) -> Scope:
    """Return whose budget all epochs of a plan's series add up in."""
    return Scope(kind=ScopeKind.SERIES, name=plan.decided)


def epoch_scope(plan: Plan, epoch: int) -> Scope:
    """Return whose budget one epoch of a plan's series is charged to."""
    return Scope(kind=ScopeKind.EPOCH, name=f"{plan.decided}/{epoch}")


def series_facts(plan: Plan) -> dict[str, int]:
    """Return what an epoch's plan states of those before it, for the ledger to hold it to."""
    if plan.series is None:
        return {}
    return {"epoch": plan.series.epoch or 0, "before_units": plan.series.before_units or 0}


def check_not_lost(plan: Plan, *, ledger: Ledger) -> None:
    """Raise PlanRefused for a series that may have been answered by a ledger that was lost.

    Its epochs begin on its first day at the earliest, so none of a later series was.
    """
    series, recovered = plan.series, ledger.recovered() if plan.series else None
    if series is not None and recovered is not None and series.due(1) <= recovered.date():
        raise PlanRefused(
            f"series {series.name} began before this silo's ledger was put back on "
            f"{recovered:%Y-%m-%d}, and what its epochs cost is not known",
            hint="the series has ended: have a new one approved, with a later first day",
        )


def check_epoch(plan: Plan, *, ledger: Ledger) -> None:
    """Raise a SilosynthError unless an epoch may be asked now, by this ledger and this clock.

    Guarantees: epochs are answered in order, each under one plan, none before its day, and only
    where what the plan says that earlier ones cost is no less than what this ledger has. Once an
    epoch was begun it goes on, whatever the clock says.
    """
    series = plan.series
    if series is None or series.epoch is None:
        return
    begun = ledger.epoch_plan(epoch_scope(plan, series.epoch))
    if begun == plan.digest:
        return
    if begun is not None:
        raise RequestConflict(
            f"epoch {series.epoch} of series {series.name} was answered under another plan",
            hint="an epoch is answered once; ask for the next one",
        )
    _check_order(plan, series, ledger=ledger)
    _check_clock(series, ledger=ledger)
    _check_spent(plan, series, ledger=ledger)


def _check_order(plan: Plan, series: Series, *, ledger: Ledger) -> None:
    """Raise RequestConflict where a later epoch was answered."""
    later = ledger.later_epoch(epoch_scope(plan, series.epoch or 0))
    if later is not None:
        raise RequestConflict(
            f"epoch {series.epoch} of series {series.name} was passed over: epoch {later} was "
            "answered",
            hint="epochs are asked in order; ask for the next one",
        )


def _check_clock(series: Series, *, ledger: Ledger) -> None:
    """Raise PlanRefused before an epoch's day, and where the clock went back."""
    now, newest = ledger.now(), ledger.newest()
    if now < newest - MOST_BACK:
        raise PlanRefused(
            f"this silo's clock says {now:%Y-%m-%d}, and its ledger was written on "
            f"{newest:%Y-%m-%d}",
            hint="have the silo's operator set the clock; no epoch is begun before",
        )
    due = series.due(series.epoch or 1)
    if now.astimezone(UTC).date() < due:
        raise PlanRefused(
            f"epoch {series.epoch} of series {series.name} is due on {due}, and this silo's clock "
            f"says {now:%Y-%m-%d}",
            hint="ask on that day",
        )


def _check_spent(plan: Plan, series: Series, *, ledger: Ledger) -> None:
    """Raise where earlier epochs cost more here than the plan says, or too little is left."""
    spent = ledger.spent(series_scope(plan))
    if spent > (series.before_units or 0):
        raise PlanRefused(
            f"plan {plan.id} states {(series.before_units or 0) / RHO_UNIT:.6g} of zCDP rho for "
            f"the epochs before it; they cost {spent / RHO_UNIT:.6g} here",
            hint="make it with 'silosynth series next', beside all runs of the series",
        )
    if spent + plan_units(plan) > series.lifetime_units:
        raise BudgetExceeded(
            f"plan {plan.id} costs more than series {series.name} has left",
            hint="the series has ended: have a new one approved",
        )
