"""Rows of several tables made from their schema alone hang together, whatever the schema."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.common.cli.app import run
from silosynth.common.codec import keeps_rules
from silosynth.common.errors import InvalidSampler, InvalidSchema, OutputExists
from silosynth.common.tables import load_tables
from silosynth.server.dummy import write_dummy_tables

TEXT = """
person: customers
source: declared
tables:
  customers:
    key: customer
    attributes:
    - {name: customer, kind: generated, provider: pattern, like: "[A-Z]{3}[0-9]{3}"}
    - {name: sex, kind: categorical, categories: [f, m], other: false}
    - {name: advised_by, kind: identifier, missing: true, missing_tokens: [none], missing_as: none}
    links: {advised_by: customers}
  orders:
    parent: customers
    by: customer
    key: number
    order: day
    children: [1, 2, 3, 6, 9]
    links: {before: {to: orders, within: person}, product: products, same_as: orders}
    attributes:
    - {name: number, kind: identifier, prefix: "#", digits: 4}
    - {name: before, kind: identifier, missing: true}
    - {name: same_as, kind: identifier, missing: true}
    - {name: day, kind: datetime, minimum: 2020-01-01, maximum: 2020-12-31, resolution: day}
    - {name: due, kind: datetime, minimum: 2020-01-01, maximum: 2020-12-31, resolution: day}
    rules: [day <= due]
  items:
    parent: orders
    by: number
    key: item
    children: [0, 1, 4]
    links: {payer: {to: customers, within: person}, elsewhere: customers}
    attributes: [{name: price, kind: integer, minimum: 1, maximum: 9}]
  stamps: {parent: items, by: item, children: [0, 1]}
references: {products: {key: id, columns: {id: [7, 8, 9]}}}
"""


@pytest.fixture(scope="module")
def schema_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "tables.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def made(schema_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    folder = tmp_path_factory.mktemp("made") / "new"
    schema = load_tables(schema_path)
    written = write_dummy_tables(schema, persons=400, seed=3, folder=folder, ending=".parquet")
    found = {name: pq.read_table(folder / f"{name}.parquet") for name in schema.tables}
    assert {n: t.num_rows for n, t in found.items()} == written
    return found


def test_every_key_is_unique_and_of_its_form(made: dict[str, pa.Table]) -> None:
    for name, key in (("customers", "customer"), ("orders", "number"), ("items", "item")):
        values = made[name][key].to_pylist()
        assert len(set(values)) == len(values)
        assert None not in values
    assert made["orders"]["number"][0].as_py() == "#0001"
    assert len(made["customers"]["customer"][0].as_py()) == 6


def test_no_row_is_an_orphan_and_links_name_rows_that_are_there(made: dict[str, pa.Table]) -> None:
    keys = {
        "customers": set(made["customers"]["customer"].to_pylist()),
        "orders": set(made["orders"]["number"].to_pylist()),
        "items": set(made["items"]["item"].to_pylist()),
    }
    for name, column, target in (
        ("orders", "customer", "customers"),
        ("items", "number", "orders"),
        ("items", "payer", "customers"),
        ("items", "elsewhere", "customers"),
        ("stamps", "item", "items"),
    ):
        assert set(made[name][column].to_pylist()) <= keys[target], column
    for name, column, target in (
        ("customers", "advised_by", "customers"),
        ("orders", "before", "orders"),
        ("orders", "same_as", "orders"),
    ):
        named = made[name][column].to_pylist()
        absent = sum(v in (None, "none") for v in named) / len(named)
        assert {v for v in named if v not in (None, "none")} <= keys[target]
        assert 0.3 < absent < 0.9, column


def test_numbers_of_children_lie_in_their_bins_each_as_likely(made: dict[str, pa.Table]) -> None:
    counts = Counter(made["orders"]["customer"].to_pylist())
    numbers = [counts[k] for k in made["customers"]["customer"].to_pylist()]
    assert (min(numbers), max(numbers)) == (1, 9)
    shares = Counter(0 if n < 2 else 1 if n < 3 else 2 if n < 6 else 3 for n in numbers)
    assert all(60 <= shares[i] <= 140 for i in range(4)), shares
    items = Counter(made["items"]["number"].to_pylist())
    numbers = [items[k] for k in made["orders"]["number"].to_pylist()]
    assert (min(numbers), max(numbers)) == (0, 4)


def test_the_rows_of_a_parent_stand_in_order_and_a_link_looks_back(
    made: dict[str, pa.Table],
) -> None:
    rows = made["orders"].to_pylist()
    place = {row["number"]: i for i, row in enumerate(rows)}
    for one, after in pairwise(rows):
        assert one["customer"] != after["customer"] or one["day"] <= after["day"]
    for i, row in enumerate(rows):
        if row["before"] is not None:
            assert place[row["before"]] < i
            assert rows[place[row["before"]]]["customer"] == row["customer"]
        assert row["same_as"] is None or place[row["same_as"]] < i
    assert len({row["before"] for row in rows}) > 50
    assert any(
        r["same_as"] and rows[place[r["same_as"]]]["customer"] != r["customer"] for r in rows
    )


def test_a_link_within_a_person_names_its_own(made: dict[str, pa.Table]) -> None:
    owner = dict(
        zip(
            made["orders"]["number"].to_pylist(),
            made["orders"]["customer"].to_pylist(),
            strict=True,
        )
    )
    items = made["items"].to_pylist()
    assert all(item["payer"] == owner[item["number"]] for item in items)
    assert any(item["elsewhere"] != owner[item["number"]] for item in items)


def test_rows_keep_their_rules_and_public_keys(
    made: dict[str, pa.Table], schema_path: Path
) -> None:
    schema = load_tables(schema_path).columns["orders"].rows
    orders = made["orders"].drop_columns(["number", "customer"])
    orders = orders.append_column("number of items", pa.array([0] * orders.num_rows))
    assert all(k.all() for k in keeps_rules(orders, schema=schema).values())
    assert set(made["orders"]["product"].to_pylist()) == {7, 8, 9}


def test_tables_are_drawn_apart(made: dict[str, pa.Table]) -> None:
    # One stream for all tables would give row i of each the same luck.
    sexes = [s == "f" for s in made["customers"]["sex"].to_pylist()]
    first = made["items"]["price"].to_pylist()[: len(sexes)]
    agree = sum(s == (p <= 4) for s, p in zip(sexes, first, strict=True)) / len(sexes)
    assert 0.35 < agree < 0.65


def test_batches_change_nothing(
    made: dict[str, pa.Table],
    schema_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("silosynth.common.sampler.sampler.BATCH_ROWS", 97)
    schema = load_tables(schema_path)
    write_dummy_tables(schema, persons=400, seed=3, folder=tmp_path, ending=".parquet")
    orders = pq.read_table(tmp_path / "orders.parquet")
    counts = Counter(orders["customer"].to_pylist())
    assert set(counts) <= set(made["customers"]["customer"].to_pylist())
    rows = orders.to_pylist()
    for one, after in pairwise(rows):
        assert one["customer"] != after["customer"] or one["day"] <= after["day"]


def test_the_command_writes_a_folder_and_marks_it(
    schema_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dummy", str(schema_path), "--rows", "50", "--out", str(tmp_path / "o"), "--json"]
    assert run(words) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["epsilon"], data["rows"]["customers"]) == (0, 50)
    about = json.loads((tmp_path / "o" / "about.json").read_text())
    assert (about["epsilon"], about["made_from"]) == (0, "the schema alone")
    stored = pq.read_schema(tmp_path / "o" / "orders.parquet")
    assert b"epsilon 0" in stored.metadata[b"silosynth"]
    typed = pq.read_table(tmp_path / "o" / "orders.parquet")
    assert run(words) == OutputExists.exit_code
    assert run([*words, "--format", "csv", "--force"]) == 0
    text = pa.csv.read_csv(tmp_path / "o" / "orders.csv")
    for column in ("number", "customer", "before"):
        same = [v or None for v in text[column].to_pylist()]
        assert same == typed[column].to_pylist()
    customers = pa.csv.read_csv(tmp_path / "o" / "customers.csv")
    assert "none" in customers["advised_by"].to_pylist()


def test_nothing_is_made_of_facts_that_nobody_vouched_for(
    schema_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT.replace("source: declared\n", ""))
    with pytest.raises(InvalidSchema, match="unreviewed"):
        write_dummy_tables(load_tables(path), persons=1, seed=1, folder=tmp_path, ending=".parquet")


def test_a_pattern_with_fewer_words_than_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT.replace("[A-Z]{3}[0-9]{3}", "[0-9]{2}"))
    with pytest.raises(InvalidSampler, match="its key has 100 words"):
        write_dummy_tables(
            load_tables(path), persons=101, seed=1, folder=tmp_path, ending=".parquet"
        )


@pytest.mark.parametrize("persons", [0, 1])
def test_hardly_anybody_is_a_folder_too(schema_path: Path, tmp_path: Path, persons: int) -> None:
    document: dict[str, Any] = yaml.safe_load(TEXT)
    document["tables"]["items"]["links"].pop("elsewhere")
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(document))
    folder = tmp_path / "out"
    written = write_dummy_tables(
        load_tables(path), persons=persons, seed=1, folder=folder, ending=".csv"
    )
    assert written["customers"] == persons
    assert sorted(p.name for p in folder.iterdir()) == [
        "about.json",
        "customers.csv",
        "items.csv",
        "orders.csv",
        "stamps.csv",
    ]


def test_gaps_and_rules_across_tables_hold_in_dummy_rows(tmp_path: Path) -> None:
    document = yaml.safe_load(TEXT)
    document["rules"] = ["customers.since <= orders.day", "orders.late is last"]
    since = {"name": "since", "kind": "datetime", "minimum": "2019-06-01"}
    since |= {"maximum": "2020-06-01", "resolution": "day"}
    document["tables"]["customers"]["attributes"].append(since)
    orders = document["tables"]["orders"]
    orders["gaps"] = [1, 2, 8, 31]
    orders["attributes"].append({"name": "late", "kind": "boolean"})
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(document))
    schema = load_tables(tmp_path / "s.yaml")
    write_dummy_tables(schema, persons=200, seed=1, folder=tmp_path / "d", ending=".parquet")
    found = {n: pq.read_table(tmp_path / "d" / f"{n}.parquet").to_pylist() for n in schema.tables}
    since_of = {c["customer"]: c["since"] for c in found["customers"]}
    assert all(since_of[o["customer"]] <= o["day"] <= o["due"] for o in found["orders"])
    seen = 0
    for one, other in pairwise(found["orders"]):
        if one["customer"] == other["customer"]:
            assert 1 <= (other["day"] - one["day"]).days <= 31
            assert not one["late"]
            seen += 1
    assert seen > 200
    assert json.loads((tmp_path / "d" / "about.json").read_text())["epsilon"] == 0
