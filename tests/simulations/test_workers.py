"""A worker keeps silos' gateways open, and nobody hears of an answer before it is on disk."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.common.errors import RunFailed
from silosynth.common.messages import encode_request
from silosynth.common.plan import PhaseName, encode_plan
from silosynth.common.schema import dump_schema
from silosynth.server.coordinator import Answered, Ask
from silosynth.server.coordinator.machine import start
from silosynth.simulations.cluster import _synced
from silosynth.simulations.one_process import HeldLedgers
from silosynth.simulations.silos import (
    KeptGateways,
    SiloDirectory,
    kept,
    make_silos,
    open_gateway,
)
from silosynth.simulations.silos.kept import alone_with
from tests.support.tables.worlds import plan, schema, tables

SEALED = encode_plan(plan())
HELD = [True, False]


@pytest.fixture
def silos(tmp_path: Path) -> tuple[SiloDirectory, ...]:
    path = tmp_path / "schema.yaml"
    path.write_text(dump_schema(schema()))
    return make_silos(tmp_path / "silos", plan=plan(), schema_path=path, tables=tables())


@pytest.fixture
def silo(silos: tuple[SiloDirectory, ...]) -> SiloDirectory:
    return silos[0]


def _requests() -> dict[str, bytes]:
    _, commands = start(plan(), schema())
    return {c.request.silo: encode_request(c.request) for c in commands if isinstance(c, Ask)}


def _worker(silo: SiloDirectory, *, held: bool = True) -> KeptGateways:
    return KeptGateways(silo.path.parent, held=held)


def _ask(worker: KeptGateways, silo: SiloDirectory) -> bytes | None:
    return worker.answer(SEALED, {silo.name: _requests()[silo.name]}).get(silo.name)


def _charges(silo: SiloDirectory) -> int:
    with Ledger.open(silo.ledger, caps={}) as ledger:
        return len(ledger.charges())


@pytest.mark.parametrize("held", HELD)
def test_another_worker_gives_the_same_bytes_again_at_no_charge(
    silo: SiloDirectory, held: bool
) -> None:
    first = _ask(_worker(silo, held=held), silo)
    assert first is not None
    assert _ask(_worker(silo, held=held), silo) == first
    assert _charges(silo) == 1


def test_a_gateway_is_opened_once_and_each_silo_has_its_own(
    silos: tuple[SiloDirectory, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(silo: SiloDirectory, **named: Any) -> Any:
        opened.append(silo.name)
        return open_gateway(silo, **named)

    monkeypatch.setattr(kept, "open_gateway", counted)
    worker = _worker(silos[0])
    first = worker.answer(SEALED, _requests())
    assert worker.answer(SEALED, _requests()) == first
    assert first.keys() == {silo.name for silo in silos}
    assert sorted(opened) == sorted(silo.name for silo in silos)
    assert [_charges(silo) for silo in silos] == [1] * len(silos)


def test_a_worker_whose_ledger_another_has_written_since_goes_on_from_that(
    silo: SiloDirectory,
) -> None:
    """What a process of a killed run may do, as long as it lives: charge on from an old ledger."""
    old, new = _worker(silo), _worker(silo)
    old.answer(SEALED, {silo.name: b"no request"})
    first = _ask(new, silo)
    assert _ask(old, silo) == first
    assert _charges(silo) == 1


def test_a_ledger_that_was_written_within_one_tick_of_the_clock_is_read_anew(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes another's place may have its number, its length and its time."""
    old, new = _worker(silo), _worker(silo)
    old.answer(SEALED, {silo.name: b"no request"})
    found, stat = silo.ledger.stat(), Path.stat

    def coarse(path: Path, **named: Any) -> os.stat_result:
        return found if path == silo.ledger else stat(path, **named)

    monkeypatch.setattr(Path, "stat", coarse)
    first = _ask(new, silo)
    assert _ask(old, silo) == first
    assert _charges(silo) == 1


def test_a_silo_that_does_not_work_is_left_out_and_keeps_no_other_from_answering(
    silos: tuple[SiloDirectory, ...],
) -> None:
    silos[0].ledger.write_bytes(b"no ledger")
    answers = _worker(silos[0]).answer(SEALED, _requests())
    assert answers.keys() == {silo.name for silo in silos[1:]}


def test_an_answer_leaves_a_worker_with_its_charge_in_the_file(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: a worker that forgets to write the ledger is found."""
    monkeypatch.setattr(HeldLedgers, "write", lambda self, path: None)
    _ask(_worker(silo), silo)
    assert _charges(silo) == 0
    monkeypatch.undo()
    _ask(_worker(silo), silo)
    assert _charges(silo) == 1


def test_a_worker_that_fails_leaves_the_ledger_as_it_was_and_lets_it_go(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: HeldLedgers, path: Path) -> None:
        raise OSError("disk full")

    before, worker = silo.ledger.read_bytes(), _worker(silo)
    monkeypatch.setattr(HeldLedgers, "write", fails)
    assert _ask(worker, silo) is None
    monkeypatch.undo()
    assert silo.ledger.read_bytes() == before
    other = _ask(_worker(silo), silo)
    assert _ask(worker, silo) == other
    assert _charges(silo) == 1


def test_a_gateway_that_was_closed_opens_again(silo: SiloDirectory) -> None:
    worker = _worker(silo)
    first = _ask(worker, silo)
    worker.close()
    assert _ask(worker, silo) == first


def test_what_a_broken_gateway_says_goes_nowhere(
    silo: SiloDirectory, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(self: Gateway, *, plan: bytes, request: bytes) -> bytes:
        raise ValueError("a value of the table")

    monkeypatch.setattr(Gateway, "answer", fails)
    assert _ask(_worker(silo), silo) is None
    assert "value" not in "".join(capfd.readouterr())


def test_a_silo_is_in_one_workers_hands_at_a_time(silo: SiloDirectory) -> None:
    began, went_on = Flag(), Flag()

    def wait() -> None:
        began.set()
        with alone_with(silo.ledger):
            went_on.set()

    with ThreadPoolExecutor(1) as pool:
        with alone_with(silo.ledger):
            waiting = pool.submit(wait)
            began.wait()
            assert not went_on.is_set()
        waiting.result()
    assert went_on.is_set()


def _answers(count: int) -> list[Answered]:
    return [Answered(phase=PhaseName.ONE_WAY, silo=f"s{i}", data=b"") for i in range(count)]


@pytest.mark.parametrize(("count", "syncs"), [(0, 0), (1, 1), (1000, 1)])
def test_the_answers_of_a_phase_go_on_together_after_one_sync(
    count: int, syncs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    passed: list[Any] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(len(passed)))
    passed.extend(_synced(_answers(count), held=True))
    assert passed == _answers(count)
    assert synced == [0] * syncs


def test_no_answer_goes_on_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RunFailed("no sync")

    monkeypatch.setattr(os, "sync", fails)
    with pytest.raises(RunFailed):
        next(_synced(_answers(1), held=True))
    assert list(_synced(_answers(2), held=False)) == _answers(2)
