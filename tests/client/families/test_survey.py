"""An operator is told what of a silo's tables would not be counted; blocks never part a family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.client.families import FamilyRows, find_tables, rows, survey_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.owners import PERSON
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidTable
from silosynth.common.families import Phase, Question
from silosynth.common.tables import parse_tables

DOCUMENT = {
    "person": "people",
    "source": "public",
    "tables": {
        "people": {
            "key": "id",
            "attributes": [
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False}
            ],
        },
        "visits": {
            "parent": "people",
            "by": "person",
            "key": "visit",
            "order": "day",
            "children": [0, 1, 2],
            "attributes": [{"name": "day", "kind": "integer", "minimum": 0, "maximum": 9}],
        },
        "drugs": {
            "parent": "visits",
            "by": "visit",
            "children": [0, 3],
            "attributes": [{"name": "dose", "kind": "integer", "minimum": 1, "maximum": 9}],
        },
    },
}
SCHEMA = parse_tables(DOCUMENT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write tables with a bit of everything that can be wrong."""
    keys = pd.array([1, 2, 2, None], dtype="Int64")
    people = pd.DataFrame({"id": keys, "sex": ["f", "m", "f", "m"]})
    people.to_csv(tmp_path / "people.csv", index=False)
    visits = pd.DataFrame(
        {
            "visit": ["a", "b", "c", "d", "d", "e"],
            "person": [1, 1, 1, 2, 2, 9],
            "day": [1, 1, 0, 3, 4, 5],
        }
    )
    visits.to_parquet(tmp_path / "visits.parquet")
    drugs = pd.DataFrame({"visit": ["a", "d", "e", "zz"], "dose": [1, 2, 3, 4]})
    drugs.to_csv(tmp_path / "drugs.csv", index=False)
    (tmp_path / "tables.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    return tmp_path


def test_an_operator_is_told_what_is_not_counted_and_why(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["silo", "tables", str(folder), "--schema", str(folder / "tables.yaml"), "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["data"]["words"] == [
        "people: 2 rows belong to a person and are counted",
        "people: 1 rows belong to nobody and are not counted: have no key",
        "people: 1 rows have the key of another row; one row a key is counted",
        "visits: 5 rows belong to a person and are counted",
        "visits: 1 rows belong to nobody and are not counted: 'person' names no row of 'people' "
        "here",
        "visits: 1 rows have the key of another row; what names it is under one",
        "visits: 1 rows of people have fewer than 0 or more than 2 of them; they are counted as "
        "having so many",
        "drugs: 2 rows belong to a person and are counted",
        "drugs: 2 rows belong to nobody and are not counted: 'visit' names no row of 'visits' here",
    ]


def test_a_table_has_one_file_of_its_name(folder: Path) -> None:
    (folder / "drugs.tsv").write_text("visit\tdose\n")
    with pytest.raises(InvalidTable, match="several files of table 'drugs'"):
        find_tables(folder, schema=SCHEMA)
    (folder / "drugs.tsv").unlink()
    (folder / "drugs.csv").unlink()
    with pytest.raises(InvalidTable, match="no file of table 'drugs'"):
        find_tables(folder, schema=SCHEMA)


def test_a_column_that_says_whose_rows_are_must_be_there(folder: Path) -> None:
    (folder / "drugs.csv").write_text("dose\n1\n")
    with pytest.raises(InvalidTable, match="table 'drugs': column 'visit' is missing"):
        survey_families(SCHEMA, find_tables(folder, schema=SCHEMA))


def test_what_cannot_be_read_tells_nothing_of_its_rows(folder: Path) -> None:
    (folder / "visits.parquet").write_bytes(b"PAR1 secret words PAR1")
    with pytest.raises(InvalidTable) as told:
        survey_families(SCHEMA, find_tables(folder, schema=SCHEMA))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("persons", [1, 7, 1000])
def test_a_block_holds_whole_families(persons: int) -> None:
    random = np.random.default_rng(4)
    keys = random.permutation(60)
    tables = {
        "people": pa.table({"id": keys, "sex": ["f"] * 60}),
        "visits": pa.table(
            {
                "visit": np.arange(300),
                "person": random.integers(0, 70, 300),
                "day": random.integers(0, 9, 300),
            }
        ),
        "drugs": pa.table({"visit": random.integers(0, 300, 500), "dose": [1] * 500}),
    }
    seen: set[str] = set()
    rows = 0
    with join_tables(SCHEMA, tables) as joined:
        for block in joined.blocks(persons=persons):
            own = set(block["people"][PERSON].to_pylist())
            assert not own & seen
            assert all(set(t[PERSON].to_pylist()) <= own for t in block.values())
            seen |= own
            rows += block["visits"].num_rows
        lost = joined.nobodys().rows
    assert len(seen) == 60
    assert rows + lost["visits"] == 300


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def held(rows: int) -> int:
        place = tmp_path / f"{rows}.parquet"
        visits = pa.table(
            {"visit": np.arange(rows), "person": np.arange(rows) // 4, "day": [1] * rows}
        )
        pq.write_table(visits, place)
        people = pa.table({"id": np.arange(rows // 4), "sex": ["f"] * (rows // 4)})
        drugs = pa.table({"visit": pa.array([], pa.int64()), "dose": pa.array([], pa.int64())})
        most = 0
        with join_tables(SCHEMA, {"people": people, "visits": place, "drugs": drugs}) as joined:
            for block in joined.blocks(persons=1000):
                most = max(most, sum(t.num_rows for t in block.values()))
        return most

    assert held(80_000) == held(20_000)


def test_the_operator_is_told_of_rows_that_break_rules_across_tables(tmp_path: Path) -> None:
    """Of a visit and its person, of a drug and the person above its visit, and of last rows."""
    tables = {**DOCUMENT["tables"]}  # type: ignore[dict-item]
    born = {"name": "born", "kind": "integer", "minimum": 0, "maximum": 9, "missing": True}
    dead = {"name": "dead", "kind": "boolean"}
    for name, more in (("people", born), ("visits", dead)):
        tables[name] = {**tables[name], "attributes": [*tables[name]["attributes"], more]}
    rules = ["people.born <= visits.day", "people.born < drugs.dose", "visits.dead is last"]
    schema = parse_tables({**DOCUMENT, "tables": tables, "rules": rules})
    people = {"id": [1, 2, 3], "sex": ["f", "m", "f"], "born": [4, None, 2]}
    visits = {
        "visit": ["a", "b", "c", "d", "e", "f", "x"],
        "person": [1, 1, 1, 2, 3, 3, 9],
        "day": [5, 3, 9, 1, 7, 7, 0],
        "dead": [True, False, True, True, True, False, True],
    }
    drugs = {"visit": ["a", "a", "d", "f", "x"], "dose": [4, 5, 1, 2, 1]}
    for name, columns in (("people", people), ("visits", visits), ("drugs", drugs)):
        pd.DataFrame(columns).astype({"born": "Int64"} if "born" in columns else {}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    words = survey_families(schema, find_tables(tmp_path, schema=schema))
    said = [w.split(";")[0] for w in words if "break the rule" in w]
    assert said == [
        # Day 3 of whoever was born on day 4; the two of day 7 tie, so that both are last.
        "visits: 1 rows break the rule 'people.born <= visits.day'",
        "visits: 1 rows break the rule 'visits.dead is last'",
        "drugs: 2 rows break the rule 'people.born < drugs.dose'",
    ]


def test_a_gateway_that_counts_holds_no_row_against_rules(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an operator is told of rules is worked out where nobody outside waits for it."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("rows were held against rules")

    monkeypatch.setattr(rows, "keeps_rules", never)
    schema = parse_tables({**DOCUMENT, "rules": ["visits.day <= drugs.dose"]})
    files = find_tables(folder, schema=schema)
    source = FamilyRows(schema, files, secret=bytes(32))
    source.count(Phase(plain=(Question(view="people", clique=("sex",)),)))
    with pytest.raises(AssertionError, match="held against rules"):
        survey_families(schema, files)
