"""The command says the guarantee first, and of single counts what holds, when, and what not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from silosynth.common.certificate import CONDITIONS, HEADING, NOT_SAID, certify_plan
from silosynth.common.cli.app import run
from silosynth.server.planning import new_plan
from tests.support.fakes import small_schema


def written(place: Path, method: str = "independent") -> Path:
    plan = new_plan(
        small_schema(), epsilon=1.0, delta=1e-6, silos=("a", "b"), plan_id="p", method=method
    )
    path = place / "certificate.json"
    path.write_text(certify_plan(plan).model_dump_json())
    return path


def test_it_is_printed_under_its_own_heading_with_what_it_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["certificate", "statistical", str(written(tmp_path)), "--rows", "20000"]
    assert run([*asked, "--share", "0.5", "--json"]) == 0
    out, err = capsys.readouterr()
    said = " ".join(err.split())
    assert said.startswith("The guarantee:")
    for sentence in (HEADING, *CONDITIONS, *NOT_SAID):
        assert sentence in said
    data = json.loads(out)["data"]
    (count,) = data["counts"]
    assert count["epsilon"] < count["noise_alone"]
    assert data["does_not_say"] == list(NOT_SAID)
