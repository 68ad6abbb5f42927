"""The demonstration with digits: offices, plan, run, images, and what they teach."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.simulations.digits import demo_digits
from silosynth.simulations.digits.demo_digits import (
    OFFICES,
    PIXELS,
    digits_plan,
    digits_schema,
    digits_silos,
)


def test_the_offices_hold_three_quarters_of_the_digits_and_share_none() -> None:
    silos = digits_silos()
    assert tuple(silos) == OFFICES
    assert sum(map(len, silos.values())) == 1347
    schema = digits_schema()
    for table in silos.values():
        assert set(table.column_names) == {a.name for a in schema.attributes}
        assert np.bincount(table["digit"].to_numpy(), minlength=10).min() >= 30


def test_the_plan_sums_in_secret_and_a_run_goes_on_with_its_own(tmp_path: Path) -> None:
    plan = digits_plan(tmp_path)
    assert (plan.method.value, plan.trust.value) == ("central", "shared")
    assert digits_plan(tmp_path).id != plan.id
    (tmp_path / "plan.yaml").write_text(plan.model_dump_json())
    assert digits_plan(tmp_path) == plan


@pytest.mark.usefixtures("fixed_bits")
def test_the_whole_demonstration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    words = ["demo", "--data", "digits", "--out", str(out), "--engine", "local", "--json"]
    assert run(words) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out)["data"]
    assert data["accuracy"] > 0.7
    assert data["accuracy_real"] > 0.95
    assert "450 real ones" in printed.err
    assert set(data["silos"]) == set(OFFICES)
    assert data["epsilon"] <= demo_digits.EPSILON
    drawn = pq.read_table(out / "synthetic.parquet")
    assert len(drawn) == 1347
    assert set(drawn.column_names) == {"digit", *PIXELS}
    page = (out / "report.html").read_text()
    assert "Synthetic images of scan" in page


def test_what_is_not_installed_is_named_before_anything_is_spent(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_digits, "find_spec", lambda name: None if name == "sklearn" else name)
    out = tmp_path / "demo"
    assert run(["demo", "--data", "digits", "--out", str(out)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "needs scikit-learn" in said
    assert "silosynth[digits]" in said
    assert not out.exists()
