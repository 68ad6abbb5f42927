"""Four hospitals with their real differences, from their own files and maps to drawn rows."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv as pacsv
import pytest

from silosynth.common.cli.app import run
from silosynth.common.document import dump_document
from silosynth.common.schema import dump_schema
from tests.support.tables.hospitals import FILE, LACKS, MAPS, SCHEMA, by_hand, own_way

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="set SILOSYNTH_DATA to the data sets")
LISTED = tuple(a.name for a in SCHEMA.attributes if a.kind == "categorical")


def write(folder: Path, *, maps: bool) -> list[str]:
    """Write each hospital's table as it is, and its map; return the command that runs them."""
    tables = folder / "tables"
    tables.mkdir(parents=True)
    for hospital, table in by_hand().items():
        columns = MAPS[hospital]
        if not maps:
            moved = {n: {"from": c["from"]} for n, c in columns.items() if "from" in c}
            columns = {**moved, **{n: c for n, c in columns.items() if c == "absent"}}
        pacsv.write_csv(own_way(table, MAPS[hospital]), tables / f"{hospital}.csv")
        text = dump_document({"version": 1, "columns": columns})
        (tables / f"{hospital}.map.yaml").write_text(text)
    schema, plan = folder / "schema.yaml", folder / "plan.yaml"
    schema.write_text(dump_schema(SCHEMA))
    lacks = ";".join(f"{h}={','.join(columns)}" for h, columns in LACKS.items() if columns)
    new = ["plan", "new", str(schema), "--epsilon", "8", "--delta", "1e-6", "--method", "mst"]
    assert run([*new, "--silos", ",".join(MAPS), "--lacks", lacks, "--out", str(plan)]) == 0
    command = ["simulate", str(plan), "--schema", str(schema), "--silos", str(tables)]
    return [*command, "--engine", "local", "--out", str(folder / "run")]


def distance(folder: Path) -> float:
    """Return the mean distance of listed pairs to the rows of the hospitals that hold both."""
    out = folder / "made.csv"
    sampler = str(folder / "run" / "result.sampler")
    assert run(["sample", sampler, "--rows", "20000", "--seed", "1", "--out", str(out)]) == 0
    made = pd.read_csv(out, dtype=str).fillna("-")
    real = {h: t.to_pandas().fillna("-") for h, t in by_hand().items()}
    found = []
    for pair in combinations(LISTED, 2):
        holders = [t for h, t in real.items() if not set(pair) & set(LACKS[h])]
        shares = [f.value_counts(list(pair), normalize=True) for f in (made, pd.concat(holders))]
        found.append(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
    return float(np.mean(found))


def test_four_hospitals_are_joined_by_their_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is bent without maps lies far off, and is not bent in silence."""
    assert run(write(tmp_path / "mapped", maps=True)) == 0
    capsys.readouterr()
    bent = write(tmp_path / "bent", maps=False)
    assert run(bent) == 4
    said = capsys.readouterr().err
    assert "hungarian: sex: 294 of 294 values not listed: 0.0% of it fits" in said
    assert "switzerland: age: " in said
    assert run([*bent, "--anyway"]) == 0
    near, far = distance(tmp_path / "mapped"), distance(tmp_path / "bent")
    assert near < 0.2 < far
