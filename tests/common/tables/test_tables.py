"""Schemas of several tables: what is taken, what is refused in a line, and what a digest says."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import load_schema
from silosynth.common.tables import (
    TablesSchema,
    list_tables_faults,
    load_tables,
    tables_json_schema,
)
from silosynth.common.tables.tables import dump_tables, parse_tables

DOCUMENT: dict[str, Any] = {
    "person": "patients",
    "source": "declared",
    "tables": {
        "patients": {
            "key": "patient_id",
            "attributes": [
                {"name": "patient_id", "kind": "identifier", "prefix": "P-", "digits": 5},
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False},
            ],
        },
        "visits": {
            "parent": "patients",
            "by": "patient_id",
            "key": "visit_id",
            "order": "day",
            "children": [0, 1, 2, 3, 4, 6, 10, 40],
            "links": {"ward": "wards", "before": {"to": "visits", "within": "person"}},
            "attributes": [
                {"name": "before", "kind": "identifier", "missing": True},
                {"name": "day", "kind": "integer", "minimum": 0, "maximum": 365},
                {"name": "left", "kind": "integer", "minimum": 0, "maximum": 365},
            ],
            "rules": ["day <= left"],
        },
        "drugs": {
            "parent": "visits",
            "by": "visit_id",
            "children": [0, 1, 2, 5],
            "attributes": [{"name": "dose", "kind": "integer", "minimum": 1, "maximum": 9}],
        },
    },
    "references": {"wards": {"key": "ward", "columns": {"ward": ["a", "b"], "floor": [1, 2]}}},
}


def _changed(*path: str, to: Any) -> dict[str, Any]:
    """Return the document with one place changed; None takes it away."""
    document = copy.deepcopy(DOCUMENT)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        inner.pop(path[-1])
    else:
        inner[path[-1]] = to
    return document


def test_a_row_is_counted_without_keys_with_the_number_of_its_children() -> None:
    columns = parse_tables(DOCUMENT).columns
    assert columns["patients"].rows.domain.attributes == ("sex", "number of visits")
    assert columns["patients"].rows.domain.shape == (2, 7)
    counted = ("ward", "before", "day", "left above day", "number of drugs")
    assert columns["visits"].rows.domain.attributes == counted
    assert columns["drugs"].rows.domain.attributes == ("dose",)


def test_what_names_a_key_is_written_as_the_key() -> None:
    whole = parse_tables(DOCUMENT).columns["visits"].whole
    by = next(a for a in whole.attributes if a.name == "patient_id")
    assert by.model_dump(include={"prefix", "digits"}) == {"prefix": "P-", "digits": 5}


@pytest.mark.parametrize(
    ("edges", "bins"),
    [
        ((0, 1, 2, 4, 10), (0, 1, 2, 4, 11)),
        ((0, 1), (0, 1, 2)),
        ((1,), (1, 2)),
        ((0, 5), (0, 6)),
        ((2, 3, 9), (2, 3, 10)),
    ],
)
def test_bins_of_children_begin_at_each_edge(edges: tuple[int, ...], bins: tuple[int, ...]) -> None:
    schema = parse_tables(_changed("tables", "drugs", "children", to=list(edges)))
    attribute = schema.columns["visits"].rows.attributes[-1]
    assert attribute.name == "number of drugs"
    assert tuple(attribute.edges()) == bins  # type: ignore[union-attr]  # a number


def test_what_is_written_is_read_as_the_same() -> None:
    schema = parse_tables(DOCUMENT)
    again = parse_tables(yaml.safe_load(dump_tables(schema)))
    assert again == schema
    assert again.digest == schema.digest


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("tables", "visits", "order"), None),
        (("tables", "visits", "children"), [0, 1, 2, 40]),
        (("tables", "visits", "rules"), []),
        (("tables", "visits", "links", "before"), "visits"),
        (("references", "wards", "columns", "floor"), [1, 3]),
        (("tables", "drugs", "key"), "drug_id"),
        (("name",), "other"),
    ],
)
def test_each_fact_is_in_the_digest(path: tuple[str, ...], to: Any) -> None:
    digest = parse_tables(DOCUMENT).digest
    assert parse_tables(_changed(*path, to=to)).digest != digest


def test_the_digest_is_that_of_the_format() -> None:
    # What silos agreed on keeps its name: a new version of the format may not move it.
    expected = "sha256:a0cf8aa76502f6f655c03ac93ab8c10469d24b7a56c7d449b2b502d4a76ccc42"
    assert parse_tables(DOCUMENT).digest == expected


FAULTS = [
    (("version",), 4, "version 4 is not known"),
    (("person",), "nobody", "person: 'nobody' is no table"),
    (("tables", "patients", "key"), None, "patients: has no key, which 'visits' names"),
    (("tables", "visits", "parent"), "people", "visits: parent 'people' is no table"),
    (("tables", "visits", "parent"), "wards", "parent 'wards' is a public table; name the column"),
    (("tables", "visits", "parent"), "visits", "visits: is its own parent, so one person could"),
    (("tables", "visits", "parent"), "drugs", "'drugs', 'visits' are parents in a circle"),
    (("tables", "visits", "by"), None, "visits: parent is given, so by is needed too"),
    (("tables", "visits", "children"), [0, 2, 2, 9], "visits: children must rise"),
    (("tables", "visits", "children"), [0, 70_000], "children must lie between 0 and 65,535"),
    (("tables", "visits", "links", "ward"), "halls", "link 'ward': 'halls' is neither a table"),
    (("tables", "visits", "links", "x"), "visits", "link 'x' to its own table begins with nobody"),
    (
        ("tables", "patients", "links"),
        {"last": {"to": "visits", "within": "person"}},
        "link 'last' may find no row of its person in 'visits'",
    ),
    (("tables", "visits", "links", "x"), "drugs", "'x' names rows of 'drugs', which has no key"),
    (("tables", "visits", "links", "day"), "patients", "'day' is integer; what names rows of"),
    (("tables", "visits", "order"), "ward", "order 'ward' is no column of numbers, times"),
    (("tables", "visits", "key"), "day", "key 'day' is integer; make it an identifier"),
    (("tables", "visits", "key"), "before", "column 'before' is two of key, by and links"),
    (("tables", "visits", "rules"), ["day <= lft"], "visits: "),
    (("tables", "patients", "parent"), "drugs", "parent is given, so by is needed too"),
    (("tables", "patients", "order"), "sex", "order says how the rows of a parent follow"),
    (
        ("tables", "visits", "links", "Day"),
        "wards",
        "columns 'Day' and 'day' differ in case alone, which what joins tables does not tell",
    ),
    (("tables", "visits", "extra"), 1, "visits: extra: extra inputs are not permitted"),
    (("references", "wards", "key"), None, "link 'ward': reference 'wards' has no key"),
    (("references", "patients"), {"columns": {"a": ["b"]}}, "is a public table of references too"),
    (
        ("tables", "staff"),
        {"key": "staff_id", "attributes": []},
        "staff: has no parent; if it holds people too",
    ),
]


@pytest.mark.parametrize(("path", "to", "fault"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_fault_is_told_in_one_line(path: tuple[str, ...], to: Any, fault: str) -> None:
    faults = list_tables_faults(_changed(*path, to=to))
    assert any(fault in line for line in faults), faults
    assert all("\n" not in line and len(line) < 300 for line in faults)
    with pytest.raises(InvalidSchema):
        parse_tables(_changed(*path, to=to))


def test_two_roots_that_hold_people_may_not_meet() -> None:
    document = _changed("tables", "staff", to={"key": "staff_id"})
    document["tables"]["visits"]["links"]["doctor"] = "staff"
    assert any(
        "staff: has no parent and meets 'patients' in 'visits'" in line
        for line in list_tables_faults(document)
    )


@pytest.mark.parametrize(
    "form", [{"stored": "int64", "prefix": ""}, {"prefix": "Q-"}, {"prefix": "P-", "digits": 4}]
)
def test_keys_of_different_type_are_refused(form: dict[str, Any]) -> None:
    document = copy.deepcopy(DOCUMENT)
    own = {"name": "patient_id", "kind": "identifier", **form}
    document["tables"]["visits"]["attributes"].append(own)
    if form.get("stored"):
        document["tables"]["patients"]["attributes"][0] = {
            "name": "patient_id",
            "kind": "identifier",
            "stored": "string",
        }
    (fault,) = list_tables_faults(document)
    assert "'patient_id' is" in fault
    assert "and the key of 'patients' is text" in fault


def test_a_link_to_a_public_table_names_its_keys_alone() -> None:
    document = copy.deepcopy(DOCUMENT)
    listed = {"name": "ward", "kind": "categorical", "categories": ["a", "c"], "other": False}
    document["tables"]["visits"]["attributes"].append(listed)
    assert any("reference 'wards' lacks key 'c'" in f for f in list_tables_faults(document))


def test_all_faults_are_told_at_once() -> None:
    document = _changed("tables", "visits", "links", "x", to="halls")
    document["tables"]["drugs"]["parent"] = "nothing"
    assert len(list_tables_faults(document)) == 2


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ({"key": "ward"}, "has neither a file nor columns"),
        ({"key": "ward", "file": "wards.csv"}, "has no sha256"),
        ({"key": "ward", "file": "wards.csv", "sha256": "0" * 64}, "is not the file of its sha256"),
        ({"key": "ward", "file": "gone.csv", "sha256": "0" * 64}, "cannot be read"),
    ],
)
def test_a_public_table_needs_its_file_and_its_digest(
    tmp_path: Path, reference: dict[str, str], fault: str
) -> None:
    (tmp_path / "wards.csv").write_text("ward,floor\na,1\nb,2\n")
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(_changed("references", "wards", to=reference), sort_keys=False))
    with pytest.raises(InvalidSchema, match=fault):
        load_tables(path)


def test_a_public_table_is_read_from_its_file(tmp_path: Path) -> None:
    text = "ward,floor\na,1\nb,2\n"
    (tmp_path / "wards.csv").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    reference = {"key": "ward", "file": "wards.csv", "sha256": digest}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(_changed("references", "wards", to=reference), sort_keys=False))
    assert load_tables(path).columns["visits"].rows.domain.shape[0] == 2


def test_commands_of_one_table_say_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    with pytest.raises(InvalidSchema, match="describes several tables, which is not taken here"):
        load_schema(path)
    words = ["schema", "rules", str(path), "--schema", str(path)]
    assert run([*words, "--out", str(tmp_path / "ruled.yaml")]) == InvalidSchema.exit_code
    assert "describes several tables" in capsys.readouterr().err


def test_check_shows_how_tables_hang_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    assert run(["schema", "check", str(path), "--json"]) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)["data"]
    assert list(facts["tables"]) == ["patients", "visits", "drugs"]
    assert facts["digest"] == parse_tables(DOCUMENT).digest
    assert "in order of day" in " ".join(told.err.split())


def test_check_refuses_what_nobody_vouched_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(_changed("source", to=None), sort_keys=False))
    assert run(["schema", "check", str(path)]) == InvalidSchema.exit_code
    assert "'patients.sex' first" in capsys.readouterr().err


def test_editors_get_a_json_schema() -> None:
    assert "tables" in tables_json_schema()["properties"]
    assert TablesSchema.model_validate(DOCUMENT).person == "patients"
