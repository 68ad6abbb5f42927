"""Pruning drops what finished runs need no more, and nothing that proves or resumes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from silosynth.common.cli.app import run as command
from silosynth.server.federation import RunFiles, RunState, begin_run, cancel_run, list_runs
from silosynth.server.federation.prune import KEPT
from silosynth.server.federation.run_files import (
    Ended,
    keep_receipt,
    kept_receipts,
    lock_run,
    write_ended,
)
from tests.support.fakes import small_plan, small_schema

PROOF = (
    "plan.yaml",
    "schema.yaml",
    "run.json",
    "outcome.json",
    "certificate.json",
    "result.sampler",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SILOSYNTH_HOME", str(tmp_path))
    return tmp_path


def _run(home: Path, token: str, ended: Ended, *, days: int = 100) -> RunFiles:
    """Make a run of so many days ago, with all that a run leaves."""
    now = datetime.now(UTC) - timedelta(days=days)
    run = begin_run(
        home, plan=small_plan(), schema=small_schema(), federation="f", now=now, token=token
    )
    (run.path / "journal.jsonl").write_text('{"version": 1}\n')
    (run.path / "answers").mkdir()
    (run.path / "answers" / "a.release").write_bytes(bytes(1000))
    for path in (run.log, run.sampler, run.certificate, run.bundle):
        path.write_text("x")
    write_ended(run, ended)
    os.utime(run.ended, (now.timestamp(), now.timestamp()))
    return run


def _names(run: RunFiles) -> set[str]:
    return {p.name for p in run.path.iterdir()}


def test_a_completed_run_keeps_its_proofs_and_loses_the_rest(home: Path) -> None:
    run = _run(home, "1", Ended(state=RunState.COMPLETED))
    keep_receipt(home, silo_key="ed25519:a", receipt=b"r", name="1")
    assert command(["prune", "--older", "90d"]) == 0
    assert _names(run) - {"lock"} == {*PROOF, "pruned.json"}
    assert kept_receipts(home, silo_key="ed25519:a") == [b"r"]
    assert [f.id for f, _ in list_runs(home)] == [run.id]
    assert command(["prune", "--older", "90d"]) == 0


@pytest.mark.parametrize(
    "ended",
    [
        Ended(state=RunState.FAILED),
        Ended(state=RunState.INTERRUPTED),
        Ended(state=RunState.COMPLETED, unacknowledged={"north": "away"}),
    ],
    ids=["failed", "interrupted", "not-delivered"],
)
def test_a_run_that_can_be_resumed_is_left_alone(home: Path, ended: Ended) -> None:
    run = _run(home, "1", ended)
    before = _names(run)
    assert command(["prune", "--older", "0d"]) == 0
    assert _names(run) == before


def test_a_cancelled_run_is_dropped_once_it_is_old(home: Path) -> None:
    run = _run(home, "1", Ended(state=RunState.FAILED))
    cancel_run(run)
    assert command(["prune", "--older", "1d"]) == 0
    assert "journal.jsonl" in _names(run)
    old = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(run.ended, (old, old))
    assert command(["prune", "--older", "1d"]) == 0
    assert "journal.jsonl" not in _names(run)


def test_a_younger_run_and_one_that_is_being_run_stay(home: Path) -> None:
    young = _run(home, "1", Ended(state=RunState.COMPLETED), days=89)
    held = _run(home, "2", Ended(state=RunState.COMPLETED))
    with lock_run(held):
        assert command(["prune", "--older", "90d"]) == 0
    assert {"journal.jsonl", "answers"} <= _names(young) & _names(held)


def test_a_dry_run_says_what_it_would_drop_and_drops_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(home, "1", Ended(state=RunState.COMPLETED))
    before = _names(run)
    assert command(["prune", "--older", "90d", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["data"]
    assert said["runs"] == [run.id]
    assert said["bytes"] > 1000
    assert said["dropped"] is False
    assert _names(run) - {"lock"} == before - {"lock"}


def test_a_pruned_run_is_not_begun_anew_and_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(home, "1", Ended(state=RunState.COMPLETED))
    command(["prune", "--older", "90d"])
    assert command(["run", "--resume", run.id]) != 0
    assert "was pruned" in capsys.readouterr().err
    assert command(["status", run.id]) == 0
    assert command(["logs", run.id]) == 0


@pytest.mark.parametrize("age", ["90", "-1d", "d", "1.5d", "999999d", "x"])
def test_an_odd_age_is_refused(home: Path, age: str) -> None:
    run = _run(home, "1", Ended(state=RunState.COMPLETED))
    assert command(["prune", f"--older={age}"]) == 4
    assert "journal.jsonl" in _names(run)


def test_the_kept_are_those_that_prove() -> None:
    assert set(PROOF) <= KEPT
    assert not KEPT & {"journal.jsonl", "answers", "coordinator.log"}
