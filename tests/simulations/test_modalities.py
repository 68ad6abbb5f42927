"""Labelled texts, labelled images and rows go the whole walk, from tables to reports."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.generator import MaskedMlp, Transformer
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

PIXELS = ["p0", "p1", "p2", "p3"]
ROWS = 120
KIND = {"name": "kind", "kind": "categorical", "categories": ["ham", "spam"], "other": False}


def made_schema(kind: str) -> Schema:
    attributes: list[dict[str, Any]] = [KIND | {"source": "public"}]
    images: list[dict[str, Any]] = []
    if kind == "text":
        attributes.append({"name": "note", "kind": "text", "max_bytes": 12})
    else:
        pixel = {"kind": "integer", "minimum": 0, "maximum": 3, "source": "public"}
        attributes += [{"name": name, **pixel} for name in PIXELS]
        images.append({"name": "scan", "width": 2, "height": 2, "attributes": PIXELS})
    if kind == "table":
        images = []
    return parse_schema({"name": kind, "label": "kind", "attributes": attributes, "images": images})


def made_table(kind: str) -> pa.Table:
    rng = np.random.default_rng(1)
    spam = rng.random(ROWS) < 0.5
    columns: dict[str, Any] = {"kind": np.where(spam, "spam", "ham")}
    if kind == "text":
        columns["note"] = np.where(spam, "WIN ££££ NOW!", "see you <b>")
    else:
        columns |= {name: np.where(spam, 3, rng.integers(0, 3, ROWS)) for name in PIXELS}
    return pa.table(columns)


@pytest.mark.parametrize("kind", ["text", "image", "table"])
def test_the_whole_walk(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema, table = made_schema(kind), made_table(kind)
    small = MaskedMlp(width=8, layers=1, views=2)
    choice = TrainingChoice(
        architecture=small if kind == "table" else Transformer(width=8, layers=1, heads=2),
        rounds=2,
        local_steps=2,
        rate=Fraction(1, 10),
        sizes={"north": ROWS, "south": ROWS},
    )
    plan = new_plan(
        schema,
        epsilon=8,
        delta=1e-5,
        silos=("north", "south"),
        method="dp-sgd",
        training=choice,
    )
    place = tmp_path / "run"
    tables = {"north": table, "south": table}
    simulate(plan, schema=schema, silos=tables, directory=place, engine="local")
    out = tmp_path / "drawn.parquet"
    words = ["sample", str(place / "result.sampler"), "--rows", "40", "--seed", "1"]
    assert run([*words, "--out", str(out), "--where", "kind=spam"]) == 0
    drawn = pq.read_table(out)
    assert set(drawn["kind"].to_pylist()) == {"spam"}
    assert drawn.column_names == table.column_names
    capsys.readouterr()
    assert run(["inspect", str(place / "result.sampler"), "--json"]) == 0
    told = capsys.readouterr()
    assert "generator: " in told.err
    facts = json.loads(told.out)["data"]["generator"]
    assert facts["kind"] == choice.architecture.kind if choice.architecture else None
    assert run(["report", str(place), "--force"]) == 0
    assert run(["report", str(place), "--released-only", "--out", str(tmp_path / "out")]) == 0
    samples = json.loads((place / "report.json").read_text())["samples"]
    if kind == "table":
        assert samples is None
        return
    assert len(samples["texts" if kind == "text" else "sheets"]) >= 1
    assert 'id="samples"' in (place / "report.html").read_text()
