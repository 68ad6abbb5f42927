"""Imports keep what was declared, drop what was read off data, and name every gap."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.source import read_table
from silosynth.client.source.table import check_table
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.importers import import_schema
from silosynth.common.importers.imported import ImportedSchema
from silosynth.common.schema import dump_schema, list_faults, parse_schema

SCHEMAS = Path(__file__).parent / "schemas"
DATA = Path(os.environ.get("SILOSYNTH_DATA", Path(__file__).parents[3] / "../shared/data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="set SILOSYNTH_DATA to the data sets")


def attributes(imported: ImportedSchema) -> dict[str, dict[str, Any]]:
    return {a["name"]: a for a in imported.document["attributes"]}


def test_sdv_version_1_loses_its_ranges_and_categories() -> None:
    imported = import_schema(SCHEMAS / "sdv_v1.json", table="users")
    kinds = {name: a["kind"] for name, a in attributes(imported).items()}
    assert kinds == {
        "user_id": "identifier",
        "country": "categorical",
        "age": "integer",
        "weight": "real",
        "active": "boolean",
        "joined": "datetime",
        "email": "text",
    }
    assert attributes(imported)["age"]["minimum"] is None
    assert "18" not in imported.text()
    assert "DE" not in imported.text()
    assert imported.missing_facts == (
        "country: categories must be declared",
        "age: minimum and maximum must be declared",
        "weight: minimum and maximum must be declared",
        "joined: minimum and maximum must be declared",
    )
    assert any("age: minimum and maximum dropped" in note for note in imported.notes)


def test_sdv_ranges_are_kept_only_when_trusted() -> None:
    imported = import_schema(SCHEMAS / "sdv_v1.json", table="users", trust_ranges=True)
    assert attributes(imported)["age"]["maximum"] == 93
    assert attributes(imported)["country"]["categories"] == ["DE", "US"]
    assert imported.missing_facts == (
        "weight: minimum and maximum must be declared",
        "joined: minimum and maximum must be declared",
    )


def test_sdv_version_2_is_read() -> None:
    imported = import_schema(SCHEMAS / "sdv_v2.json")
    found = attributes(imported)
    assert found["guest"]["kind"] == "identifier"
    assert found["room"] == {
        "name": "room",
        "kind": "ordinal",
        "categories": None,
        "missing": True,
        "source": "unreviewed",
    }
    assert found["nights"]["kind"] == "integer"
    assert found["rate"]["kind"] == found["fee"]["kind"] == "real"
    assert found["checkin"]["format"] == "%d %b %Y"
    assert found["address"]["kind"] == "text"
    assert found["rewards"] == {
        "name": "rewards",
        "kind": "boolean",
        "missing": True,
        "source": "declared",
    }
    trusted = attributes(import_schema(SCHEMAS / "sdv_v2.json", trust_ranges=True))
    assert trusted["room"]["categories"] == ["BASIC", "SUITE"]
    assert (trusted["fee"]["minimum"], trusted["fee"]["maximum"]) == (0, 250.5)


def test_gaps_are_marked_in_the_text_and_named_by_the_check() -> None:
    imported = import_schema(SCHEMAS / "sdv_v2.json")
    text = imported.text()
    assert text.count("null  # declare this") == 9
    faults = list_faults(yaml.safe_load(text))
    assert len(faults) == 9
    assert "attributes: 'room': categories: is not declared" in faults
    with pytest.raises(InvalidSchema, match="room: categories must be declared"):
        imported.schema()


def test_frictionless_constraints_are_declared_facts() -> None:
    imported = import_schema(SCHEMAS / "frictionless.json")
    found = attributes(imported)
    assert {name: a["kind"] for name, a in found.items()} == {
        "id": "identifier",
        "sex": "categorical",
        "stage": "ordinal",
        "age": "integer",
        "height": "real",
        "born": "datetime",
        "smoker": "boolean",
        "note": "text",
    }
    assert found["sex"]["categories"] == ["f", "m"]
    assert found["sex"]["missing_tokens"] == ["", "-99"]
    assert found["sex"]["description"] == "Sex at birth"
    assert found["sex"]["other"] is False
    assert found["stage"]["categories"] == [1, 2, 3]
    assert "missing" not in found["stage"]
    assert (found["age"]["minimum"], found["age"]["maximum"]) == (0, 119)
    assert found["born"]["format"] == "%d.%m.%Y"
    assert found["age"]["source"] == "declared"
    assert found["height"]["source"] == "unreviewed"
    assert imported.missing_facts == ("height: minimum and maximum must be declared",)


def test_a_table_of_a_data_package_is_chosen_by_name(tmp_path: Path) -> None:
    inner = json.loads((SCHEMAS / "frictionless.json").read_text())
    package = {"resources": [{"name": "a", "schema": inner}, {"name": "b", "schema": {}}]}
    path = tmp_path / "datapackage.json"
    path.write_text(json.dumps(package))
    assert import_schema(path, table="a").document["name"] == "a"
    with pytest.raises(InvalidSchema, match="several tables; choose one of 'a', 'b'"):
        import_schema(path)
    with pytest.raises(InvalidSchema, match="no table 'c'; choose one of 'a', 'b'"):
        import_schema(path, table="c")
    with pytest.raises(InvalidSchema, match=r"fields: a list is expected"):
        import_schema(path, table="b")


def test_mbi_sizes_become_integer_categories_without_other() -> None:
    schema = import_schema(SCHEMAS / "domain.json").schema()
    assert schema.domain.attributes == ("age", "sex", "flag")
    assert schema.domain.shape == (74, 2, 2)
    assert schema.unreviewed() == ()


def test_both_layouts_of_mbi_domains_agree(tmp_path: Path) -> None:
    path = tmp_path / "domain.json"
    path.write_text('{"attributes": ["age", "sex", "flag"], "shape": [74, 2, 1]}')
    other = import_schema(SCHEMAS / "domain.json").schema()
    assert import_schema(path, format="mbi").schema().domain == other.domain


def test_an_arrow_schema_gives_kinds_and_no_value(tmp_path: Path) -> None:
    table = pa.table(
        {
            "i": pa.array([123456789]),
            "d": pa.array(["secret"]).dictionary_encode(),
            "f": pa.array([0.5]),
            "b": pa.array([True]),
            "t": pa.array([0], pa.timestamp("us")),
            "s": pa.array(["secret"]),
            "l": pa.array([[1]]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    for source in (tmp_path / "a.parquet", tmp_path / "a.arrow", tmp_path / "b.arrow"):
        imported = import_schema(source)
        assert {name: a["kind"] for name, a in attributes(imported).items()} == {
            "i": "integer",
            "d": "categorical",
            "f": "real",
            "b": "boolean",
            "t": "datetime",
            "s": "text",
        }
        assert "secret" not in imported.text()
        assert "123456789" not in imported.text()
        assert "l: its type cannot be modelled; drop the column" in imported.notes
    required = pa.schema([pa.field("i", pa.int8(), nullable=False)])
    assert "missing" not in attributes(import_schema(required))["i"]


def test_a_dataset_dictionary_keeps_its_sources() -> None:
    imported = import_schema(SCHEMAS / "dataset.json", table="clinic")
    found = attributes(imported)
    assert imported.document["name"] == "clinic"
    assert imported.document["label"] == "sick"
    assert [found[n]["source"] for n in ("site", "grade", "age")] == [
        "public",
        "unreviewed",
        "declared",
    ]
    assert found["grade"]["other"] is True
    assert found["site"]["other"] is False
    assert found["grade"]["missing_tokens"] == ["?"]
    assert found["age"]["kind"] == "integer"
    assert found["dose"]["kind"] == "real"
    assert found["year"]["categories"] == [2013]
    assert "missing" not in found["age"]
    assert imported.schema().domain.shape == (2, 4, 32, 33, 2, 2)


def test_counts_of_missing_values_are_used_only_when_trusted() -> None:
    imported = import_schema(SCHEMAS / "dataset.json", table="clinic.csv", trust_ranges=True)
    assert attributes(imported)["age"]["missing"] is True
    assert "missing" not in attributes(imported)["sick"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a mapping of fields is expected"),
        ("{}", "is no known description of a table; known formats: sdv, "),
        ('{"a": 1.5}', "is no known description"),
        ('{"fields": []}', "describes no column"),
        ('{"fields": [{"type": "string"}]}', "a column has no name"),
        ('{"fields": [3]}', "a mapping of fields is expected"),
        ('{"METADATA_SPEC_VERSION": "V1", "tables": {}}', "choose one of no table"),
        ('{"tables": {"a": {"columns": [{"name": "x", "kind": "odd"}]}}}', "kind 'odd' is not"),
    ],
)
def test_a_foreign_file_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "foreign.json"
    path.write_text(text)
    with pytest.raises(InvalidSchema) as caught:
        import_schema(path)
    assert message in str(caught.value)


def test_unknown_formats_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="format 'xml' is not known; known formats: sdv"):
        import_schema(SCHEMAS / "domain.json", format="xml")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidSchema, match=r"x\.parquet: is damaged"):
        import_schema(tmp_path / "x.parquet")
    with pytest.raises(InvalidSchema, match="cannot be read"):
        import_schema(tmp_path / "absent.arrow")
    with pytest.raises(InvalidSchema, match="a size for each attribute"):
        import_schema(SCHEMAS / "frictionless.json", format="mbi")


FOREIGN = [
    json.loads((SCHEMAS / name).read_text())
    for name in ("sdv_v1.json", "sdv_v2.json", "frictionless.json", "dataset.json")
]
JUNK = st.none() | st.booleans() | st.integers(-3, 3) | st.just([]) | st.just({}) | st.just("x")
JUNK |= st.just([[]]) | st.just([{}]) | st.just({"x": []}) | st.floats(0, 1)


@given(document=st.sampled_from(FOREIGN), junk=JUNK, data=st.data(), trust=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_mutated_description_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    document: dict[str, Any],
    junk: Any,
    data: st.DataObject,
    trust: bool,
) -> None:
    changed = json.loads(json.dumps(document))
    places = list(_places(changed))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = junk
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_text(json.dumps(changed))
    table = {"users": "users", "clinic.csv": "clinic.csv"}
    wanted = next((t for t in table if t in json.dumps(changed.get("tables", ""))), None)
    with suppress(InvalidSchema):
        import_schema(path, table=wanted, trust_ranges=trust).schema()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) of nested data."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _described() -> list[tuple[str, str]]:
    return [
        (path.parent.name, table)
        for path in sorted(DATA.glob("*/schema.json"))
        for table in json.loads(path.read_text())["tables"]
    ]


@needs_data
@pytest.mark.parametrize(("folder", "table"), _described())
def test_every_described_data_set_imports_and_survives_yaml(folder: str, table: str) -> None:
    imported = import_schema(DATA / folder / "schema.json", table=table)
    schema = imported.schema()
    assert parse_schema(yaml.safe_load(imported.text())) == schema
    assert parse_schema(yaml.safe_load(dump_schema(schema))) == schema


@needs_data
@pytest.mark.parametrize(
    ("folder", "table"),
    [
        ("adult", "adult.parquet"),
        ("adult", "adult_coded.csv"),
        ("nist_acs", "national2019.csv"),
        ("nist_acs", "ma2018.csv"),
        ("brfss2022", "brfss2022.parquet"),
        ("heart_disease", "heart_disease.csv"),
        ("penguins", "penguins.csv"),
        ("diabetes130", "diabetes130.parquet"),
    ],
)
def test_real_tables_fit_their_imported_schema_without_a_bent_value(
    folder: str, table: str
) -> None:
    schema = import_schema(DATA / folder / "schema.json", table=table).schema()
    assert check_table(read_table(DATA / folder / table, schema=schema), schema=schema) == ()


@needs_data
def test_a_coded_table_fits_its_mbi_domain() -> None:
    schema = import_schema(DATA / "adult" / "adult_coded-domain.json").schema()
    table = read_table(DATA / "adult" / "adult_coded.csv", schema=schema)
    assert check_table(table, schema=schema) == ()
