"""What a simulation keeps of real rows is for its owner alone, and persons count as in a silo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, InvalidTable, OutputExists
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.schema import dump_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from silosynth.simulations.run_files import RunDirectory, RunResult
from silosynth.simulations.silos import SiloDirectory, open_gateway
from tests.support.fakes import small_schema

SILOS = ("north", "south")
ROWS = 4_000


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """Run with the least careful umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def table_of(rows: int = ROWS, *, seed: int = 1) -> pa.Table:
    """Return rows of which the first half is one busy person's, and the last nobody's."""
    random = np.random.default_rng(seed)
    age = random.integers(0, 20, rows)
    return pa.table(
        {
            "age": age,
            "region": random.choice(["n", "s", "w"], rows),
            "ill": random.random(rows) < 0.5,
            "old": age >= 10,
            "who": ["busy" if i < rows // 2 else f"p{i}" for i in range(rows - 1)] + [None],
        }
    )


def plan_of(*, rows_per_person: int = 1) -> Plan:
    return new_plan(
        small_schema(),
        epsilon=2.0,
        delta=1e-6,
        silos=SILOS,
        method="independent",
        rows_per_person=rows_per_person,
        plan_id="p",
    )


def simulate_in(directory: Path, *, rows: int = ROWS, **facts: object) -> RunResult:
    table = table_of(rows)
    if "person_column" not in facts:
        table = table.drop_columns("who")
    return simulate(
        plan_of(),
        schema=small_schema(),
        silos=dict.fromkeys(SILOS, table),
        directory=directory,
        engine="local",
        **facts,  # type: ignore[arg-type]  # of several types
    )


def open_to_others(path: Path) -> list[Path]:
    found = [path, *path.rglob("*")]
    return [p for p in found if p.stat().st_mode & 0o077]


def test_no_file_of_a_silo_can_be_read_by_others(tmp_path: Path) -> None:
    simulate_in(tmp_path / "run", person_column="who")
    silos = RunDirectory(path=tmp_path / "run").silos
    assert {"table.parquet", "ledger.sqlite", "silo.json", "persons.secret", "operator.log"} <= {
        p.name for p in silos.rglob("*")
    }
    assert open_to_others(silos) == []


def test_a_run_that_was_open_to_others_is_closed_when_it_goes_on(tmp_path: Path) -> None:
    simulate_in(tmp_path / "run")
    silos = RunDirectory(path=tmp_path / "run").silos
    for path in (silos, silos / "north", silos / "north" / "table.parquet"):
        path.chmod(0o777 if path.is_dir() else 0o644)
    simulate_in(tmp_path / "run")
    assert open_to_others(silos) == []


def test_a_silo_that_goes_on_holds_the_table_that_it_is_given(tmp_path: Path) -> None:
    """Rows that were deleted since the run began are gone, and what was released stays."""
    before = simulate_in(tmp_path / "run")
    after = simulate_in(tmp_path / "run", rows=12)
    silo = SiloDirectory(path=RunDirectory(path=tmp_path / "run").silos / "north")
    assert pq.read_table(silo.table).num_rows == 12
    assert before.sampler.total == after.sampler.total


def test_at_most_so_many_rows_of_a_person_count_as_a_policy_would_have_it(
    tmp_path: Path, fixed_bits: None
) -> None:
    """The busy person's 2,000 rows of 4,000 are far beyond the noise."""
    every = simulate_in(tmp_path / "every").sampler.total
    bounded = simulate_in(tmp_path / "bounded", person_column="who").sampler.total
    assert abs(every - 2 * ROWS) < ROWS / 4
    assert abs(bounded - (ROWS + 2)) < ROWS / 4


def test_a_plan_asks_for_more_rows_of_a_person_than_a_silo_gives(tmp_path: Path) -> None:
    simulate(
        plan_of(rows_per_person=ROWS),
        schema=small_schema(),
        silos=dict.fromkeys(SILOS, table_of()),
        directory=tmp_path / "run",
        engine="local",
        person_column="who",
        rows_per_person=3,
    )
    silo = SiloDirectory(path=RunDirectory(path=tmp_path / "run").silos / "north")
    with open_gateway(silo) as gateway:
        dataset = gateway._door.datasets["default"]
        assert (dataset.policy.rows_per_person, dataset.bounded) == (3, True)


def test_persons_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="'nobody', which names persons, is missing"):
        simulate_in(tmp_path / "a", person_column="nobody")
    with pytest.raises(InvalidArgument, match="need a person column"):
        simulate_in(tmp_path / "b", rows_per_person=2)
    simulate_in(tmp_path / "c")
    with pytest.raises(OutputExists, match="other persons"):
        simulate_in(tmp_path / "c", person_column="who")


def test_the_command_is_told_of_persons_and_reports_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(dump_plan(plan_of()))
    (tmp_path / "schema.yaml").write_text(dump_schema(small_schema()))
    tables = tmp_path / "tables"
    tables.mkdir()
    for silo in SILOS:
        pq.write_table(table_of(), tables / f"{silo}.parquet")
    words = ["simulate", str(tmp_path / "plan.yaml"), "--schema", str(tmp_path / "schema.yaml")]
    words += ["--silos", str(tables), "--out", str(tmp_path / "run"), "--engine", "local"]
    assert run([*words, "--person-column", "who", "--rows-per-person", "1"]) == 0
    assert run(["report", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert "busy" not in (tmp_path / "run" / "report.html").read_text()
    assert open_to_others(tmp_path / "run" / "silos") == []
