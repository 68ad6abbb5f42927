"""What the silos of one process share is theirs in simulations alone, and skips no check there."""

from __future__ import annotations

import ast
import os
import sqlite3
from pathlib import Path

import pytest

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import CapExceeded, LedgerUnavailable, RequestConflict, RunFailed
from silosynth.simulations import local
from silosynth.simulations.one_process import (
    HeldLedgers,
    HeldRecords,
    PlanShelf,
    Remembered,
    ShelvedLedger,
    fits_memory,
)
from silosynth.simulations.run import simulate
from silosynth.simulations.silos import alone
from tests.support.tables.worlds import SILOS, live, plan, scenario, schema, tables

ROOT = Path(__file__).parents[3]
PROJECT = Scope(kind=ScopeKind.PROJECT, name="p")
CAPS = {PROJECT: 100}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(Ledger.blank())
    return path


def test_a_held_ledger_is_the_file_that_an_auditor_opens(path: Path) -> None:
    held = HeldLedgers()
    ledger = held.open(path, caps=CAPS)
    ledger.charge("a", "h", cost_units=3)
    ledger.store("a", b"release")
    held.settle()
    held.close()
    with Ledger.open(path, caps=CAPS) as opened:
        assert opened.spent(PROJECT) == 3
        assert opened.charge("a", "h", cost_units=3) == b"release"


def test_a_ledger_that_rests_is_the_ledger_that_it_was(path: Path) -> None:
    """What is bytes meanwhile has charged what it charged, and a closed one answers no more."""
    ledger = Ledger.hold(path.read_bytes(), path=path, caps=CAPS)
    ledger.charge("a", "h", cost_units=3)
    ledger.rest()
    image, connection = ledger.image(), ledger._batch._connection
    with pytest.raises(sqlite3.ProgrammingError):  # nothing is open
        connection.execute("SELECT 1")
    assert ledger.spent(PROJECT) == 3
    with pytest.raises(RequestConflict):
        ledger.charge("a", "other", cost_units=3)
    assert ledger.charge("a", "h", cost_units=3) is None
    ledger.rest()
    assert ledger.image() == image
    ledger.charge("b", "h", cost_units=4)  # it wakes, and rests as what it is by then
    ledger.rest()
    image = ledger.image()
    assert ledger.spent(PROJECT) == 7
    ledger.rest()
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        ledger.spent(PROJECT)
    with Ledger.hold(image, path=path, caps=CAPS) as again:
        assert again.spent(PROJECT) == 7


def test_a_plan_waits_on_the_shelf_and_in_the_file_that_is_left(path: Path) -> None:
    shelf, plan, signer = PlanShelf(), b"sealed" * 10_000, "ed25519:a"
    ledgers = [
        ShelvedLedger.hold(path.read_bytes(), path=path, caps=CAPS).beside(shelf) for _ in range(3)
    ]
    for ledger in ledgers:
        assert ledger.wait("sha256:p", plan, signer=signer) == ()
        assert ledger.wait("sha256:p", plan, signer=signer) == ()  # it waits already
        assert len(ledger.image()) < len(plan)
        assert [waits.plan for waits in ledger.pending()] == [plan]
    with pytest.raises(CapExceeded):
        ledgers[0].wait("sha256:q", bytes(2**20 + 1), signer=signer)
    assert list(shelf.plans.values()) == [plan]
    ledgers[1].rest()
    ledgers[2].decide("sha256:p", Verdict.REFUSED, signer=signer, why="no", by="me")
    first, second, third = (ledger.whole() for ledger in ledgers)
    for image, waiting in ((first, [plan]), (second, [plan]), (third, [])):
        with Ledger.hold(image, path=path, caps=CAPS) as whole:
            assert [waits.plan for waits in whole.pending()] == waiting
            whole.verify()
    assert len(third) < len(plan)


def test_what_was_not_settled_is_gone_as_a_whole(path: Path) -> None:
    """A killed process forgets the charge and the release together: neither has left."""
    held = HeldLedgers()
    held.open(path, caps=CAPS).charge("a", "h", cost_units=3)
    held.settle()
    ledger = held.open(path, caps=CAPS)
    ledger.charge("b", "h", cost_units=3)
    held.close()
    with Ledger.open(path, caps=CAPS) as opened:
        assert [c.request_id for c in opened.charges()] == ["a"]


def test_a_held_ledger_is_checked_as_a_file_is(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="no ledger"):
        HeldLedgers().open(path.with_name("gone"), caps=CAPS)
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(LedgerUnavailable):
        HeldLedgers().open(path, caps=CAPS)
    path.write_bytes(Ledger.blank())
    held = HeldLedgers()
    ledger = held.open(path, caps=CAPS)
    ledger.charge("a", "hash-of-it", cost_units=1)
    image = ledger.image()
    assert b"hash-of-it" in image
    path.write_bytes(image.replace(b"hash-of-it", b"hash-of-us"))
    with pytest.raises(LedgerUnavailable, match="damaged"):
        HeldLedgers().open(path, caps=CAPS)


def test_answers_go_on_only_when_their_ledgers_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every release that the coordinator journals is in its silo's file by then."""
    asked, seen = plan(), []
    whole = local._settled

    def settled(events: object, ledgers: HeldLedgers) -> list[object]:
        answered = whole(events, ledgers)  # type: ignore[arg-type]  # as the driver calls it
        for event in answered:
            file = tmp_path / "run" / "silos" / event.silo / "ledger.sqlite"
            with Ledger.open(file, caps={}) as ledger:
                seen.append(len(ledger.releases()))
        return answered

    monkeypatch.setattr(local, "_settled", settled)
    simulate(
        asked,
        schema=schema(),
        silos=tables(),
        directory=tmp_path / "run",
        engine="local",
    )
    assert seen == [1] * len(SILOS)


def test_one_sync_a_phase_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: syncs.append("phase"))
    simulate(
        plan("mst"), schema=schema(), silos=tables(), directory=tmp_path / "run", engine="local"
    )
    assert len(syncs) == len(plan("mst").phases)


def test_a_plan_of_many_rounds_keeps_its_ledgers_in_files() -> None:
    small = plan()
    huge = small.phases[0].model_copy(update={"cells": 1 << 20})
    assert fits_memory(small)
    assert not fits_memory(small.model_copy(update={"phases": (huge,)}))


def test_a_copy_of_a_plan_has_a_digest_of_its_own() -> None:
    first = plan()
    assert first.digest != first.model_copy(update={"id": "q"}).digest
    assert first.model_copy().digest == first.digest


def test_two_processes_never_run_in_one_directory(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(RunFailed, match="another process"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_what_is_remembered_is_bounded_and_never_an_error() -> None:
    once, calls = Remembered(most=2), []

    def work(value: int) -> int:
        calls.append(value)
        if value < 0:
            raise RunFailed("no")
        return value

    for key in (1, 1, 2, 3, 1):
        assert once((key,), lambda key=key: work(key)) == key
    assert calls == [1, 2, 3, 1]
    for _ in range(2):
        with pytest.raises(RunFailed):
            once((-1,), lambda: work(-1))
    assert calls[-2:] == [-1, -1]


def test_held_records_refuse_what_files_refuse() -> None:
    records = HeldRecords()
    records.keep_plan(b"a", consumer="c", plan_id="p", digest="x")
    records.keep_plan(b"a", consumer="c", plan_id="p", digest="x")
    assert records.plan("x") == b"a"
    assert records.plan("y") is None
    with pytest.raises(RequestConflict, match="other content"):
        records.keep_plan(b"b", consumer="c", plan_id="p", digest="y")
    records.keep_result("x", bundle=b"r", sampler=b"s")
    records.keep_result("x", bundle=b"r", sampler=b"s")
    with pytest.raises(RequestConflict, match="another result"):
        records.keep_result("x", bundle=b"other", sampler=b"s")


def test_one_forged_receipt_is_refused_by_every_silo(tmp_path: Path) -> None:
    """A bundle is read once for all silos; each refuses the one that does not hold."""
    from silosynth.simulations.scenario.engine import VirtualTime

    whole = VirtualTime.deliver

    def forged(self: VirtualTime, silos: object, *, bundle: bytes) -> object:
        place = bundle.rindex(b'"receipts"') + 40
        wrong = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
        return whole(self, silos, bundle=wrong)  # type: ignore[arg-type]  # as the driver calls it

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(VirtualTime, "deliver", forged)
        came = live(plan(), scenario(), tmp_path / "forged")
    assert set(came.state.unacknowledged()) == set(SILOS)
    assert live(plan(), scenario(), tmp_path / "whole").state.unacknowledged() == {}


def _names(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return {n.attr for n in tree if isinstance(n, ast.Attribute)}


def test_no_deployment_holds_a_ledger_in_memory_or_remembers_a_check() -> None:
    """Outside simulations nothing holds, and no gateway is made with a memory of others' bytes."""
    for part in ("client", "server", "common"):
        for path in (ROOT / part).rglob("*.py"):
            if path.name not in ("ledger.py", "file.py"):
                assert not {"hold", "blank"} & _names(path), path
            if "Gateway(" in path.read_text() and path.name != "gateway.py":
                assert "once=" not in path.read_text(), path
    assert Gateway.__init__.__kwdefaults__["once"].__name__ == "each_time"
