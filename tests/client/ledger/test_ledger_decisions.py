"""A person's decisions stand in the chain, and plans that wait cannot fill the disk."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.client.ledger.waiting import MAX_PLAN_BYTES, MAX_WAITING
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import (
    BudgetExceeded,
    CapExceeded,
    InvalidArgument,
    LedgerUnavailable,
)

HUB = "ed25519:hub"
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CONSUMER = Scope(kind=ScopeKind.CONSUMER, name="ministry")
CAPS = {PROJECT: 40}


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def path() -> Iterator[Path]:
    """Keep the file in memory: what a disk does is the fault tests' matter."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield _made(Path(directory) / "ledger.sqlite")


def _made(path: Path) -> Path:
    Ledger.create(path, clock=noon)
    return path


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, caps=CAPS, clock=noon) as ledger:
        yield ledger


# Decisions


def test_a_decision_is_there_after_opening_again(path: Path) -> None:
    with Ledger.open(path, caps=CAPS, clock=noon) as ledger:
        made = ledger.decide(
            "p1", Verdict.APPROVED, signer=HUB, why="agreed on 1 May", by="dr-weber"
        )
        assert made.head == ledger.head
    with Ledger.open(path, caps=CAPS) as ledger:
        assert ledger.decision("p1", signer=HUB) == made
        assert (made.verdict, made.why, made.by) == ("approved", "agreed on 1 May", "dr-weber")
        assert made.at == "2026-01-02T12:00:00+00:00"
        assert ledger.decision("p2", signer=HUB) is None


def test_the_newest_decision_counts_and_both_stand_in_the_chain(ledger: Ledger) -> None:
    refused = ledger.decide("p1", Verdict.REFUSED, signer=HUB, why="too much", by="a")
    later = datetime(2026, 1, 3, tzinfo=UTC)
    approved = ledger.decide(
        "p1", Verdict.APPROVED, signer=HUB, why="smaller now", by="b", at=later
    )
    assert ledger.decision("p1", signer=HUB) == approved
    assert ledger.decisions() == (refused, approved)
    assert approved.at == "2026-01-03T00:00:00+00:00"


@pytest.mark.parametrize(
    ("field", "value"),
    [("why", ""), ("why", "x" * 2001), ("why", "a\nb"), ("by", ""), ("verdict", "approved")],
)
def test_a_decision_without_a_person_or_a_reason_is_refused(
    ledger: Ledger, field: str, value: str
) -> None:
    given = {"verdict": Verdict.APPROVED, "signer": HUB, "why": "w", "by": "b", field: value}
    with pytest.raises(InvalidArgument):
        ledger.decide("p1", given.pop("verdict"), **given)  # type: ignore[arg-type]  # on purpose
    assert ledger.decisions() == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, 'refused', 'approved')",
        "DELETE FROM decisions",
        "INSERT INTO decisions VALUES ('p2', 'ed25519:hub', 2, NULL)",
        "UPDATE waiting SET content = x'00'",
    ],
)
def test_a_tampered_decision_is_refused(path: Path, statement: str) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.wait("p0", b"sealed", signer=HUB)
        ledger.decide("p1", Verdict.REFUSED, signer=HUB, why="no", by="b")
    connection = sqlite3.connect(path)
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()
    with pytest.raises(LedgerUnavailable, match="the ledger is damaged"):
        Ledger.open(path, caps=CAPS)


# Plans that wait


def test_a_plan_waits_until_it_is_decided(path: Path) -> None:
    with Ledger.open(path, caps=CAPS, clock=noon) as ledger:
        assert ledger.wait("p1", b"sealed one", signer=HUB) == ()
        assert ledger.wait("p2", b"sealed two", signer=HUB) == ()
    with Ledger.open(path, caps=CAPS) as ledger:
        assert [(p.plan_digest, p.plan) for p in ledger.pending()] == [
            ("p1", b"sealed one"),
            ("p2", b"sealed two"),
        ]
        ledger.decide("p1", Verdict.APPROVED, signer=HUB, why="fine", by="b")
        assert [p.plan_digest for p in ledger.pending()] == ["p2"]


def test_waiting_again_changes_nothing(ledger: Ledger) -> None:
    ledger.wait("p1", b"first", signer=HUB)
    ledger.wait("p1", b"second", signer=HUB)
    assert [p.plan for p in ledger.pending()] == [b"first"]
    ledger.decide("p1", Verdict.REFUSED, signer=HUB, why="no", by="b")
    ledger.wait("p1", b"third", signer=HUB)
    assert ledger.pending() == ()


def test_waiting_leaves_no_trace_in_the_chain(ledger: Ledger) -> None:
    head = ledger.head
    for n in range(MAX_WAITING + 3):
        ledger.wait(f"p{n}", b"sealed", signer=HUB)
    assert ledger.head == head


def test_newer_plans_push_out_the_oldest_and_say_which(ledger: Ledger) -> None:
    pushed_out = [ledger.wait(f"p{n}", b"sealed", signer=HUB) for n in range(MAX_WAITING + 2)]
    assert pushed_out == [()] * MAX_WAITING + [("p0",), ("p1",)]
    waiting = [p.plan_digest for p in ledger.pending()]
    assert waiting == [f"p{n}" for n in range(2, MAX_WAITING + 2)]


def test_a_plan_that_is_too_large_does_not_wait(ledger: Ledger) -> None:
    ledger.wait("p1", bytes(MAX_PLAN_BYTES), signer=HUB)
    with pytest.raises(CapExceeded):
        ledger.wait("p2", bytes(MAX_PLAN_BYTES + 1), signer=HUB)
    assert [p.plan_digest for p in ledger.pending()] == ["p1"]


def test_a_flood_of_plans_does_not_fill_the_disk(ledger: Ledger, path: Path) -> None:
    for n in range(3 * MAX_WAITING):
        ledger.wait(f"p{n}", bytes(2**14), signer=HUB)
        if n == MAX_WAITING:
            full = path.stat().st_size
    assert path.stat().st_size <= full + 2**16


# Caps that are granted later


def test_a_scope_can_be_granted_a_cap_while_the_ledger_is_open(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        with pytest.raises(BudgetExceeded):
            ledger.charge("r", "h", cost_units=5, scopes=[PROJECT, CONSUMER])
        assert ledger.spent(PROJECT) == 0
        ledger.grant({CONSUMER: 7})
        ledger.charge("r", "h", cost_units=5, scopes=[PROJECT, CONSUMER])
        assert [ledger.remaining(s) for s in (PROJECT, CONSUMER)] == [35, 2]
        with pytest.raises(InvalidArgument):
            ledger.grant({CONSUMER: -1})
    with Ledger.open(path, caps={}) as ledger:
        assert (ledger.spent(CONSUMER), ledger.remaining(CONSUMER)) == (5, 0)


@pytest.mark.parametrize("short", [0, 1, 2])
def test_the_scope_that_has_too_little_stops_the_others(path: Path, short: int) -> None:
    kinds = (ScopeKind.CONSUMER, ScopeKind.DATASET, ScopeKind.PROJECT)
    scopes = [Scope(kind=kind, name="x") for kind in kinds]
    caps = {scope: 3 if n == short else 100 for n, scope in enumerate(scopes)}
    with Ledger.open(path, caps=caps) as ledger:
        ledger.charge("r1", "h", cost_units=2)
        with pytest.raises(BudgetExceeded, match=scopes[short].kind.value):
            ledger.charge("r2", "h", cost_units=2)
        assert [ledger.spent(s) for s in scopes] == [2, 2, 2]
        ledger.charge("r2", "h", cost_units=2, scopes=[s for s in scopes if caps[s] > 3])
        assert [ledger.spent(s) for s in scopes] == [2 if caps[s] == 3 else 4 for s in scopes]
