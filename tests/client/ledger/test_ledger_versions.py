"""A ledger of every version before opens, and what it recorded is worth no more than it says."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from silosynth.client.ledger import FILE_VERSION, Ledger, copy_before, file_version
from silosynth.client.silo import ledger_path
from silosynth.common.accounting import ORDER_UNIT
from silosynth.common.audit import Cap, Scope, ScopeKind, Verdict, verify_audit
from silosynth.common.cli.app import run
from silosynth.common.errors import LedgerUnavailable
from tests.support.gateways.signed import Federation

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
    for table in ("orders", "claims", "words", "decisions", "waiting", "former", "lost", "parts"):
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


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_file_is_kept_as_it_was_before_it_is_changed(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite"
    _ = written(path) if version == 3 else emptied(path, version)
    before = path.read_bytes()
    assert file_version(path) == version
    Ledger.open(path, caps=CAPS).close()
    assert file_version(path) == FILE_VERSION
    kept = copy_before(path, version)
    assert kept.read_bytes() == before
    assert kept.stat().st_mode & 0o077 == 0
    kept.unlink()
    Ledger.open(path, caps=CAPS).close()
    assert not kept.exists()


def test_a_file_is_not_changed_where_no_copy_can_be_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "ledger.sqlite")
    before = path.read_bytes()
    copy_before(path, 3).mkdir()
    with pytest.raises(LedgerUnavailable, match="cannot keep a copy"):
        Ledger.open(path, caps=CAPS)
    assert path.read_bytes() == before


def test_an_upgrade_is_foreseen_and_then_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    federation = Federation(directory=tmp_path)
    policy = tmp_path / "north" / "silo.toml"
    ledger = ledger_path(federation.policy)
    words = ["silo", "upgrade", "--policy", str(policy), "--json"]
    assert run([*words, "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["due"] is False
    ledger.unlink()
    written(ledger)
    ledger.chmod(0o600)
    before = ledger.read_bytes()
    for _ in range(2):
        assert run([*words, "--check"]) == 0
        said = json.loads(capsys.readouterr().out)["data"]
        assert (said["found"], said["written"], said["due"]) == (3, FILE_VERSION, True)
        assert ledger.read_bytes() == before
    assert run(words) == 0
    capsys.readouterr()
    assert file_version(ledger) == FILE_VERSION
    connection = sqlite3.connect(ledger)
    connection.execute(f"PRAGMA user_version = {FILE_VERSION + 1}")
    connection.close()
    assert run([*words, "--check"]) == LedgerUnavailable.exit_code
    assert "use the program that wrote it" in capsys.readouterr().err
