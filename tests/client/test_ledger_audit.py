"""A ledger's audit says what the ledger holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import verify_audit
from silosynth.common.entries import Scope, ScopeKind, Verdict
from silosynth.common.errors import OutputExists

PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")


def test_an_exported_audit_holds_the_whole_chain(tmp_path: Path) -> None:
    path, audit = tmp_path / "ledger.sqlite", tmp_path / "audit.jsonl"
    Ledger.create(path)
    with Ledger.open(path, caps={PROJECT: 40}) as ledger:
        ledger.charge("r1", "h", cost_units=10, facts={"plan": "sha256:aa"})
        ledger.store("r1", b"the bytes that left")
        ledger.charge("r2", "h", cost_units=10)
        ledger.wait("p2", b"sealed")
        ledger.decide("p1", Verdict.REFUSED, why="no", by="b")
        written = ledger.export_audit(audit)
        summary = verify_audit(audit.read_bytes())
        assert written == audit.read_bytes() == ledger.audit()
        assert summary.account == ledger.verify()
        assert summary.head == ledger.head
        with pytest.raises(OutputExists):
            ledger.export_audit(audit)
    assert b"the bytes that left" not in written
    assert (summary.charges, summary.releases, summary.unanswered) == (2, 1, 1)
