"""Imports take forms, keys and relations over, and list what is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers import import_schema
from silosynth.common.importers.imported import ImportedSchema


def attributes(imported: ImportedSchema) -> dict[str, dict[str, Any]]:
    return {a["name"]: a for a in imported.document["attributes"]}


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document) if path.suffix == ".json" else yaml.safe_dump(document))
    return path


def test_frictionless_forms(tmp_path: Path) -> None:
    fields = [
        {"name": "fee", "type": "number", "decimalChar": ",", "groupChar": "."}
        | {"constraints": {"minimum": 0, "maximum": 100, "required": True}},
        {"name": "day", "type": "date", "format": "%d/%m/%Y"}
        | {"constraints": {"minimum": "2020-01-01", "maximum": "2021-01-01"}},
        {"name": "at", "type": "time"},
        {"name": "ok", "type": "boolean", "trueValues": ["ja"], "falseValues": ["nein"]},
        {"name": "key", "constraints": {"unique": True, "pattern": "P-[0-9]{4}"}},
        {"name": "odd", "type": "string", "constraints": {"enum": ["a", "b"], "minLength": 1}},
    ]
    document = {"fields": fields, "missingValues": ["", "-"], "foreignKeys": [{"fields": "key"}]}
    imported = import_schema(written(tmp_path / "t.json", document))
    found = attributes(imported)
    assert found["fee"]["spelled"] == {"thousands": ".", "decimal": ","}
    assert (found["day"]["format"], found["day"]["resolution"]) == ("%d/%m/%Y", "day")
    assert found["at"]["kind"] == "time"
    assert found["ok"]["spelled"] == ["nein", "ja"]
    assert found["ok"]["missing_tokens"] == ["", "-"]
    assert (found["key"]["prefix"], found["key"]["digits"]) == ("P-", 4)
    assert "odd: not taken over: minLength" in imported.notes
    assert any("key: refers to another table" in note for note in imported.notes)
    assert imported.missing_facts == ()
    imported.schema()


def test_sdv_keys_and_relations(tmp_path: Path) -> None:
    column = {"sdtype": "id", "regex_format": "HID_[0-9]{3}"}
    document = {
        "METADATA_SPEC_VERSION": "V1",
        "tables": {
            "hotels": {"primary_key": "hotel_id", "columns": {"hotel_id": column}},
            "guests": {
                "columns": {
                    "hotel_id": column,
                    "code": {"sdtype": "id", "regex_format": "[A-Z]{2}x"},
                    "arrival": {"sdtype": "datetime", "datetime_format": "%d %b %Y"},
                    "zip": {"sdtype": "postcode"},
                }
            },
        },
        "relationships": [
            {"parent_table_name": "hotels", "child_table_name": "guests"}
            | {"child_foreign_key": "hotel_id"}
        ],
    }
    imported = import_schema(written(tmp_path / "m.json", document), table="guests")
    found = attributes(imported)
    assert (found["hotel_id"]["prefix"], found["hotel_id"]["digits"]) == ("HID_", 3)
    assert found["arrival"]["resolution"] == "day"
    told = "\n".join(imported.notes)
    assert "hotel_id: refers to table 'hotels'; synthetic rows will not join" in told
    assert 'code like "[A-Z]{2}x"' in imported.document["rules"]
    assert "make it categorical and list categories" in told


def test_arrow_types_become_forms() -> None:
    zone = "Europe/Berlin"
    schema = pa.schema(
        [
            ("n", pa.int16()),
            ("d", pa.date32()),
            ("t", pa.timestamp("ns", tz=zone)),
            ("c", pa.time32("s")),
            ("s", pa.duration("s")),
            pa.field("x", pa.decimal128(9, 2), nullable=False),
        ]
    )
    found = attributes(import_schema(schema))
    assert found["n"]["stored"] == "int16"
    assert (found["d"]["stored"], found["d"]["resolution"]) == ("date32", "day")
    assert (found["t"]["zone"], found["t"]["stored"]) == (zone, "timestamp[ns]")
    assert (found["c"]["kind"], found["s"]["kind"]) == ("time", "duration")
    assert found["x"]["stored"] == "decimal(9,2)"


def test_pandera(tmp_path: Path) -> None:
    columns = {
        "age": {"dtype": "int64", "nullable": False}
        | {"checks": {"greater_than_or_equal_to": 0, "less_than": 121}},
        "sex": {"dtype": "str", "nullable": True, "checks": {"isin": ["f", "m"]}},
        "fee": {"dtype": "float64", "checks": {"in_range": {"min_value": 0, "max_value": 9.5}}},
        "key": {"dtype": "str", "unique": True},
        "name": {"dtype": "str", "checks": {"str_length": {"max_value": 9}}},
    }
    document = {"schema_type": "dataframe", "columns": columns, "index": [{"name": "i"}]}
    imported = import_schema(written(tmp_path / "p.yaml", document))
    found = attributes(imported)
    assert (found["age"]["minimum"], found["age"]["maximum"]) == (0, 120)
    assert found["sex"] == {
        "name": "sex",
        "kind": "categorical",
        "categories": ["f", "m"],
        "missing": True,
        "other": False,
        "source": "declared",
    }
    assert (found["fee"]["kind"], found["fee"]["maximum"]) == ("real", 9.5)
    assert found["key"]["kind"] == "identifier"
    assert "not taken over: index" in imported.notes
    assert "name: not taken over: str_length" in imported.notes


def test_dbt(tmp_path: Path) -> None:
    columns = [
        {"name": "id", "tests": ["unique", "not_null"]},
        {"name": "status", "tests": [{"accepted_values": {"values": ["open", "shut"]}}]},
        {"name": "shop", "tests": [{"relationships": {"to": "ref('shops')", "field": "id"}}]},
        {"name": "day", "data_type": "date", "meta": {"pii": True}},
        {"name": "n", "data_type": "integer"}
        | {"data_tests": [{"dbt_utils.accepted_range": {"min_value": 0, "max_value": 9}}]},
    ]
    document = {"version": 2, "models": [{"name": "orders", "columns": columns}, {"name": "x"}]}
    imported = import_schema(written(tmp_path / "schema.yml", document), table="orders")
    found = attributes(imported)
    assert [a["kind"] for a in found.values()] == [
        "identifier",
        "categorical",
        "identifier",
        "datetime",
        "integer",
    ]
    assert (found["n"]["minimum"], found["n"]["maximum"]) == (0, 9)
    assert "day: not taken over: meta" in imported.notes
    assert any(note.startswith("shop: refers to another table") for note in imported.notes)
    with pytest.raises(InvalidSchema, match="several tables"):
        import_schema(tmp_path / "schema.yml")


def test_omop(tmp_path: Path) -> None:
    path = tmp_path / "fields.csv"
    path.write_text(
        "cdmTableName,cdmFieldName,isRequired,cdmDatatype,userGuidance,isPrimaryKey,isForeignKey,"
        "fkTableName\n"
        "PERSON,person_id,Yes,integer,NA,Yes,No,NA\n"
        "PERSON,gender_concept_id,Yes,integer,The sex,No,Yes,CONCEPT\n"
        "PERSON,year_of_birth,Yes,integer,NA,No,No,NA\n"
        "PERSON,birth_datetime,No,datetime,NA,No,No,NA\n"
        "PERSON,care_site_id,No,integer,NA,No,Yes,CARE_SITE\n"
        "DEATH,person_id,Yes,integer,NA,No,Yes,PERSON\n"
    )
    imported = import_schema(path, table="person")
    found = attributes(imported)
    assert {n: a["kind"] for n, a in found.items()} == {
        "person_id": "identifier",
        "gender_concept_id": "categorical",
        "year_of_birth": "integer",
        "birth_datetime": "datetime",
        "care_site_id": "identifier",
    }
    assert found["care_site_id"]["missing"] is True
    assert found["birth_datetime"]["resolution"] == "second"
    assert any("care_site_id: refers to care_site" in note for note in imported.notes)


def test_a_table_is_no_description(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidSchema, match="'schema draft' makes a schema from a table itself"):
        import_schema(path)


def test_frictionless_tokens_with_labels_are_kept_apart(tmp_path: Path) -> None:
    fields = [
        {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
        {"name": "pay", "type": "number", "bareNumber": False, "missingValues": ["n/a"]}
        | {"constraints": {"minimum": 0, "maximum": 99}},
        {"name": "note", "type": "string"},
    ]
    tokens = ["", {"value": "-99", "label": "refused"}, {"value": "-98", "label": "unknown"}]
    imported = import_schema(
        written(tmp_path / "t.json", {"fields": fields, "missingValues": tokens})
    )
    found = attributes(imported)
    assert found["age"]["missing_tokens"] == [""]
    assert found["age"]["missing_apart"] == ["-99", "-98"]
    assert found["pay"]["missing_as"] == "n/a"
    assert found["note"]["blank"] is True
    assert any("pay: has a unit or currency beside it" in note for note in imported.notes)
    assert imported.schema().domain.shape == (32 + 3, 32 + 1)


def test_pandera_types_and_zones(tmp_path: Path) -> None:
    between = {"in_range": {"min_value": 0, "max_value": 9}}
    columns = {
        "n": {"dtype": "int16", "checks": between},
        "x": {"dtype": "float32", "checks": between},
        "at": {"dtype": "datetime64[ns, Europe/Berlin]"},
        "on": {"dtype": "datetime64[us]"},
        "id": {"dtype": "string", "unique": True, "checks": {"str_matches": "^K-[0-9]{5}$"}},
        "odd": {"dtype": "string", "checks": {"str_matches": "^a.*$"}},
    }
    document = {"schema_type": "dataframe", "version": "0.2", "columns": columns}
    imported = import_schema(written(tmp_path / "s.yaml", document))
    found = attributes(imported)
    assert found["n"]["stored"] == "int16"
    assert found["x"]["stored"] == "float"
    assert (found["at"]["stored"], found["at"]["zone"]) == ("timestamp[ns]", "Europe/Berlin")
    assert found["on"]["stored"] == "timestamp[us]"
    assert (found["id"]["prefix"], found["id"]["digits"]) == ("K-", 5)
    assert "odd: not taken over: str_matches" in imported.notes


def test_dbt_scales_are_decimals(tmp_path: Path) -> None:
    test = {"dbt_utils.accepted_range": {"min_value": 0, "max_value": 10}}
    columns = [{"name": "fee", "data_type": "numeric(9, 2)", "tests": ["not_null", test]}]
    document = {"version": 2, "models": [{"name": "m", "columns": columns}]}
    found = attributes(import_schema(written(tmp_path / "schema.yml", document)))
    assert found["fee"]["decimals"] == 2
