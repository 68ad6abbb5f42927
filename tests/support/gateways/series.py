"""Epochs of a series and the day of a silo's clock, for tests of the real gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from silosynth.client.silo import Silo
from silosynth.common.plan import Plan, parse_plan, plan_units
from tests.support.gateways.signed import Federation


def epoch(
    federation: Federation, number: int | None, *, before: int | None = None, **changes: Any
) -> Plan:
    """Return the plan of an epoch whose earlier ones cost ``before``, or all they may."""
    method = changes.get("method", "independent")
    plan = federation.plan(epsilon=changes.pop("epsilon", 0.3), method=method)
    units = plan_units(plan)
    series = {
        "name": "monthly",
        "epochs": 4,
        "first": "2030-01-01",
        "days": 30,
        "epoch_units": units,
        "lifetime_units": 3 * units,
    } | changes.pop("series", {})
    if number is not None:
        stated = (number - 1) * units if before is None else before
        series |= {"epoch": number, "before_units": stated}
    name = series["name"] if number is None else f"{series['name']}-{number:03d}"
    facts = plan.model_dump(mode="json") | {"id": name, "series": series} | changes
    return parse_plan(facts)


def at(silo: Silo, day: str) -> None:
    """Set the clock that the silo's ledger goes by."""
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    silo.ledger._clock = lambda: moment
