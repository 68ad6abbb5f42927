"""What real time is not for is refused in one line, before a process is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema
from silosynth.simulations.real_time import live
from silosynth.simulations.real_time.live import Once
from silosynth.simulations.world import parse_scenario
from tests.support.tables.worlds import SILOS, plan, schema, tables

WORLD = {"name": "w", "regions": {"all": {"silos": list(SILOS), "rules": {"max_epsilon": 1}}}}


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a federation would be started."""

    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(live, "wired", start)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write a federation's files; return the command that simulates it."""
    (tmp_path / "tables").mkdir()
    for name, table in tables().items():
        pq.write_table(table, tmp_path / "tables" / f"{name}.parquet")
    (tmp_path / "schema.yaml").write_text(dump_schema(schema()))
    (tmp_path / "plan.yaml").write_text(dump_plan(plan()))
    (tmp_path / "world.yaml").write_text(dump_document(WORLD))
    made = ["simulate", str(tmp_path / "plan.yaml"), "--schema", str(tmp_path / "schema.yaml")]
    return [*made, "--silos", str(tmp_path / "tables"), "--out", str(tmp_path / "run")]


@pytest.mark.parametrize("more", ["", "--sweep epsilon=1,2", "--scenario world.yaml --otherwise"])
def test_real_time_goes_with_a_scenario_alone(
    more: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = more.replace("world.yaml", str(tmp_path / "world.yaml")).split()
    assert run([*words, *asked, "--real-time"]) == InvalidArgument.exit_code
    assert "--real-time goes with --scenario alone" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("--otherwise", "--otherwise goes with --scenario"),
        ("--sweep epsilon=1,2 --otherwise", "--otherwise goes with --scenario"),
        ("--cluster x:1", "--cluster goes with --sweep or --real-time"),
        ("--scenario world.yaml --cluster x:1", "--cluster goes with --sweep or --real-time"),
        ("--repeat 2", "--repeat goes with --sweep"),
        ("--scenario world.yaml --repeat 2", "--repeat goes with --sweep"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(
    more: str, told: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = more.replace("world.yaml", str(tmp_path / "world.yaml")).split()
    assert run([*words, *asked]) == InvalidArgument.exit_code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_plan_that_breaks_a_rule_is_refused_before_anything_starts(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--scenario", str(tmp_path / "world.yaml"), "--real-time"]) != 0
    assert "region all: rule max_epsilon" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_more_silos_than_processes_are_for_are_refused(tmp_path: Path) -> None:
    many = {"name": "many", "regions": {"all": {"silos": {"prefix": "s", "count": 101}}}}
    with pytest.raises(InvalidArgument, match="101 silos are more than 100"):
        Once()(plan(), scenario=parse_scenario(many, origin="test"), directory=tmp_path / "run")
