"""The ledger never overspends, never forgets, and answers a request with the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind, next_head
from silosynth.common.errors import (
    BudgetExceeded,
    InvalidArgument,
    LedgerUnavailable,
    RequestConflict,
)

DATASET = Scope(kind=ScopeKind.DATASET, name="adult")
CONSUMER = Scope(kind=ScopeKind.CONSUMER, name="ministry")
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {DATASET: 100, CONSUMER: 60, PROJECT: 40}
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, clock=noon)
    return path


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, caps=CAPS, clock=noon) as ledger:
        yield ledger


# One request


def test_a_request_is_charged_once_and_gets_the_same_bytes_again(ledger: Ledger) -> None:
    assert ledger.charge("r1", "h1", cost_units=10) is None
    assert ledger.store("r1", b"noised") == b"noised"
    assert ledger.charge("r1", "h1", cost_units=10) == b"noised"
    assert [ledger.spent(s) for s in CAPS] == [10, 10, 10]


def test_a_charge_without_a_release_is_not_charged_again(ledger: Ledger) -> None:
    for _ in range(2):
        assert ledger.charge("r1", "h1", cost_units=10) is None
    assert ledger.spent(PROJECT) == 10


def test_everything_is_there_after_opening_again(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r1", "h1", cost_units=10)
        ledger.store("r1", bytes(range(256)))
        head = ledger.head
    with Ledger.open(path, caps=CAPS, known_heads=[head]) as ledger:
        assert ledger.charge("r1", "h1", cost_units=10) == bytes(range(256))
        assert ledger.spent(DATASET) == 10
        assert ledger.head == head


@pytest.mark.parametrize(("other_hash", "other_cost"), [("h2", 10), ("h1", 11)])
def test_the_same_id_with_other_content_is_refused(
    ledger: Ledger, other_hash: str, other_cost: int
) -> None:
    ledger.charge("r1", "h1", cost_units=10)
    ledger.store("r1", b"noised")
    with pytest.raises(RequestConflict, match="r1 was made before with other content"):
        ledger.charge("r1", other_hash, cost_units=other_cost)
    assert ledger.spent(PROJECT) == 10


def test_of_two_answers_to_one_charge_the_first_is_sent_both_times(ledger: Ledger) -> None:
    ledger.charge("r1", "h1", cost_units=10)
    assert ledger.store("r1", b"first") == b"first"
    assert ledger.store("r1", b"second") == b"first"


def test_an_answer_without_a_charge_is_refused(ledger: Ledger) -> None:
    with pytest.raises(RequestConflict, match="r1 was not charged"):
        ledger.store("r1", b"noised")
    assert ledger.releases() == ()


# Budgets


def test_a_charge_above_one_cap_charges_no_scope(ledger: Ledger) -> None:
    head = ledger.head
    with pytest.raises(BudgetExceeded) as caught:
        ledger.charge("r1", "h1", cost_units=41)
    assert "project 'census'" in str(caught.value)
    assert [ledger.spent(s) for s in CAPS] == [0, 0, 0]
    assert ledger.head == head


def test_a_budget_can_be_spent_to_the_last_unit(ledger: Ledger) -> None:
    ledger.charge("r1", "h1", cost_units=40)
    assert ledger.remaining(PROJECT) == 0
    with pytest.raises(BudgetExceeded):
        ledger.charge("r2", "h2", cost_units=1)


def test_only_the_scopes_that_are_named_pay(ledger: Ledger) -> None:
    ledger.charge("r1", "h1", cost_units=50, scopes=[DATASET, CONSUMER])
    assert [ledger.spent(s) for s in CAPS] == [50, 50, 0]


@pytest.mark.parametrize("scopes", [[], [Scope(kind=ScopeKind.PROJECT, name="unknown")]])
def test_a_request_that_nobody_can_pay_is_refused(ledger: Ledger, scopes: list[Scope]) -> None:
    with pytest.raises(BudgetExceeded):
        ledger.charge("r1", "h1", cost_units=1, scopes=scopes)


def test_a_refused_request_may_come_again_when_there_is_a_budget(path: Path) -> None:
    with Ledger.open(path, caps={PROJECT: 5}) as ledger, pytest.raises(BudgetExceeded):
        ledger.charge("r1", "h1", cost_units=6)
    with Ledger.open(path, caps={PROJECT: 6}) as ledger:
        assert ledger.charge("r1", "h1", cost_units=6) is None


def test_a_cap_below_what_is_spent_leaves_nothing(path: Path) -> None:
    with Ledger.open(path, caps={PROJECT: 40}) as ledger:
        ledger.charge("r1", "h1", cost_units=30)
    with Ledger.open(path, caps={PROJECT: 20}) as ledger:
        assert (ledger.spent(PROJECT), ledger.remaining(PROJECT)) == (30, 0)


def test_a_scope_that_lost_its_cap_pays_nothing_more(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r1", "h1", cost_units=1)
    with Ledger.open(path, caps={PROJECT: 40}) as ledger:
        assert ledger.remaining(DATASET) == 0
        with pytest.raises(BudgetExceeded):
            ledger.charge("r2", "h2", cost_units=1, scopes=[DATASET, PROJECT])


# The record


def test_the_record_names_every_charge_and_release(ledger: Ledger) -> None:
    ledger.charge("r1", "h1", cost_units=3, scopes=[PROJECT], facts={"plan": "sha256:aa"})
    ledger.store("r1", b"noised")
    (charge,), (release,) = ledger.charges(), ledger.releases()
    assert (charge.request_id, charge.request_hash, charge.cost_units) == ("r1", "h1", 3)
    assert (charge.scopes, charge.facts) == ((PROJECT,), {"plan": "sha256:aa"})
    assert charge.at == release.at == "2026-01-02T12:00:00+00:00"
    assert (release.sha256, release.size) == (hashlib.sha256(b"noised").hexdigest(), 6)
    assert release.head == ledger.head != charge.head


def test_every_entry_moves_the_head(ledger: Ledger) -> None:
    heads = [ledger.head]
    for n in range(3):
        ledger.charge(f"r{n}", "h", cost_units=1)
        heads.append(ledger.head)
        ledger.store(f"r{n}", b"x")
        heads.append(ledger.head)
    assert len(set(heads)) == 7


def test_two_ledgers_never_share_a_head(tmp_path: Path) -> None:
    heads = []
    for name in ("one", "two"):
        Ledger.create(tmp_path / name, clock=noon)
        with Ledger.open(tmp_path / name, caps={}, clock=noon) as ledger:
            heads.append(ledger.head)
    assert heads[0] != heads[1]


def test_a_restored_copy_is_refused_when_a_peer_knows_a_later_head(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r1", "h1", cost_units=10)
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r2", "h2", cost_units=10)
        head = ledger.head
    with pytest.raises(LedgerUnavailable, match="old copy"):
        Ledger.open(copy, caps=CAPS, known_heads=[head])
    Ledger.open(path, caps=CAPS, known_heads=[head]).close()


TAMPERED = {
    "spent lowered": "UPDATE scopes SET spent = 0",
    "cap raised": "UPDATE scopes SET cap = cap + 1",
    "cost lowered": "UPDATE requests SET cost = 1",
    "request dropped": "PRAGMA foreign_keys=OFF; DELETE FROM requests",
    "release changed": "UPDATE releases SET content = x'00'",
    "release dropped": "DELETE FROM releases",
    "entry edited": "UPDATE entries SET body = replace(body, '\"cost\":10', '\"cost\":1')",
    "entry dropped": "PRAGMA foreign_keys=OFF; DELETE FROM entries WHERE sequence = 3",
    "head edited": "UPDATE entries SET head = upper(head)",
    "all dropped": "PRAGMA foreign_keys=OFF; DELETE FROM entries",
    "table added": "CREATE TABLE more (x)",
    "trigger added": "CREATE TRIGGER t AFTER UPDATE ON scopes BEGIN UPDATE scopes SET spent=0; END",
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_file_is_refused(path: Path, statements: str) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r1", "h1", cost_units=10)
        ledger.store("r1", b"noised")
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()
    with pytest.raises(LedgerUnavailable, match="the ledger is damaged"):
        Ledger.open(path, caps=CAPS)


def test_an_entry_rewritten_with_a_fitting_head_breaks_the_next_one(path: Path) -> None:
    with Ledger.open(path, caps={PROJECT: 40}) as ledger:
        ledger.charge("r1", "h1", cost_units=10, facts={"plan": "aa"})
        ledger.charge("r2", "h2", cost_units=10)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT sequence, body, head FROM entries ORDER BY sequence")
    (_, _, before), (place, body, _) = rows.fetchall()[1:3]
    forged = body.replace('"plan":"aa"', '"plan":"bb"')
    head = next_head(before, sequence=place, body=forged)
    connection.execute("UPDATE entries SET body=?, head=? WHERE sequence=?", (forged, head, place))
    connection.commit()
    connection.close()
    assert forged != body
    with pytest.raises(LedgerUnavailable, match=f"entry {place + 1} does not follow"):
        Ledger.open(path, caps={PROJECT: 40})


def test_every_commit_reaches_the_disk_before_it_returns(ledger: Ledger) -> None:
    extra = 3
    for pragma, value in (("synchronous", extra), ("journal_mode", "delete")):
        query = f"PRAGMA {pragma}"
        assert ledger._batch.read(lambda c, q=query: c.execute(q).fetchone()) == (value,)


# Opening


def test_only_its_owner_can_read_a_ledger(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_opening_does_not_make_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        Ledger.open(tmp_path / "ledger.sqlite", caps=CAPS)
    assert not list(tmp_path.iterdir())


def test_making_does_not_replace_a_ledger(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(LedgerUnavailable, match="exists already"):
        Ledger.create(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"not a ledger", b"SQLite format 3\x00" + bytes(4080)])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS)


def test_an_unknown_version_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 8")
    connection.close()
    with pytest.raises(LedgerUnavailable, match="has version 8; this program knows 7"):
        Ledger.open(path, caps=CAPS)


def test_a_second_opener_is_refused_until_the_first_closes(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from silosynth.client.ledger.ledger import Ledger\n"
        "from silosynth.common.errors import LedgerUnavailable\n"
        "try: Ledger.open(Path(sys.argv[1]), caps={}).close(); print('opened')\n"
        "except LedgerUnavailable as err: print(err.message)\n"
    )

    def elsewhere() -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    with Ledger.open(path, caps=CAPS):
        with pytest.raises(LedgerUnavailable, match="another process has the ledger open"):
            Ledger.open(path, caps=CAPS)
        assert elsewhere() == "another process has the ledger open"
    assert elsewhere() == "opened"


def test_a_closed_ledger_refuses_everything(path: Path) -> None:
    ledger = Ledger.open(path, caps=CAPS)
    ledger.close()
    for call in (lambda: ledger.charge("r", "h", cost_units=1), lambda: ledger.spent(PROJECT)):
        with pytest.raises(LedgerUnavailable, match="closed"):
            call()


@pytest.mark.parametrize("cost", [0, -1, 1.0, True, 2**62 + 1])
def test_a_cost_that_cannot_be_is_refused(ledger: Ledger, cost: int) -> None:
    with pytest.raises(InvalidArgument, match="the cost is"):
        ledger.charge("r1", "h1", cost_units=cost)


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 257])
def test_an_id_that_cannot_be_is_refused(ledger: Ledger, text: str) -> None:
    with pytest.raises(InvalidArgument, match="request id"):
        ledger.charge(text, "h1", cost_units=1)


# Threads


def test_sixteen_threads_spend_exactly_the_budget(ledger: Ledger) -> None:
    def ask(n: int) -> bool:
        try:
            ledger.charge(f"r{n}", "h", cost_units=1)
        except BudgetExceeded:
            return False
        return ledger.store(f"r{n}", str(n).encode()) == str(n).encode()

    with ThreadPoolExecutor(16) as pool:
        granted = sum(pool.map(ask, range(64)))
    assert granted == ledger.spent(PROJECT) == CAPS[PROJECT]
    assert len(ledger.releases()) == CAPS[PROJECT]


def test_sixteen_threads_with_one_request_get_the_same_bytes_for_one_charge(ledger: Ledger) -> None:
    def ask(n: int) -> bytes:
        stored = ledger.charge("r", "h", cost_units=10)
        return ledger.store("r", str(n).encode()) if stored is None else stored

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(32)))) == 1
    assert ledger.spent(PROJECT) == 10


# Any order of operations, against a model in memory


class AnyOrder(RuleBasedStateMachine):
    """Charge, store, ask again, and open again in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(dir=MEMORY)
        self._path = Path(self._directory.name) / "ledger.sqlite"
        self._spent = dict.fromkeys(CAPS, 0)
        self._charged: dict[str, tuple[str, int]] = {}
        self._stored: dict[str, bytes] = {}
        self._heads: list[str] = []

    @initialize()
    def make(self) -> None:
        Ledger.create(self._path)
        self._ledger = Ledger.open(self._path, caps=CAPS)

    @rule(
        request=st.sampled_from("abcdefgh"),
        content=st.sampled_from(["h1", "h1", "h2"]),
        cost=st.sampled_from([1, 7, 7, 15]),
        scopes=st.sets(st.sampled_from(sorted(CAPS)), min_size=1),
    )
    def charge(self, request: str, content: str, cost: int, scopes: set[Scope]) -> None:
        known = self._charged.get(request)
        affordable = all(self._spent[s] + cost <= CAPS[s] for s in scopes)
        try:
            got = self._ledger.charge(request, content, cost_units=cost, scopes=scopes)
        except RequestConflict:
            assert known is not None
            assert known != (content, cost)
        except BudgetExceeded:
            assert known is None
            assert not affordable
        else:
            assert got == self._stored.get(request)
            if known is None:
                assert affordable
                self._charged[request] = (content, cost)
                for scope in scopes:
                    self._spent[scope] += cost
            else:
                assert known == (content, cost)

    @rule(request=st.sampled_from("abcdefgh"), release=st.binary(max_size=20))
    def store(self, request: str, release: bytes) -> None:
        try:
            got = self._ledger.store(request, release)
        except RequestConflict:
            assert request not in self._charged
        else:
            assert request in self._charged
            assert got == self._stored.setdefault(request, release)

    @rule()
    def open_again(self) -> None:
        self._heads.append(self._ledger.head)
        self._ledger.close()
        self._ledger = Ledger.open(self._path, caps=CAPS, known_heads=self._heads)

    @invariant()
    def what_is_spent_is_what_was_charged(self) -> None:
        if hasattr(self, "_ledger"):
            assert {s: self._ledger.spent(s) for s in CAPS} == self._spent
            assert all(self._spent[s] <= CAPS[s] for s in CAPS)

    def teardown(self) -> None:
        if hasattr(self, "_ledger"):
            assert set(self._ledger.verify().charges) == set(self._charged)
            self._ledger.close()
        self._directory.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
