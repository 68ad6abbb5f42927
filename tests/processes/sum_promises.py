"""What must hold in a silo's memory of a sum, at any death and after the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from silosynth.client.sums import SumStore
from silosynth.client.sums.store import SessionRecord
from silosynth.common.messages.request import request_id
from silosynth.common.plan import PhaseName, Plan, TrustMode
from tests.processes.lab import Lab

if TYPE_CHECKING:
    from tests.processes.cells import Cell

UNSEEN = ("received", "verified")
"""The steps of a question before anything is written for it."""


def request_of(plan: Plan, *, phase: PhaseName, silo: str, session: int = 1) -> str:
    """Return a request's id; in shared trust it names the session."""
    shared = plan.trust is TrustMode.SHARED
    return request_id(plan.digest, phase=phase, silo=silo, session=session if shared else None)


def check_sum_at_death(lab: Lab, plan: Plan, silo: str, *, cell: Cell) -> None:
    """Check what a killed gateway remembers of a sum: all that it said, and no secret too long."""
    what, step = cell.label.split(":")
    record = _load(lab, plan, silo)
    asked = step not in UNSEEN
    if what == "keys":
        assert (record is not None) == asked, f"{cell}: keys at death"
        return
    assert record is not None, f"{cell}: the keys that it sent are lost"
    if what == "set":
        assert (record.vote is not None) == asked, f"{cell}: vote at death"
        assert not record.begun, f"{cell}: the set is final before a request"
        return
    phases = [p.name.value for p in plan.phases]
    assert record.vote is not None, f"{cell}: the vote that it sent is lost"
    assert record.begun == (asked or what != phases[0]), f"{cell}: the set at a charge"
    secret = request_of(plan, phase=PhaseName(what), silo=silo) in record.secrets
    assert secret == (step != "before-send"), f"{cell}: the secret of the masks at death"


def check_secrets_are_gone(lab: Lab, plan: Plan, silo: str) -> None:
    """Check that no secret of a mask outlives the vector that it made."""
    if plan.trust is TrustMode.SHARED:
        record = _load(lab, plan, silo)
        assert record is not None, f"{silo}: the record of the sum is lost"
        assert not record.secrets, f"{silo}: keeps secrets of {sorted(record.secrets)}"


def _load(lab: Lab, plan: Plan, silo: str) -> SessionRecord | None:
    """Return what a silo remembers of a plan's first session."""
    return SumStore(lab.ledger(silo).parent / "sums").load(plan.digest, 1)
