"""The template of a series, and the plan of each of its epochs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from silosynth.common.accounting import budget_units, rounded_up, units_epsilon
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.plan import Plan, check_series, parse_plan, plan_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """How often, how many times, and from which day on."""

    epochs: int
    days: int
    first: date


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRun:
    """A run of an epoch, and the most that it cost a person in one silo, in ledger units."""

    plan: Plan
    units: int


def new_series(
    plan: Plan,
    *,
    name: str,
    calendar: Calendar,
    epoch_epsilon: float | None = None,
    lifetime_epsilon: float | None = None,
) -> Plan:
    """Return the template of a series whose epochs are all like ``plan``.

    Args: epoch_epsilon: cap of one epoch; what the plan costs by default. lifetime_epsilon: cap of
        all of them for a person who stays; as many epochs as there are by default.

    Guarantees: no cap, shown as the epsilon of its ledger units, is above what was asked for.

    Raises InvalidPlan for caps below one epoch, and for a plan that no series can have.
    """
    if plan.series is not None:
        raise InvalidPlan(f"plan {plan.id} is of a series already", hint="make a new one")
    delta, units = plan.privacy.delta, plan_units(plan)
    cap = units if epoch_epsilon is None else budget_units(epsilon=epoch_epsilon, delta=delta)
    _check_cap(units, cap=cap, delta=delta, what="an epoch")
    ever = calendar.epochs * cap
    if lifetime_epsilon is not None:
        ever = budget_units(epsilon=lifetime_epsilon, delta=delta)
        _check_cap(units, cap=ever, delta=delta, what="all epochs")
    series = {
        "name": name,
        "epochs": calendar.epochs,
        "first": calendar.first.isoformat(),
        "days": calendar.days,
        "epoch_units": cap,
        "lifetime_units": ever,
    }
    template = parse_plan(plan.model_dump(mode="json") | {"id": name, "series": series})
    check_series(template)
    return template


def next_epoch(template: Plan, runs: Iterable[EpochRun], *, epoch: int | None = None) -> Plan:
    """Return the plan of an epoch: the one after the last that was begun, by default.

    Args: runs: those of this coordinator, of this series or any other.

    Raises InvalidArgument for a plan that is no template, for an epoch that was begun or passed
    over, and where a run of the series has another template; InvalidPlan when it has ended.
    """
    series = template.series
    if series is None or series.epoch is not None:
        raise InvalidArgument(
            f"plan {template.id} is no template of a series",
            hint="make one with 'silosynth series new'",
        )
    mine = [r for r in runs if r.plan.series is not None and r.plan.series.name == series.name]
    if other := next((r for r in mine if r.plan.decided != template.decided), None):
        raise InvalidArgument(
            f"epoch {other.plan.id} was begun with another template of series {series.name}",
            hint="leave the template as it was, or begin a series of another name",
        )
    last = max((r.plan.series.epoch or 0 for r in mine if r.plan.series), default=0)
    wanted = last + 1 if epoch is None else epoch
    if wanted <= last:
        raise InvalidArgument(
            f"epoch {wanted} of series {series.name} is past: epoch {last} was begun",
            hint="resume its run, or leave --epoch out",
        )
    if wanted > series.epochs:
        raise InvalidPlan(
            f"series {series.name} has {series.epochs} epochs, and all were begun",
            hint="have a new one approved",
        )
    stated = series.model_dump(mode="json", exclude_none=True)
    stated |= {"epoch": wanted, "before_units": sum(r.units for r in mine)}
    identifier = f"{series.name}-{wanted:03d}"
    plan = parse_plan(template.model_dump(mode="json") | {"id": identifier, "series": stated})
    check_series(plan)
    return plan


def _check_cap(units: int, *, cap: int, delta: float, what: str) -> None:
    """Raise InvalidPlan for a cap that one epoch does not fit into.

    Caps are of what the ledger adds up; by that conversion a plan costs a little more than its own
    epsilon, which is by the distribution of its loss.
    """
    if units > cap:
        raise InvalidPlan(
            f"the cap of {what} is epsilon {rounded_up(units_epsilon(cap, delta))}, and one epoch "
            f"costs {rounded_up(units_epsilon(units, delta))} by the ledger's conversion",
            hint="raise the cap, or plan with more noise",
        )
