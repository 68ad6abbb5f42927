"""An operator holds a delivered sampler against the silo's own rows: exactly, for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.policy import NewSilo
from silosynth.client.silo import init_silo
from silosynth.client.silo.rows import judging
from silosynth.client.silo.rows.datasets import load_checked_schema
from silosynth.common.cli.app import run
from silosynth.common.report.facts import decode_facts
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import Engine, simulate

CATEGORIES = ["red", "green", "blue"]


def schema(name: str = "people") -> Schema:
    attributes = [
        {"name": n, "kind": "categorical", "categories": CATEGORIES, "source": "declared"}
        for n in ("a", "b", "c")
    ]
    return parse_schema({"name": name, "attributes": attributes})


def rows(seed: int, count: int = 500) -> pa.Table:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, count)
    second = np.where(rng.random(count) < 0.8, first, rng.integers(0, 3, count))
    columns = {"a": first, "b": second, "c": rng.integers(0, 3, count)}
    table = {n: [CATEGORIES[i] for i in c] for n, c in columns.items()}
    return pa.table(table | {"pid": np.arange(count) // 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A silo's files, and a run's."""

    path: Path

    def words(self, *more: str, result: str = "run") -> list[str]:
        policy = str(self.path / "silo" / "silo.toml")
        start = ["silo", "evaluate", str(self.path / result), "--policy", policy]
        return [*start, "--out", str(self.path / "out"), *more]

    def private(self) -> dict[str, bytes]:
        """Return every file of the silo."""
        found = (p for p in (self.path / "silo").rglob("*") if p.is_file())
        return {str(p): p.read_bytes() for p in found}


def simulated(path: Path, name: str = "people") -> Path:
    silos = {s: rows(i).drop_columns(["pid"]) for i, s in enumerate(("north", "south"), 1)}
    plan = new_plan(schema(name), epsilon=1.0, delta=1e-6, silos=list(silos), method="mst")
    simulate(plan, schema=schema(name), silos=silos, directory=path, engine=Engine.LOCAL)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judged")
    (path / "schema.yaml").write_text(dump_schema(schema()))
    pq.write_table(rows(1), path / "table.parquet")
    new = NewSilo(
        name="north",
        schema=path / "schema.yaml",
        table=path / "table.parquet",
        person_column="pid",
        rows_per_person=2,
    )
    init_silo(path / "silo", new)
    simulated(path / "run")
    return path


@pytest.fixture
def place(made: Path) -> Place:
    shutil.rmtree(made / "out", ignore_errors=True)
    pq.write_table(rows(1), made / "table.parquet")
    return Place(path=made)


def test_own_rows_are_compared_and_nothing_of_the_silo_changes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = place.private(), Mock(side_effect=load_checked_schema)
    monkeypatch.setattr(judging, "load_checked_schema", read)
    assert run(place.words("--target", "a", "--group", "c")) == 0
    assert read.call_count == 1, "who reads a schema twice may read two"
    assert place.private() == before
    facts = decode_facts((place.path / "out" / "report.json").read_bytes())
    assert facts.evaluation is not None
    assert facts.evaluation.rows_real == 500
    assert facts.certificate is not None
    assert [t.name for t in facts.evaluation.targets] == ["a"]
    # Who is who is in the table, and not in the report.
    assert "pid" not in (place.path / "out" / "report.html").read_text()


def test_a_gate_that_is_missed_ends_with_1(place: Place) -> None:
    gate = place.path / "gate.yaml"
    gate.write_text("version: 1\nbars:\n- {name: 2-way distance of values, at_most: 0}\n")
    assert run(place.words("--gate", str(gate))) == 1


FAULTS: dict[str, tuple[Callable[[Path], tuple[str, ...]], str]] = {
    "a result that is not there": (lambda _: ("--result", "nowhere"), "no sampler there"),
    "an unknown data set": (lambda _: ("--dataset", "nothing"), "no data set 'nothing'"),
    "an attack without a control": (lambda _: ("--attack",), "needs a control"),
    "a person column that is missing": (
        lambda p: (pq.write_table(rows(1).drop_columns(["pid"]), p / "table.parquet"), ())[1],
        "names persons, is missing",
    ),
    "few rows": (
        lambda p: (pq.write_table(rows(1, 199), p / "table.parquet"), ())[1],
        "fewer than 200 rows",
    ),
    "another schema": (
        lambda p: ("--result", simulated(p / "strange", "strangers").name),
        "with another digest",
    ),
    "an audit of another version": (
        lambda p: ((p / "audit.json").write_text("{}"), ("--audit", str(p / "audit.json")))[1],
        "version",
    ),
    "an unknown target": (lambda _: ("--target", "nothing"), "no column that is compared"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_one_line_and_costs_nothing(
    fault: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, said = FAULTS[fault]
    more = list(spoil(place.path))
    result = "run"
    if "--result" in more:
        result = more.pop(more.index("--result") + 1)
        more.remove("--result")
    before = place.private()
    assert run(place.words(*more, result=result)) not in (0, 1)
    faults = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(faults) == 1
    assert said in faults[0]
    assert place.private() == before
    assert not (place.path / "out").exists()
