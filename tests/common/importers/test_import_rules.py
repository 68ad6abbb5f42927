"""Rules of other tools are taken over as rules of a schema, or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers import import_schema
from silosynth.common.importers.imported import ImportedSchema
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import parse_schema
from silosynth.server.dummy import dummy_sampler

COLUMNS = {
    "key": {"sdtype": "id", "regex_format": "[A-Z]{2}[0-9]{3}"},
    **{n: {"sdtype": "numerical", "computer_representation": "Int64"} for n in ("a", "b", "c")},
    "amount": {"sdtype": "numerical"},
    "yes": {"sdtype": "boolean"},
    "no": {"sdtype": "boolean"},
}


def _sdv(tmp_path: Path, *constraints: dict[str, Any]) -> ImportedSchema:
    document = {"METADATA_SPEC_VERSION": "V1", "primary_key": "key", "columns": COLUMNS}
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({**document, "constraints": list(constraints)}))
    return import_schema(path)


def _one(name: str, **facts: Any) -> dict[str, Any]:
    return {"constraint_class": name, "constraint_parameters": facts}


LOOSE = {"strict_boundaries": False}
LOW_HIGH = {"low_column_name": "a", "high_column_name": "b"}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (_one("Inequality", **LOW_HIGH), "a <= b"),
        (_one("Inequality", **LOW_HIGH, strict_boundaries=True), "a < b"),
        ({"constraint_class": "sdv.constraints.Inequality", **LOW_HIGH}, "a <= b"),
        (
            _one("Range", low_column_name="a", middle_column_name="b", high_column_name="c"),
            "a < b < c",
        ),
        (_one("ChainedInequality", column_names=["a", "b", "c"]), "a <= b <= c"),
        (_one("OneHotEncoding", column_names=["yes", "no"]), "one of: yes, no"),
        (_one("FixedIncrements", column_name="amount", increment_value=500), "amount step 500"),
        (_one("Unique", column_names=["key", "a"]), "unique: key, a"),
    ],
)
def test_a_class_of_sdv_becomes_a_rule(tmp_path: Path, given: dict[str, Any], rule: str) -> None:
    imported = _sdv(tmp_path, given)
    assert rule in imported.document["rules"]
    whole = dict(imported.document)
    limits = {"integer": (0, 9000), "real": (0, 9000)}
    whole["attributes"] = [
        a | dict(zip(("minimum", "maximum"), limits[a["kind"]], strict=True)) | {"source": "public"}
        if a["kind"] in limits
        else a
        for a in whole["attributes"]
    ]
    schema = parse_schema(whole)
    keys = draw(dummy_sampler(schema), rows=40, seed=1)["key"].to_pylist()
    assert len(set(keys)) == 40
    assert all(len(k) == 5 and k[:2].isalpha() for k in keys)


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        (_one("ScalarRange", column_name="a", low_value=0, high_value=10), (1, 9)),
        (
            _one("ScalarRange", column_name="a", low_value=0, high_value=10, **LOOSE),
            (0, 10),
        ),
        (_one("ScalarInequality", column_name="a", value=3, relation=">"), (4, None)),
        (_one("Positive", column_name="a", strict_boundaries=True), (1, None)),
        (_one("Negative", column_name="a"), (None, 0)),
    ],
)
def test_bounds_of_one_column_are_its_own(
    tmp_path: Path, given: dict[str, Any], bounds: tuple[int | None, int | None]
) -> None:
    attributes = {a["name"]: a for a in _sdv(tmp_path, given).document["attributes"]}
    assert (attributes["a"]["minimum"], attributes["a"]["maximum"]) == bounds


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (_one("FixedCombinations", column_names=["yes", "no"]), "list them in a public table"),
        (_one("FixedNullCombinations", column_names=["a", "b"]), "null together"),
        (_one("IfTrueThenZero"), "write it as a rule"),
    ],
)
def test_what_sdv_reads_off_data_is_named_and_not_taken(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    imported = _sdv(tmp_path, given)
    assert any(given["constraint_class"] in n and says in n for n in imported.notes)


def test_a_constraint_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchema, match="Inequality: high_column_name is not declared"):
        _sdv(tmp_path, _one("Inequality", low_column_name="a"))


def test_dpsynths_lists_become_rules(tmp_path: Path) -> None:
    path = tmp_path / "domain.json"
    document = {
        "domains": {
            "city": {"possible_values": ["Bonn", "Lyon", "Nice"]},
            "land": {"possible_values": ["de", "fr"]},
            "sex": {"possible_values": ["f", "m", None]},
            "age": {"min_value": 0, "max_value": 99, "dtype": "int"},
        },
        "constraints": [
            {
                "attribute_names": ["city", "land"],
                "functional_dependency": {"Bonn": "de", "Lyon": "fr", "Nice": "fr"},
            },
            {
                "attribute_names": ["city", "sex"],
                "possible_combinations": [["Bonn", "f"], ["Lyon", "m"]],
            },
            {"attribute_names": ["city", "sex"], "impossible_combinations": [["Nice", None]]},
        ],
    }
    path.write_text(json.dumps(document))
    schema = import_schema(path).schema()
    assert schema.rules == (
        "land = lookup(list_1, city)",
        "together: city, sex from list_2",
        'never city = "Nice" and sex null',
    )
    found = draw(dummy_sampler(schema), rows=300, seed=1).to_pylist()
    assert {(r["city"], r["land"], r["sex"]) for r in found} == {
        *(("Bonn", "de", "f"), ("Bonn", "de", None)),
        *(("Lyon", "fr", "m"), ("Lyon", "fr", None)),
    }


@pytest.mark.parametrize(
    ("constraint", "says"),
    [
        ({"attribute_names": ["a", "b"]}, "state one of"),
        ({"attribute_names": ["a"], "possible_combinations": [["x", "y"]]}, "a value for each"),
        ({"attribute_names": ["a"], "functional_dependency": {"x": "y"}}, "of two attributes"),
        ({"attribute_names": 3, "possible_combinations": []}, "a list is expected"),
    ],
)
def test_a_list_that_is_none_is_refused(
    tmp_path: Path, constraint: dict[str, Any], says: str
) -> None:
    path = tmp_path / "domain.json"
    domains = {"a": {"possible_values": ["x"]}, "b": {"possible_values": ["y"]}}
    path.write_text(json.dumps({"domains": domains, "constraints": [constraint]}))
    with pytest.raises(InvalidSchema, match=says):
        import_schema(path)
