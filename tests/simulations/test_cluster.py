"""Flower messages on Ray carry a run to the same end as plain calls, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from silosynth.common.plan import Plan, dump_plan
from silosynth.common.schema import dump_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.cluster import _backend
from silosynth.simulations.demo_insurers import demo_schema, demo_silos
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
    deadline = time.monotonic() + patience(60)
    while time.monotonic() < deadline and not (
        journal.exists() and len(journal.read_text().splitlines()) >= 2
    ):
        time.sleep(0.02)
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


def test_a_cluster_that_runs_on_this_machine_is_left_alone() -> None:
    # Without an address Ray joins one that it finds, and then refuses the settings of one's own.
    assert _backend(2)["init_args"]["address"] == "local"
