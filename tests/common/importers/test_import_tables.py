"""Descriptions of several tables become one schema: keys, parents and links as they state them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.importers import find_description, import_tables
from silosynth.common.tables import parse_tables

SDV: dict[str, Any] = {
    "METADATA_SPEC_VERSION": "V1",
    "tables": {
        "guests": {
            "primary_key": "guest",
            "columns": {
                "guest": {"sdtype": "id", "regex_format": "G-[0-9]{5}"},
                "vip": {"sdtype": "boolean"},
                "invited_by": {"sdtype": "id", "regex_format": "G-[0-9]{5}"},
            },
        },
        "stays": {
            "primary_key": "stay",
            "columns": {
                "stay": {"sdtype": "id"},
                "guest": {"sdtype": "id", "regex_format": "G-[0-9]{5}"},
                "room": {"sdtype": "categorical"},
            },
        },
        "meals": {
            "columns": {
                "stay": {"sdtype": "id"},
                "payer": {"sdtype": "id", "regex_format": "G-[0-9]{5}"},
                "price": {"sdtype": "numerical"},
            }
        },
    },
    "relationships": [
        {
            "parent_table_name": parent,
            "parent_primary_key": key,
            "child_table_name": child,
            "child_foreign_key": column,
        }
        for parent, key, child, column in (
            ("guests", "guest", "guests", "invited_by"),
            ("guests", "guest", "stays", "guest"),
            ("stays", "stay", "meals", "stay"),
            ("guests", "guest", "meals", "payer"),
        )
    ],
}
FRICTIONLESS: dict[str, Any] = {
    "resources": [
        {
            "name": "customers",
            "schema": {
                "primaryKey": "id",
                "fields": [{"name": "id", "type": "integer"}, {"name": "vip", "type": "boolean"}],
            },
        },
        {
            "name": "orders",
            "schema": {
                "primaryKey": ["no"],
                "fields": [
                    {"name": "no", "type": "string"},
                    {"name": "buyer", "type": "integer", "constraints": {"required": True}},
                    {"name": "giver", "type": "integer"},
                ],
                "foreignKeys": [
                    {"fields": "giver", "reference": {"resource": "customers", "fields": "id"}},
                    {"fields": ["buyer"], "reference": {"resource": "customers", "fields": ["id"]}},
                ],
            },
        },
    ]
}
DBT = """
models:
- name: customers
  columns:
  - {name: customer_id, data_type: int, tests: [unique, not_null]}
  - {name: active, data_type: bool, tests: [not_null]}
- name: orders
  columns:
  - {name: order_id, data_type: int, tests: [unique, not_null]}
  - name: customer_id
    data_type: int
    tests: [not_null, {relationships: {to: ref('customers'), field: customer_id}}]
"""


def _written(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "described.json"
    path.write_text(json.dumps(document))
    return path


def _filled(document: dict[str, Any]) -> dict[str, Any]:
    """Declare what an import leaves to declare."""
    for table in document["tables"].values():
        if "children" in table:
            table["children"] = [0, 1, 2, 5]
        for attribute in table["attributes"]:
            kind = attribute["kind"]
            dates = kind == "datetime"
            attribute |= {
                k: {"categories": [1, 2], "minimum": "2000-01-01" if dates else 0}.get(
                    k, "2020-01-01" if dates else 9
                )
                for k, v in attribute.items()
                if v is None
            }
            attribute["source"] = "declared"
    return document


def test_sdv_relationships_become_parents_and_links(tmp_path: Path) -> None:
    imported = import_tables(_written(tmp_path, SDV))
    assert imported is not None
    document = _filled(json.loads(json.dumps(imported.document)))
    schema = parse_tables(document)
    assert schema.person == "guests"
    assert {n: (t.parent, t.by) for n, t in schema.tables.items()} == {
        "guests": (None, None),
        "stays": ("guests", "guest"),
        "meals": ("stays", "stay"),
    }
    assert {c: k.to for c, k in schema.tables["meals"].links.items()} == {"payer": "guests"}
    assert {c: k.to for c, k in schema.tables["guests"].links.items()} == {"invited_by": "guests"}
    assert any("meals: children" in fact for fact in imported.missing_facts)
    assert not any("will not join" in note for note in imported.notes)


def test_the_deepest_table_that_must_be_named_is_the_parent(tmp_path: Path) -> None:
    imported = import_tables(_written(tmp_path, FRICTIONLESS))
    assert imported is not None
    orders = parse_tables(_filled(json.loads(json.dumps(imported.document)))).tables["orders"]
    assert (orders.key, orders.parent, orders.by) == ("no", "customers", "buyer")
    assert set(orders.links) == {"giver"}


def test_dbt_relationships_are_read(tmp_path: Path) -> None:
    path = tmp_path / "schema.yml"
    path.write_text(DBT)
    imported = import_tables(path)
    assert imported is not None
    schema = parse_tables(_filled(json.loads(json.dumps(imported.document))))
    assert schema.tables["orders"].by == "customer_id"
    assert schema.tables["customers"].key == "customer_id"


@pytest.mark.parametrize("version", ["5.3", "5.4"])
def test_a_version_of_omop_is_known_by_name(version: str) -> None:
    imported = import_tables(find_description(Path(f"omop-{version}")))
    assert imported is not None
    schema = parse_tables(_filled(json.loads(json.dumps(imported.document))))
    assert schema.person == "person"
    tables = schema.tables
    assert (tables["visit_detail"].parent, tables["visit_detail"].by) == (
        "visit_occurrence",
        "visit_occurrence_id",
    )
    assert tables["condition_occurrence"].parent == "person"
    link = tables["condition_occurrence"].links["visit_occurrence_id"]
    assert (link.to, link.within.value) == ("visit_occurrence", "person")
    assert tables["visit_occurrence"].order == "visit_start_date"
    assert "concept" not in tables
    assert any("left out" in note and "provider" in note for note in imported.notes)


def test_an_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match=r"known: 5\.3, 5\.4"):
        find_description(Path("omop-9.1"))


def test_several_possible_persons_are_for_the_user_to_choose(tmp_path: Path) -> None:
    document = json.loads(json.dumps(SDV))
    document["tables"]["hotels"] = {"primary_key": "h", "columns": {"h": {"sdtype": "id"}}}
    document["tables"]["stays"]["columns"]["h"] = {"sdtype": "id"}
    document["relationships"].append(
        {
            "parent_table_name": "hotels",
            "parent_primary_key": "h",
            "child_table_name": "stays",
            "child_foreign_key": "h",
        }
    )
    path = _written(tmp_path, document)
    with pytest.raises(InvalidSchema, match="--person one of 'guests', 'hotels'"):
        import_tables(path)
    with pytest.raises(InvalidArgument, match="'inns' is no table with a key"):
        import_tables(path, person="inns")
    imported = import_tables(path, person="guests")
    assert imported is not None
    assert any("hotels" in note and "left out" in note for note in imported.notes)


def test_the_command_writes_gaps_to_declare_and_one_table_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = _written(tmp_path, SDV), tmp_path / "tables.yaml"
    assert run(["schema", "import", str(path), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["data"]["missing_facts"]
    assert "stays: room: categories must be declared" in facts
    assert "children: null  # declare this" in out.read_text()
    assert run(["schema", "check", str(out)]) == InvalidSchema.exit_code
    assert "'room': categories: is not declared" in capsys.readouterr().err
    document = _filled(yaml.safe_load(out.read_text()))
    document["tables"]["stays"]["children"] = None
    out.write_text(yaml.safe_dump(document, sort_keys=False))
    assert run(["schema", "check", str(out)]) == InvalidSchema.exit_code
    assert "stays: parent is given, so children is needed too" in capsys.readouterr().err
    single = tmp_path / "one.yaml"
    words = ["schema", "import", str(path), "--table", "stays", "--out", str(single)]
    assert run(words) == 0
    assert "attributes" in yaml.safe_load(single.read_text())


def test_tables_that_name_no_other_are_read_one_by_one(tmp_path: Path) -> None:
    document = {k: v for k, v in SDV.items() if k != "relationships"}
    assert import_tables(_written(tmp_path, document)) is None
