"""A ledger that was lost ends the series that had begun: nobody knows what their epochs cost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from silosynth.client.silo import Basis, Silo, find, ledger_path, write_recovery
from silosynth.client.silo.recover import recover
from silosynth.common.audit import Verdict
from silosynth.common.messages import Answer, Refusal, Release
from silosynth.common.plan import Plan, plan_units
from tests.support.gateways.series import at, epoch
from tests.support.gateways.signed import Federation


def since(federation: Federation, number: int, *, first: str = "2030-01-01") -> Plan:
    """Return the plan of an epoch of four, of which a person may pay for two."""
    units = plan_units(federation.plan(epsilon=0.3))
    series = {"name": f"since-{first}", "first": first, "days": 1, "lifetime_units": 2 * units}
    return epoch(federation, number, before=min(number - 1, 1) * units, series=series)


def ask(federation: Federation, silo: Silo, plan: Plan) -> Release | Refusal:
    """Propose an epoch, and ask its one phase."""
    silo.gateway.propose(plan=federation.sealed(plan))
    return federation.ask(silo, plan)


@pytest.mark.parametrize("approved", [True, False], ids=["after approval", "before it"])
def test_a_series_that_began_before_a_recovery_is_over(tmp_path: Path, *, approved: bool) -> None:
    federation = Federation(directory=tmp_path)
    ledger, backup = ledger_path(federation.policy), tmp_path / "noon.sqlite"
    one, two, three = (since(federation, n) for n in (1, 2, 3))
    with federation.open() as silo:
        at(silo, "2030-01-05")
        if approved:
            federation.decide(silo, one, Verdict.APPROVED)
            assert isinstance(ask(federation, silo, one), Release)
    shutil.copy(ledger, backup)
    with federation.open() as silo:
        at(silo, "2030-01-06")
        federation.decide(silo, one, Verdict.APPROVED)
        assert isinstance(ask(federation, silo, one), Release)
        assert isinstance(ask(federation, silo, two), Release)
    ledger.unlink()
    found = find(key=federation.north.public, copies=[backup], audits=[], receipts=[])
    when = "2030-01-07T00:00:00+00:00"
    write_recovery(recover(federation.policy, found, basis=Basis.PLANS, by="anna", at=when))
    with federation.open() as silo:
        at(silo, "2030-02-01")
        federation.decide(silo, one, Verdict.APPROVED)
        # Both epochs that a person may lose are spent; the copy knows of one or none.
        for plan in (one, two, three):
            answer = ask(federation, silo, plan)
            assert isinstance(answer, Refusal), answer
            assert "began before this silo's ledger was put back on 2030-01-07" in answer.message
            verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
            assert verdict.answer is Answer.REFUSED
        fresh = since(federation, 1, first="2030-01-08")
        federation.decide(silo, fresh, Verdict.APPROVED)
        assert isinstance(ask(federation, silo, fresh), Release)
