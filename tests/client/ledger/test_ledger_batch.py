"""What many threads ask at one time is committed together, and each gets its own answer."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import BudgetExceeded, LedgerUnavailable, RequestConflict
from tests.support.patience import patience

DATASET = Scope(kind=ScopeKind.DATASET, name="adult")
CONSUMER = Scope(kind=ScopeKind.CONSUMER, name="ministry")
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {DATASET: 1000, CONSUMER: 600, PROJECT: 400}


@pytest.fixture
def path() -> Iterator[Path]:
    """Keep the file in memory: what a disk does is the fault tests' matter."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield _made(Path(directory) / "ledger.sqlite")


def _made(path: Path) -> Path:
    Ledger.create(path)
    return path


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, caps=CAPS) as ledger:
        yield ledger


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """Record every statement that reaches the database."""
    seen: list[str] = []
    connection = ledger._batch._connection
    connection.set_trace_callback(seen.append)
    yield seen
    connection.set_trace_callback(None)


def all_at_once(ledger: Ledger, calls: list[Callable[[], object]]) -> list[Future[object]]:
    """Queue every call while another transaction is open, then let them all run."""
    gate = threading.Event()
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        pool.submit(ledger._batch.write, lambda _: gate.wait(patience(10)))
        while not ledger._batch._busy:
            time.sleep(0.001)
        while ledger._batch._queue:
            time.sleep(0.001)
        futures = [pool.submit(call) for call in calls]
        while len(ledger._batch._queue) < len(calls):
            time.sleep(0.001)
        gate.set()
    return futures


def test_what_is_queued_becomes_durable_in_one_commit(ledger: Ledger) -> None:
    with statements(ledger) as seen:
        calls: list[Callable[[], object]] = [
            lambda n=n: ledger.charge(f"r{n}", "h", cost_units=1) for n in range(15)
        ]
        futures = all_at_once(ledger, calls)
    assert [f.result() for f in futures] == [None] * 15
    assert seen.count("COMMIT") == 2
    assert ledger.spent(PROJECT) == 15


def test_a_refused_operation_does_not_spoil_the_others(ledger: Ledger) -> None:
    ledger.charge("old", "h", cost_units=1)
    before = ledger.spent(DATASET)
    calls: list[Callable[[], object]] = [
        lambda: ledger.charge("a", "h", cost_units=2),
        lambda: ledger.charge("too much for the project", "h", cost_units=500),
        lambda: ledger.charge("old", "other", cost_units=1),
        lambda: ledger.store("never charged", b"x"),
        lambda: ledger.charge("b", "h", cost_units=3),
        lambda: ledger._batch.write(lambda c: c.execute("SELECT ?", ["\ud800"])),
    ]
    a, too_much, other, never, b, unprintable = all_at_once(ledger, calls)
    assert a.result() is None
    assert b.result() is None
    for future, kind in (
        (too_much, BudgetExceeded),
        (other, RequestConflict),
        (never, RequestConflict),
        (unprintable, UnicodeEncodeError),
    ):
        with pytest.raises(kind):
            future.result()
    assert ledger.spent(DATASET) == before + 5
    assert set(ledger.verify().charges) == {"old", "a", "b"}


def break_the_commit(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA defer_foreign_keys = ON")
    connection.execute("INSERT INTO releases VALUES ('nobody', 1, x'00')")


def test_a_commit_that_fails_fails_every_operation_and_closes_the_ledger(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        calls: list[Callable[[], object]] = [
            lambda n=n: ledger.charge(f"r{n}", "h", cost_units=1) for n in range(5)
        ]
        calls.append(lambda: ledger._batch.write(break_the_commit))
        futures = all_at_once(ledger, calls)
        errors = [f.exception() for f in futures]
        assert all(isinstance(e, LedgerUnavailable) for e in errors)
        assert len({id(e) for e in errors}) == len(errors)
        for call in (lambda: ledger.charge("r9", "h", cost_units=1), lambda: ledger.spent(PROJECT)):
            with pytest.raises(LedgerUnavailable):
                call()
    with Ledger.open(path, caps=CAPS) as ledger:
        assert ledger.charges() == ()
        assert ledger.spent(PROJECT) == 0


def test_an_interrupted_write_fails_its_batch_and_closes_the_ledger(path: Path) -> None:
    def interrupt(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with Ledger.open(path, caps=CAPS) as ledger:
        with pytest.raises(KeyboardInterrupt):
            ledger._batch.write(interrupt)
        with pytest.raises(LedgerUnavailable, match="interrupted"):
            ledger.charge("r", "h", cost_units=1)


def test_reading_starts_no_transaction(ledger: Ledger) -> None:
    ledger.charge("r", "h", cost_units=1)
    with statements(ledger) as seen:
        assert (ledger.spent(PROJECT), ledger.remaining(PROJECT)) == (1, 399)
        assert ledger.head == ledger.charges()[0].head
        assert (ledger.pending(), ledger.decision("p", signer="hub")) == ((), None)
        ledger.present_heads([ledger.head])
    assert seen
    assert not [s for s in seen if not s.startswith(("SELECT", "PRAGMA integrity_check"))]


def test_asking_again_does_not_touch_the_disk(ledger: Ledger, path: Path) -> None:
    ledger.charge("r", "h", cost_units=1)
    ledger.store("r", b"x")
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert ledger.charge("r", "h", cost_units=1) == b"x"
    assert ledger.store("r", b"y") == b"x"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_sixteen_threads_in_any_order_spend_exactly_what_they_were_granted(path: Path) -> None:
    ledger: Ledger
    granted: dict[str, tuple[int, list[Scope]]] = {}

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            request = f"r{chance.randrange(200)}"
            about = random.Random(request)
            cost, scopes = about.choice([1, 5, 9]), about.sample(sorted(CAPS), 2)
            try:
                ledger.charge(request, "h", cost_units=cost, scopes=scopes)
                granted[request] = (cost, scopes)
                ledger.store(request, request.encode())
            except BudgetExceeded:
                continue

    with Ledger.open(path, caps=CAPS) as ledger:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        for scope, cap in CAPS.items():
            total = sum(cost for cost, scopes in granted.values() if scope in scopes)
            assert ledger.spent(scope) == total <= cap
        account = ledger.verify()
        assert set(account.charges) == set(account.releases) == set(granted)


def test_a_forked_child_cannot_use_the_parents_ledger(ledger: Ledger) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            ledger.charge("r", "h", cost_units=1)
        except LedgerUnavailable:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert ledger.charges() == ()


def test_the_steps_stand_outside_the_transaction(path: Path) -> None:
    ledger: Ledger
    seen: list[tuple[str, int, int]] = []

    def note(name: str) -> None:
        account = ledger.verify()
        assert not ledger._batch._connection.in_transaction
        seen.append((name, len(account.charges), len(account.releases)))

    with Ledger.open(path, caps=CAPS, reached=note) as ledger:
        ledger.charge("r", "h", cost_units=1)
        ledger.store("r", b"x")
    assert seen == [
        ("before-charge", 0, 0),
        ("after-charge", 1, 0),
        ("before-store", 1, 0),
        ("after-store", 1, 1),
    ]
