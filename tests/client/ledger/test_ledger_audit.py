"""A ledger's audit says what the ledger holds."""

from __future__ import annotations

from pathlib import Path

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind, Verdict, verify_audit

HUB = "ed25519:hub"
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")


def test_an_audit_holds_the_whole_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path)
    with Ledger.open(path, caps={PROJECT: 40}) as ledger:
        ledger.charge("r1", "h", cost_units=10, facts={"plan": "sha256:aa"})
        ledger.store("r1", b"the bytes that left")
        ledger.charge("r2", "h", cost_units=10)
        ledger.wait("p2", b"sealed", signer=HUB)
        ledger.decide("p1", Verdict.REFUSED, signer=HUB, why="no", by="b")
        audit = ledger.audit()
        summary = verify_audit(audit)
        assert summary.account == ledger.verify()
        assert summary.head == ledger.head
    assert b"the bytes that left" not in audit
    assert (summary.charges, summary.releases, summary.unanswered) == (2, 1, 1)
