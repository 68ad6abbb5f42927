"""A run's directory read again: the same bytes, what it cost, and no silo asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import parse_schema
from silosynth.server.driver import RunCost, count_cost, read_cost
from silosynth.server.planning import new_plan
from silosynth.server.report import open_run
from silosynth.server.report.again import fields_set
from silosynth.simulations.run import Engine, simulate

SCHEMA = parse_schema(
    {
        "name": "people",
        "attributes": [
            {"name": n, "kind": "categorical", "categories": ["x", "y", "z"], "source": "declared"}
            for n in ("a", "b", "c")
        ],
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run that has ended."""
    rng = np.random.default_rng(1)
    silos = {
        name: pa.table({c: rng.choice(["x", "y", "z"], 400) for c in "abc"})
        for name in ("north", "south")
    }
    plan = new_plan(SCHEMA, epsilon=1.0, delta=1e-6, silos=list(silos), method="mst")
    path = tmp_path_factory.mktemp("again") / "run"
    simulate(plan, schema=SCHEMA, silos=silos, directory=path, engine=Engine.LOCAL)
    return path


def figures(path: Path) -> dict[str, float]:
    opened = open_run(path)
    assert opened is not None
    return {m.name: m.value for m in opened.reuse}


def test_a_run_is_made_again_byte_for_byte_and_says_what_it_cost(run: Path) -> None:
    found = figures(run)
    assert found["made again from what left the silos, same bytes"] == 1
    assert found["fields of the plan that a person set"] == 3
    assert found["bytes that a silo sent, in the mean"] > 0
    assert found["seconds that the run took"] > 0
    opened = open_run(run)
    assert opened is not None
    assert {m.clique for m in opened.known.releases} >= {("a",), ("b",), ("c",)}
    assert opened.known.sampler is not None


def test_another_sampler_is_not_called_the_same(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    rng = np.random.default_rng(2)
    silos = {
        name: pa.table({c: rng.choice(["x", "y", "z"], 400) for c in "abc"})
        for name in ("north", "south")
    }
    plan = new_plan(SCHEMA, epsilon=1.0, delta=1e-6, silos=list(silos), method="mst")
    simulate(plan, schema=SCHEMA, silos=silos, directory=tmp_path / "new", engine=Engine.LOCAL)
    shutil.copy(tmp_path / "new" / "result.sampler", other / "result.sampler")
    assert figures(other)["made again from what left the silos, same bytes"] == 0


def test_a_folder_that_is_no_run_tells_nothing(tmp_path: Path) -> None:
    assert open_run(tmp_path) is None


def test_fields_that_differ_from_their_defaults_are_counted() -> None:
    plan = new_plan(
        SCHEMA,
        epsilon=1.0,
        delta=1e-6,
        silos=["a", "b", "c"],
        method="mst",
        rows_per_person=2,
        trust="shared",
        colluders=1,
    )
    assert fields_set(plan) >= 6


def test_attempts_are_added_up_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_cost(tmp_path) is None
    with count_cost(tmp_path):
        pass
    first = read_cost(tmp_path)
    assert first is not None
    with pytest.raises(ZeroDivisionError), count_cost(tmp_path):
        raise ZeroDivisionError
    second = read_cost(tmp_path)
    assert second is not None
    assert second.wall_seconds > first.wall_seconds
    (tmp_path / "cost.json").write_text(
        RunCost(wall_seconds=1, cpu_seconds=1, peak_mb=1)
        .model_dump_json()
        .replace('"version":1', '"version":2')
    )
    with pytest.raises(InvalidArgument, match="another version"):
        read_cost(tmp_path)


def test_a_run_that_a_large_process_started_is_not_counted_with_its_memory(tmp_path: Path) -> None:
    """What the system keeps as a process's most begins with what its parent held."""
    counts = (
        "from pathlib import Path; from silosynth.server.driver import count_cost\n"
        f"with count_cost(Path({str(tmp_path)!r})): pass"
    )
    starts = (
        "import subprocess, sys; held = b'x' * 10**9\n"
        f"subprocess.run([sys.executable, '-c', {counts!r}], check=True)"
    )
    subprocess.run([sys.executable, "-c", starts], check=True)
    cost = read_cost(tmp_path)
    assert cost is not None
    assert 0 < cost.peak_mb < 500
