"""A ledger that was lost ends the series that had begun: nobody knows what their epochs cost."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.silo import Basis, Silo, find, ledger_path, write_recovery
from silosynth.client.silo.recover import recover
from silosynth.common.audit import Verdict
from silosynth.common.messages import Answer, Refusal, Release
from silosynth.common.plan import Plan, parse_plan, plan_units
from tests.support.gateways.signed import Federation


def epoch(federation: Federation, number: int, *, first: str = "2030-01-01") -> Plan:
    """Return the plan of an epoch of four, of which a person may pay for two."""
    name = f"since-{first}"
    plan = federation.plan(epsilon=0.3)
    units = plan_units(plan)
    series: dict[str, Any] = {"name": name, "epochs": 4, "first": first, "days": 1}
    series |= {"epoch_units": units, "lifetime_units": 2 * units, "epoch": number}
    series |= {"before_units": min(number - 1, 1) * units}
    facts = plan.model_dump(mode="json")
    return parse_plan(facts | {"id": f"{name}-{number:03d}", "series": series})


def at(silo: Silo, day: str) -> None:
    """Set the clock that the silo's ledger goes by."""
    silo.ledger._clock = lambda: datetime.fromisoformat(day).replace(tzinfo=UTC)


def approve(federation: Federation, silo: Silo, plan: Plan) -> None:
    """Have a person approve a series, so that its epochs are answered."""
    signer = federation.hub.public
    silo.ledger.decide(plan.decided, Verdict.APPROVED, signer=signer, why="yes", by="anna")


def ask(federation: Federation, silo: Silo, plan: Plan) -> Release | Refusal:
    """Propose an epoch, and ask its one phase."""
    silo.gateway.propose(plan=federation.sealed(plan))
    request = federation.request(plan)
    return federation.read(silo.gateway.answer(plan=federation.sealed(plan), request=request))


@pytest.mark.parametrize("approved", [True, False], ids=["after approval", "before it"])
def test_a_series_that_began_before_a_recovery_is_over(tmp_path: Path, *, approved: bool) -> None:
    federation = Federation(directory=tmp_path)
    ledger, backup = ledger_path(federation.policy), tmp_path / "noon.sqlite"
    one, two, three = (epoch(federation, n) for n in (1, 2, 3))
    with federation.open() as silo:
        at(silo, "2030-01-05")
        if approved:
            approve(federation, silo, one)
            assert isinstance(ask(federation, silo, one), Release)
    shutil.copy(ledger, backup)
    with federation.open() as silo:
        at(silo, "2030-01-06")
        approve(federation, silo, one)
        assert isinstance(ask(federation, silo, one), Release)
        assert isinstance(ask(federation, silo, two), Release)
    ledger.unlink()
    found = find(key=federation.north.public, copies=[backup], audits=[], receipts=[])
    when = "2030-01-07T00:00:00+00:00"
    write_recovery(recover(federation.policy, found, basis=Basis.PLANS, by="anna", at=when))
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, one)
        # Both epochs that a person may lose are spent; the copy knows of one or none.
        for plan in (one, two, three):
            answer = ask(federation, silo, plan)
            assert isinstance(answer, Refusal), answer
            assert "began before this silo's ledger was put back on 2030-01-07" in answer.message
            verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
            assert verdict.answer is Answer.REFUSED
        fresh = epoch(federation, 1, first="2030-01-08")
        approve(federation, silo, fresh)
        assert isinstance(ask(federation, silo, fresh), Release)
