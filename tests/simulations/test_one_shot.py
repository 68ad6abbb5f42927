"""A one-shot generator from tables to rows by the command line, and again after a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.schema import dump_schema, parse_schema

SILOS = ("north", "south")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Write a schema with a label, and tables in which it depends on the other attributes."""
    numbers = {"kind": "integer", "minimum": 0, "maximum": 59, "source": "public", "missing": True}
    regions = {"kind": "categorical", "categories": ["a", "b", "c"], "source": "public"}
    schema = parse_schema(
        {
            "name": "people",
            "label": "ill",
            "attributes": [
                {"name": "id", "kind": "identifier"},
                {"name": "age", **numbers, "bins": {"kind": "width", "count": 6}},
                {"name": "region", **regions},
                {"name": "ill", "kind": "boolean"},
            ],
        }
    )
    (tmp_path / "schema.yaml").write_text(dump_schema(schema))
    (tmp_path / "tables").mkdir()
    for i, name in enumerate(SILOS):
        rng = np.random.default_rng(i)
        age = rng.integers(0, 60, 4000)
        region = np.array(["a", "b"])[(rng.random(4000) < np.where(age < 30, 0.9, 0.2)).astype(int)]
        table = pa.table({"age": age, "region": region, "ill": age + rng.normal(0, 5, 4000) > 40})
        pq.write_table(table, tmp_path / "tables" / f"{name}.parquet")
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    code = run([*(str(w) for w in words), "--json"])
    envelope = json.loads(capsys.readouterr().out)
    assert (envelope["status"] == "ok") == (code == 0), envelope
    return envelope["data"] if code == 0 else envelope["error"] | {"exit": code}


def _plan(place: Path, capsys: pytest.CaptureFixture[str], *more: object) -> Any:
    budget = ("--epsilon", 4, "--delta", "1e-6", "--silos", ",".join(SILOS))
    out = ("--out", place / "plan.yaml", "--method", "one-shot")
    return _json(capsys, "plan", "new", place / "schema.yaml", *budget, *out, *more)


def _simulate(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    schema = ("--schema", place / "schema.yaml", "--silos", place / "tables")
    where = ("--out", place / "run", "--engine", "local")
    return _json(capsys, "simulate", place / "plan.yaml", *schema, *where)


@pytest.mark.usefixtures("fixed_bits")
def test_the_whole_walk_and_a_crash_before_the_sampler(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plan(place, capsys, "--frequencies", 256)
    schema = ("--schema", place / "schema.yaml")
    shown = _json(capsys, "plan", "show", place / "plan.yaml", *schema, "--rows", 8000)
    assert [p["name"] for p in shown["forecast"]["phases"]] == ["values", "one-way", "embedding"]
    assert shown["epsilon"] <= 4.0
    ran = _simulate(place, capsys)
    sampler = Path(ran["sampler"])
    assert _json(capsys, "inspect", sampler)["generator"]["label"] == "ill"
    out = place / "rows.csv"
    draw = ("sample", sampler, "--rows", 20_000, "--seed", 1, "--out", out, "--force")
    _json(capsys, *draw)
    rows = csv.read_csv(out).to_pandas()
    assert rows[rows["age"] >= 50]["ill"].mean() > 0.85
    assert rows[rows["age"] < 20]["ill"].mean() < 0.15
    assert (rows[rows["age"] < 30]["region"] == "b").mean() > 0.75
    assert (rows[rows["age"] >= 30]["region"] == "b").mean() < 0.35
    _json(capsys, *draw, "--where", "ill=true", "--where", "age=..29")
    chosen = csv.read_csv(out).to_pandas()
    assert (chosen["ill"].all(), chosen["age"].max()) == (True, 29)
    for more in ([], ["--released-only", "--force"]):
        assert Path(_json(capsys, "report", place / "run", *more)["html"]).stat().st_size > 10_000
    before = sampler.read_bytes()
    spent = [(place / "run" / "silos" / s / "ledger.sqlite").read_bytes() for s in SILOS]
    sampler.unlink()
    assert _simulate(place, capsys)["epsilon"] == ran["epsilon"]
    assert sampler.read_bytes() == before
    assert spent == [(place / "run" / "silos" / s / "ledger.sqlite").read_bytes() for s in SILOS]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--frequencies", 0], "out of range"),
        (["--frequencies", 100_000], "out of range"),
        (["--order", 3], "out of range"),
    ],
)
def test_features_out_of_range_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], more: list[object], said: str
) -> None:
    error = _plan(place, capsys, *more)
    assert (error["exit"], said in error["message"]) == (4, True)
