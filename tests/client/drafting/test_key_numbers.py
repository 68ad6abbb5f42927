"""Keys that are numbers come out with as many digits as they had, and the same in every table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from silosynth.client.drafting import draft_schema, draft_tables
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import parse_schema
from silosynth.common.tables import load_tables
from silosynth.server.dummy import write_dummy_tables

RNG = np.random.default_rng(4)
PERSONS = 300


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (np.arange(10_001, 10_301), {"start": 10_001}),
        (np.arange(48_231, 48_531), {"start": 10_001}),
        (np.arange(1, 301), {}),
        (np.arange(0, 300), {"start": 0}),
        (np.arange(90, 390), {"start": 11}),
        ([str(n) for n in range(10_001, 10_301)], {"start": 10_001}),
        ([f"V{n}" for n in range(481_234, 481_534)], {"prefix": "V", "start": 100_001}),
        ([f"V{n:06}" for n in range(300)], {"prefix": "V", "digits": 6}),
        (RNG.permutation(np.arange(10_001, 10_301)), {"start": 10_001}),
    ],
)
def test_a_key_is_drafted_with_where_numbers_of_its_length_start(
    values: Any, form: dict[str, Any]
) -> None:
    table = pa.table({"x": pa.array(values), "y": [True] * len(values)})
    found = yaml.safe_load(draft_schema(table, name="t").text())["attributes"][0]
    assert found["kind"] == "identifier"
    assert {k: v for k, v in found.items() if k in ("prefix", "digits", "start", "like")} == form


@pytest.mark.parametrize("key", [{"like": "[0-9]{9}", "start": 5}, {"start": -1}])
def test_a_start_that_says_nothing_is_refused(key: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema):
        parse_schema({"name": "t", "attributes": [{"name": "x", "kind": "identifier"} | key]})


def test_a_start_needs_version_two_and_keys_without_one_are_as_they_were() -> None:
    plain = {"name": "x", "kind": "identifier"}
    schema = parse_schema({"name": "t", "attributes": [plain]})
    assert schema.version == 1
    assert parse_schema({"name": "t", "attributes": [plain | {"start": 1}]}) == schema
    assert parse_schema({"name": "t", "attributes": [plain | {"start": 7}]}).version == 2


def export(folder: Path, *, ending: str) -> Path:
    """Write persons with running numbers, visits with wide ones, and wards with short words."""
    folder.mkdir()
    persons = pd.DataFrame({"person_id": np.arange(PERSONS) + 10_001})
    persons["sex"] = RNG.choice(["f", "m"], PERSONS)
    owner = np.repeat(persons["person_id"].to_numpy(), RNG.integers(0, 5, PERSONS))
    visits = pd.DataFrame({"visit_id": RNG.permutation(90_000)[: len(owner)] + 700_000})
    visits["person_id"] = owner
    visits["ward"] = RNG.choice(["w1", "w2", "w3"], len(owner))
    drugs = pd.DataFrame({"visit_id": np.repeat(visits["visit_id"].to_numpy(), 2)})
    drugs["dose"] = RNG.integers(1, 10, len(drugs))
    for name, table in (("persons", persons), ("visits", visits), ("drugs", drugs)):
        if ending == ".csv":
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_keys_of_several_tables_have_their_length_and_hang_together(
    tmp_path: Path, ending: str
) -> None:
    folder, out = export(tmp_path / "in", ending=ending), tmp_path / "tables.yaml"
    out.write_text(draft_tables(folder, name="t", beside=tmp_path).text())
    accept = ["schema", "accept", str(out), "--all-declared", "--lines", "all", "--why", "ours"]
    assert run(accept) == 0
    schema = load_tables(out)
    forms = {n: t.attributes[0].model_dump(exclude_defaults=True) for n, t in schema.tables.items()}
    assert forms["persons"]["start"] == 10_001
    assert forms["visits"]["like"] == "[1-9][0-9]{5}"
    write_dummy_tables(
        schema, persons=50, seed=3, folder=tmp_path / "out", ending=ending, force=False
    )
    read = pd.read_csv if ending == ".csv" else pd.read_parquet
    drawn = {n: read(tmp_path / "out" / f"{n}{ending}") for n in schema.tables}
    assert drawn["persons"]["person_id"].tolist() == [*range(10_001, 10_051)]
    keys = drawn["visits"]["visit_id"]
    assert keys.is_unique
    assert keys.between(100_000, 999_999).all()
    assert keys.dtype == drawn["drugs"]["visit_id"].dtype == np.int64
    assert set(drawn["visits"]["person_id"]) <= set(drawn["persons"]["person_id"])
    assert set(drawn["drugs"]["visit_id"]) <= set(keys)
