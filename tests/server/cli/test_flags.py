"""The terms of a plan are said at the command line, and refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from silosynth.common.cli.app import run
from silosynth.common.plan import load_plan
from silosynth.common.schema import dump_schema
from tests.support.gateways.signed import people


def _new(directory: Path, *words: str) -> int:
    schema = directory / "schema.yaml"
    schema.write_text(dump_schema(people()))
    said = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6", "--silos", "a,b"]
    said += ["--method", "independent", "--out", str(directory / "plan.yaml"), "--force", "--json"]
    return run([*said, *words])


def test_a_plan_has_the_terms_that_were_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dataset", "visits", "--project", "flu", "--deadline", "2h", "--approval", "30d"]
    assert _new(tmp_path, *words) == 0
    plan = load_plan(tmp_path / "plan.yaml")
    assert (plan.dataset, plan.project) == ("visits", "flu")
    assert (plan.deadline_seconds, plan.approval_seconds) == (7_200, 2_592_000)
    assert json.loads(capsys.readouterr().out)["data"]["digest"] == plan.digest
    assert _new(tmp_path, "--deadline", "90") == 0
    plan = load_plan(tmp_path / "plan.yaml")
    assert (plan.dataset, plan.project, plan.deadline_seconds) == ("default", "default", 90)
    assert plan.approval_seconds == 86_400


@pytest.mark.parametrize(
    "words",
    [
        ("--deadline", "soon"),
        ("--deadline", "0s"),
        ("--deadline", "-5m"),
        ("--deadline", "1.5h"),
        ("--deadline", "8d"),
        ("--approval", "400d"),
        ("--approval", "٣d"),
        ("--dataset", ""),
        ("--project", "a/b"),
    ],
)
def test_terms_that_cannot_be_are_refused(
    words: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _new(tmp_path, *words) == 4
    captured = capsys.readouterr().err
    assert words[0][2:] in captured
    assert not (tmp_path / "plan.yaml").exists()


@pytest.mark.parametrize("rows", ["0", "-3", "1", "10000000000001"])
def test_a_bound_that_no_rows_can_have_is_refused(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _new(tmp_path, "--rows-at-most", rows) == 4
    told = capsys.readouterr().err
    assert f"rows_at_most is {rows}" in told
    assert "all 2 silos together" in told
    assert not (tmp_path / "plan.yaml").exists()


@pytest.mark.parametrize("rows", ["2.5", "1e6", "many"])
def test_a_bound_that_is_no_whole_number_is_refused(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _new(tmp_path, "--rows-at-most", rows) == 4
    assert "--rows-at-most" in capsys.readouterr().err


def test_a_bound_of_the_rows_is_asked_for_where_it_is_worth_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--method", "aim"]
    assert _new(tmp_path, *words, "--epsilon", "0.01") == 0
    (told,) = [n for n in _remarks(capsys) if "--rows-at-most" in n]
    assert "which becomes public" in told
    assert "never from a count of rows" in told
    assert _new(tmp_path, *words, "--epsilon", "0.01", "--rows-at-most", "5000") == 0
    assert not any("--rows-at-most" in n for n in _remarks(capsys))
    # Where single columns are few against any noise nothing is said.
    assert _new(tmp_path, *words, "--epsilon", "9") == 0
    assert not any("--rows-at-most" in n for n in _remarks(capsys))
    assert _new(tmp_path, "--epsilon", "0.01") == 0
    assert not any("--rows-at-most" in n for n in _remarks(capsys))


def _remarks(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return list(json.loads(capsys.readouterr().out)["data"]["remarks"])


@pytest.mark.parametrize(
    ("said", "silos", "told"),
    [
        ('"A, Inc.",b', 2, None),
        ("A, Inc.", 2, "2 silos: 'A' and 'Inc.'; put a name that has a comma into quotes"),
        ("a,b", 2, None),
    ],
)
def test_a_silo_whose_name_has_a_comma_can_be_said(
    said: str, silos: int, told: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _new(tmp_path, "--silos", said) == 0
    assert len(load_plan(tmp_path / "plan.yaml").silos) == silos
    err = capsys.readouterr().err
    assert ("into quotes" in err) == (told is not None)
    assert told is None or told in err


@pytest.mark.parametrize("said", ["", " , ", '""'])
def test_no_silo_is_told_in_a_sentence(
    said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _new(tmp_path, "--silos", said) != 0
    assert "no silo is named" in "".join(capsys.readouterr())
