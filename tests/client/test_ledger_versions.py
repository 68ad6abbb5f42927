"""A ledger of every version before opens, and what it recorded is worth no more than it says."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from silosynth.client.ledger.file import FILE_VERSION
from silosynth.client.ledger.ledger import Ledger
from silosynth.common.accounting.zcdp import ORDER_UNIT
from silosynth.common.audit.audit import verify_audit
from silosynth.common.audit.entries import Cap, Scope, ScopeKind, Verdict

WRITTEN = Path(__file__).with_name("ledgers") / "version-3.sql"
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {PROJECT: 40, Scope(kind=ScopeKind.CONSUMER, name="hub"): 40}


def written(path: Path) -> Path:
    """Make a ledger as version 3 wrote it."""
    connection = sqlite3.connect(path)
    connection.executescript(WRITTEN.read_text())
    connection.close()
    return path


def emptied(path: Path, version: int) -> Path:
    """Make a ledger of version 1 or 2, with a release and without decisions."""
    Ledger.create(path)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r", "h", cost_units=5)
        ledger.store("r", b"noised")
    connection = sqlite3.connect(path)
    for table in ("orders", "claims", "words", "decisions", "waiting", "former", "lost"):
        connection.execute(f"DROP TABLE {table}")
    if version == 1:
        connection.execute("DROP INDEX entries_by_head")
    else:
        connection.execute(
            "CREATE TABLE decisions (plan TEXT PRIMARY KEY, "
            "decided INTEGER NOT NULL UNIQUE REFERENCES entries (sequence)) STRICT"
        )
        connection.execute(
            "CREATE TABLE waiting (place INTEGER PRIMARY KEY, plan TEXT NOT NULL UNIQUE, "
            "at TEXT NOT NULL, sha256 TEXT NOT NULL, content BLOB NOT NULL) STRICT"
        )
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_without_decisions_is_taken_over(tmp_path: Path, version: int) -> None:
    path = emptied(tmp_path / "ledger.sqlite", version)
    for _ in range(2):
        with Ledger.open(
            path, caps=CAPS | {PROJECT: Cap(units=40, order=6 * ORDER_UNIT)}
        ) as ledger:
            assert ledger.charge("r", "h", cost_units=5) == b"noised"
            assert ledger.order(PROJECT) == 6 * ORDER_UNIT
            ledger.decide("p", Verdict.APPROVED, signer="hub", why="w", by="b")


def test_decisions_of_version_3_are_kept_and_name_no_signer(tmp_path: Path) -> None:
    path = written(tmp_path / "ledger.sqlite")
    for _ in range(2):
        with Ledger.open(path, caps=CAPS) as ledger:
            assert ledger.charge("r", "h", cost_units=5, scopes=CAPS) == b"noised"
            for plan, verdict in (("p1", "approved"), ("p2", "refused"), ("p4", "approved")):
                decision = ledger.decision(plan, signer="whoever")
                assert decision is not None
                assert (decision.verdict, decision.signer, decision.authority) == (
                    verdict,
                    None,
                    None,
                )
                assert (ledger.owner(plan), ledger.decided(plan)) == (None, ())
            (waiting,) = ledger.pending()
            assert (waiting.plan, waiting.signer) == (b"sealed three", None)
            assert verify_audit(ledger.audit()).account == ledger.verify()
    version = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()
    assert version == (FILE_VERSION,)


def test_a_plan_that_waited_in_version_3_is_decided_about(tmp_path: Path) -> None:
    with Ledger.open(written(tmp_path / "ledger.sqlite"), caps=CAPS) as ledger:
        ledger.wait("p3", b"sealed three", signer="hub")
        assert [w.signer for w in ledger.pending()] == ["hub"], "it came again, and stands once"
        ledger.decide("p3", Verdict.APPROVED, signer="hub", why="w", by="b")
        assert ledger.pending() == ()
        assert ledger.owner("p3") == "hub"


def test_a_newer_decision_goes_before_one_of_version_3(tmp_path: Path) -> None:
    with Ledger.open(written(tmp_path / "ledger.sqlite"), caps=CAPS) as ledger:
        ledger.decide("p2", Verdict.APPROVED, signer="hub", why="w", by="b")
        mine, other = (ledger.decision("p2", signer=s) for s in ("hub", "rogue"))
        assert mine is not None
        assert mine.verdict is Verdict.APPROVED
        assert other is not None
        assert other.verdict is Verdict.REFUSED
