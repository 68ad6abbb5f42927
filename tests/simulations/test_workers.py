"""A worker holds a silo's ledger for one request, and nobody hears of it before it is on disk."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.errors import RunFailed
from silosynth.common.messages import encode_request
from silosynth.common.plan import PhaseName, encode_plan
from silosynth.common.schema import dump_schema, load_schema
from silosynth.server.coordinator import Answered, Ask
from silosynth.server.coordinator.machine import start
from silosynth.simulations import cluster
from silosynth.simulations.cluster import _CHUNK, _alone_with, _in_chunks, _shared, _WorkerGateway
from silosynth.simulations.one_process import HeldLedgers
from silosynth.simulations.silos import SiloDirectory, make_silos
from tests.support.tables.worlds import plan, schema, tables

SEALED = encode_plan(plan())
HELD = [True, False]


@pytest.fixture
def silo(tmp_path: Path) -> SiloDirectory:
    path = tmp_path / "schema.yaml"
    path.write_text(dump_schema(schema()))
    _shared.cache_clear()
    return make_silos(tmp_path / "silos", plan=plan(), schema_path=path, tables=tables())[0]


def _request(silo: SiloDirectory) -> bytes:
    _, commands = start(plan(), schema())
    asked = {c.request.silo: c.request for c in commands if isinstance(c, Ask)}
    return encode_request(asked[silo.name])


def _charges(silo: SiloDirectory) -> int:
    with Ledger.open(silo.ledger, caps={}) as ledger:
        return len(ledger.charges())


@pytest.mark.parametrize("held", HELD)
def test_another_worker_gives_the_same_bytes_again_at_no_charge(
    silo: SiloDirectory, held: bool
) -> None:
    request = _request(silo)
    first = _WorkerGateway(silo, held=held).answer(plan=SEALED, request=request)
    _shared.cache_clear()
    assert _WorkerGateway(silo, held=held).answer(plan=SEALED, request=request) == first
    assert _charges(silo) == 1


def test_an_answer_leaves_a_worker_with_its_charge_in_the_file(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: a worker that forgets to write the ledger is found."""
    monkeypatch.setattr(HeldLedgers, "settle", lambda self, *, sync=True: None)
    _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    assert _charges(silo) == 0
    monkeypatch.undo()
    _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    assert _charges(silo) == 1


def test_a_worker_that_fails_leaves_the_ledger_as_it_was_and_lets_it_go(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: HeldLedgers, *, sync: bool = True) -> None:
        raise OSError("disk full")

    before = silo.ledger.read_bytes()
    monkeypatch.setattr(HeldLedgers, "settle", fails)
    with pytest.raises(OSError, match="disk full"):
        _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    monkeypatch.undo()
    assert silo.ledger.read_bytes() == before
    _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    assert _charges(silo) == 1


def test_a_silo_is_in_one_workers_hands_at_a_time(silo: SiloDirectory) -> None:
    began, went_on = Flag(), Flag()

    def wait() -> None:
        began.set()
        with _alone_with(silo.ledger):
            went_on.set()

    with ThreadPoolExecutor(1) as pool:
        with _alone_with(silo.ledger):
            waiting = pool.submit(wait)
            began.wait()
            assert not went_on.is_set()
        waiting.result()
    assert went_on.is_set()


def test_the_schema_is_read_once_and_anew_when_its_file_changes(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    whole = load_schema

    def counted(path: Path) -> Any:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(cluster, "load_schema", counted)
    for _ in range(3):
        _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    assert len(read) == 1
    os.utime(silo.schema, ns=(1, 1))
    _WorkerGateway(silo, held=True).answer(plan=SEALED, request=_request(silo))
    assert len(read) == 2


def _answers(count: int) -> list[Answered]:
    return [Answered(phase=PhaseName.ONE_WAY, silo=f"s{i}", data=b"") for i in range(count)]


@pytest.mark.parametrize(("count", "syncs"), [(0, 0), (1, 1), (_CHUNK, 1), (_CHUNK + 1, 2)])
def test_answers_go_on_by_chunks_with_one_sync_each(
    count: int, syncs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    passed: list[Any] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(len(passed)))
    passed.extend(_in_chunks(_answers(count), held=True))
    assert passed == _answers(count)
    assert len(synced) == syncs


def test_no_answer_goes_on_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RunFailed("no sync")

    monkeypatch.setattr(os, "sync", fails)
    with pytest.raises(RunFailed):
        next(_in_chunks(_answers(1), held=True))
    assert list(_in_chunks(_answers(2), held=False)) == _answers(2)
