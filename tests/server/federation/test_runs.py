"""A run's directory has one coordinator at a time, and says how it ended."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from silosynth.common.errors import DeadlineExceeded, InvalidArgument, RunFailed
from silosynth.server.federation import (
    RunFiles,
    RunState,
    begin_run,
    cancel_run,
    find_run,
    list_runs,
    read_ended,
    read_plan,
)
from silosynth.server.federation.run_files import (
    Ended,
    describe_failure,
    is_locked,
    keep_receipt,
    kept_receipts,
    lock_run,
    write_ended,
)
from tests.support.fakes import small_plan, small_schema
from tests.support.patience import patience

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _begin(home: Path, *, token: str = "1a2b") -> RunFiles:
    return begin_run(
        home, plan=small_plan(), schema=small_schema(), federation="f", now=NOW, token=token
    )


def test_a_run_is_found_by_its_id_with_its_plan(tmp_path: Path) -> None:
    run = _begin(tmp_path)
    assert run.id == "p-20260301-120000-1a2b"
    found, begun = find_run(tmp_path, run.id)
    assert (found, begun.federation, begun.plan_digest) == (run, "f", small_plan().digest)
    assert read_plan(run)[0] == small_plan()
    assert [f.id for f, _ in list_runs(tmp_path)] == [run.id]


@pytest.mark.parametrize("run_id", ["none", "../runs/p-20260301-120000-1a2b", "", "/"])
def test_no_other_directory_is_taken_for_a_run(run_id: str, tmp_path: Path) -> None:
    _begin(tmp_path)
    with pytest.raises(InvalidArgument, match="no run"):
        find_run(tmp_path, run_id)


def _hold(path: Path, held: object, release: object) -> None:
    with lock_run(RunFiles(path=path)):
        held.set()  # type: ignore[attr-defined]  # an Event
        release.wait(patience(30))  # type: ignore[attr-defined]  # an Event


def test_two_coordinators_never_pump_one_run(tmp_path: Path) -> None:
    run = _begin(tmp_path)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(run.path, held, release))
    process.start()
    assert held.wait(patience(30))
    with pytest.raises(RunFailed, match="another coordinator"), lock_run(run):
        pass
    assert read_ended(run).state is RunState.RUNNING
    process.kill()
    process.join()
    assert read_ended(run).state is RunState.INTERRUPTED
    with lock_run(run):
        pass


def test_who_looks_at_a_run_does_not_keep_a_coordinator_out(tmp_path: Path) -> None:
    run = _begin(tmp_path)
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_locked(run)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(300):
            with lock_run(run):
                pass
    finally:
        done.set()
        looking.join()


def test_how_a_run_ended_is_read_back(tmp_path: Path) -> None:
    run = _begin(tmp_path)
    error = DeadlineExceeded("silo north did not approve", hint="ask")
    write_ended(run, describe_failure(error, cancelled=False))
    ended = read_ended(run)
    assert (ended.state, ended.code, ended.exit_code) == (RunState.FAILED, "deadline-exceeded", 3)


def test_a_cancelled_run_is_over_and_a_completed_one_stays(tmp_path: Path) -> None:
    run = _begin(tmp_path)
    cancel_run(run)
    assert read_ended(run).state is RunState.CANCELLED
    other = _begin(tmp_path, token="ffff")
    write_ended(other, Ended(state=RunState.COMPLETED))
    with pytest.raises(RunFailed, match="has ended"):
        cancel_run(other)


def test_the_newest_receipts_of_a_silo_are_kept_by_its_key(tmp_path: Path) -> None:
    for i in range(20):
        keep_receipt(tmp_path, silo_key="ed25519:a", receipt=b"%d" % i, name=str(i))
    keep_receipt(tmp_path, silo_key="ed25519:b", receipt=b"b", name="b")
    kept = kept_receipts(tmp_path, silo_key="ed25519:a")
    assert len(kept) == 16
    assert b"b" not in kept
    assert kept_receipts(tmp_path, silo_key="ed25519:c") == []
