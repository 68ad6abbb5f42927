"""Flower messages on Ray carry a run to the same end as plain calls, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray

from silosynth.client.ledger import Ledger
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.schema import dump_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.demo_insurers import demo_schema, demo_silos
from silosynth.simulations.on_ray import hosting, hosts
from silosynth.simulations.run import Engine, simulate
from silosynth.simulations.run_files import RunDirectory
from tests.support.patience import patience

COMMAND = [sys.executable, "-c", "from silosynth.common.cli.app import main; main()"]


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Plan, Path]:
    """Write a schema, a plan and one table a silo."""
    silos = demo_silos()
    plan = new_plan(demo_schema(), epsilon=1.0, delta=1e-6, silos=tuple(silos), plan_id="p")
    (tmp_path / "plan.yaml").write_text(dump_plan(plan))
    (tmp_path / "schema.yaml").write_text(dump_schema(demo_schema()))
    (tmp_path / "silos").mkdir()
    for name, table in silos.items():
        pq.write_table(table, tmp_path / "silos" / f"{name}.parquet")
    return plan, tmp_path


def _arguments(directory: Path) -> list[str]:
    return [
        *COMMAND,
        "simulate",
        str(directory / "plan.yaml"),
        "--schema",
        str(directory / "schema.yaml"),
        "--silos",
        str(directory / "silos"),
        "--out",
        str(directory / "run"),
        "--json",
    ]


def test_ctrl_c_stops_a_run_that_then_ends_as_plain_calls_do(inputs: tuple[Plan, Path]) -> None:
    plan, directory = inputs
    process = subprocess.Popen(
        _arguments(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    journal = directory / "run" / "journal.jsonl"
    _wait_for(journal, lines=2)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=patience(30))
    assert "Traceback" not in stderr
    if process.returncode != 0:
        assert process.returncode == 1
        assert "stopped" in stderr
    again = subprocess.run(
        _arguments(directory), capture_output=True, text=True, timeout=patience(180), check=False
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["status"] == "ok"
    run = RunDirectory(path=directory / "run")
    sampler = run.sampler.read_bytes()
    journal.unlink()
    simulate(
        plan,
        schema=demo_schema(),
        silos=demo_silos(),
        directory=run.path,
        engine=Engine.LOCAL,
    )
    assert run.sampler.read_bytes() == sampler


def test_hosts_that_are_killed_come_back_and_nothing_is_charged_twice(
    inputs: tuple[Plan, Path],
) -> None:
    plan, directory = inputs
    with subprocess.Popen(
        _arguments(directory), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_for(directory / "run" / "journal.jsonl", lines=2)
        killed = _hosts(of=process.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=patience(180))
    assert killed
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["status"] == "ok"
    for silo in plan.silos:
        with Ledger.open(directory / "run" / "silos" / silo / "ledger.sqlite", caps={}) as ledger:
            asked = [charge.request_id for charge in ledger.charges()]
        assert len(asked) == len(set(asked)) == len(plan.phases)


def _wait_for(journal: Path, *, lines: int) -> None:
    deadline = time.monotonic() + patience(60)
    while time.monotonic() < deadline and not (
        journal.exists() and len(journal.read_text().splitlines()) >= lines
    ):
        time.sleep(0.02)


def _hosts(*, of: int) -> list[int]:
    """Return the processes that have silos' gateways, as Ray names them, of one run."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            named = (process / "cmdline").read_text().startswith("ray::KeptGateways")
            if named and _descends(process, of=of):
                found.append(int(process.name))
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
    return found


def _descends(process: Path, *, of: int) -> bool:
    """Say whether a process is of a family; others may use Ray here as well."""
    while process.name not in ("1", "0"):
        if process.name == str(of):
            return True
        process = Path("/proc") / (process / "stat").read_text().rpartition(")")[2].split()[1]
    return False


def test_a_cluster_that_runs_on_this_machine_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Without an address Ray joins one that it finds, and then refuses the settings of one's own.
    begun: list[dict[str, Any]] = []
    _fake_ray(monkeypatch, begun, failures=0)
    with hosting(tmp_path, workers=2, held=True):
        pass
    assert [(b["address"], b["num_cpus"]) for b in begun] == [("local", 2)]


@pytest.mark.parametrize(("failures", "starts", "begins"), [(2, 3, True), (3, 3, False)])
def test_ray_is_begun_again_where_it_does_not_start_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failures: int, starts: int, begins: bool
) -> None:
    begun: list[dict[str, Any]] = []
    _fake_ray(monkeypatch, begun, failures=failures)
    try:
        with hosting(tmp_path, workers=1, held=True):
            assert begins
    except RuntimeError:
        assert not begins
    assert len(begun) == starts


def _fake_ray(monkeypatch: pytest.MonkeyPatch, begun: list[Any], *, failures: int) -> None:
    """Let Ray fail to start so often, and note how it was asked to."""

    def init(**named: Any) -> None:
        begun.append(named)
        if len(begun) <= failures:
            raise RuntimeError("The current node timed out during startup")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(hosts, "Hosts", lambda *_, **__: None)
