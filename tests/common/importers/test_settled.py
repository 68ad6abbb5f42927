"""What is imported can stand in a schema, whatever the other description says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers import import_schema
from silosynth.common.importers.imported import ImportedSchema
from silosynth.common.schema import list_faults

DAY = {"name": "d", "type": "date", "format": "%d.%m.%Y"}
SHOWN = "cannot stand in a schema, so it was left out"


def imported(tmp_path: Path, document: Any, **asked: Any) -> ImportedSchema:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    return import_schema(path, **asked)


def attribute(made: ImportedSchema) -> dict[str, Any]:
    (only,) = made.document["attributes"]
    return dict(only)


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        (
            DAY | {"constraints": {"minimum": "01.01.1920", "maximum": "31.12.2019"}},
            "1920-01-01",
            "2019-12-31",
        ),
        (
            {"name": "d", "type": "yearmonth", "constraints": {"minimum": "1990-01"}},
            "1990-01-01",
            None,
        ),
        (
            {"name": "d", "type": "date", "constraints": {"minimum": "1990-01-02"}},
            "1990-01-02",
            None,
        ),
        ({"name": "d", "type": "datetime", "format": "%d/%m/%y %H:%M"}, None, None),
        (
            {"name": "d", "type": "datetime", "format": "%d/%m/%y %H:%M"}
            | {"constraints": {"minimum": "01/02/20 10:30"}},
            "2020-02-01T10:30:00",
            None,
        ),
        (
            {"name": "d", "type": "time", "format": "%Hh%M", "constraints": {"maximum": "18h30"}},
            None,
            "18:30:00",
        ),
        (
            {"name": "d", "type": "number", "decimalChar": ",", "groupChar": "."}
            | {"constraints": {"minimum": "-1.000,5", "maximum": "2,5"}},
            -1000.5,
            2.5,
        ),
        ({"name": "d", "type": "year", "constraints": {"minimum": "1900"}}, 1900, None),
    ],
)
def test_bounds_in_the_fields_own_form_are_read(
    tmp_path: Path, field: dict[str, Any], low: object, high: object
) -> None:
    found = attribute(imported(tmp_path, {"fields": [field]}))
    assert (found.get("minimum"), found.get("maximum")) == (low, high)


@pytest.mark.parametrize("low", ["soon", "31.02.1920", "", True, [1], {"a": 1}, "9" * 99])
def test_a_bound_that_cannot_be_one_is_a_gap_that_is_told(tmp_path: Path, low: object) -> None:
    made = imported(
        tmp_path, {"fields": [DAY | {"constraints": {"minimum": low, "maximum": "31.12.2019"}}]}
    )
    found = attribute(made)
    assert (found["minimum"], found["source"]) == (None, "unreviewed")
    assert any(SHOWN in note for note in made.notes)
    assert made.missing_facts == ("d: minimum must be declared",)


def test_two_columns_of_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchema, match="'a' names two columns"):
        imported(tmp_path, {"fields": [{"name": "a", "type": "boolean"}] * 2})


def filled(made: ImportedSchema) -> dict[str, Any]:
    """Return the document with every gap declared, as somebody would."""
    usual: dict[str, dict[str, Any]] = {
        "datetime": {"minimum": "0001-01-01", "maximum": "9999-12-31"},
        "duration": {"minimum": -(10**9), "maximum": 10**9},
    }
    attributes = []
    for a in made.document["attributes"]:
        named = {k: v for k, v in a.items() if v is not None}
        known = [
            float(n) for n in (a.get("minimum"), a.get("maximum")) if isinstance(n, int | float)
        ]
        far = int(1000 + 2 * max(map(abs, known), default=0))
        wide = usual.get(a["kind"], {"minimum": -far, "maximum": far})
        for key in (k for k, v in a.items() if v is None):
            named[key] = ["a"] if key == "categories" else wide[key]
        attributes.append(named)
    return {**made.document, "attributes": attributes}


KINDS = ("string", "number", "integer", "boolean", "date", "datetime", "time", "year", "yearmonth")
BOUNDS = st.one_of(
    st.none(),
    st.integers(-(10**15), 10**15),
    st.sampled_from([10**18, float("nan"), float("inf")]),
    st.floats(-1e15, 1e15),
    st.sampled_from(["01.01.1920", "1990-01", "2020-02-30", "10:30", "12,5", "1e400", "x", ""]),
    st.text(max_size=6),
)
FIELDS = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=5), "type": st.sampled_from((*KINDS, "duration"))},
    optional={
        "format": st.sampled_from(["default", "any", "%d.%m.%Y", "%Q", "%Y-%m", "%H:%M", "%", "x"]),
        "missingValues": st.lists(st.sampled_from(["", "-", "NA", "a"]), max_size=3),
        "decimalChar": st.sampled_from([",", ".", "x"]),
        "groupChar": st.sampled_from([",", ".", "ab"]),
        "trueValues": st.lists(st.sampled_from(["ja", "1", "-"]), max_size=2),
        "falseValues": st.lists(st.sampled_from(["nein", "0", "-"]), max_size=2),
        "categories": st.lists(st.sampled_from(["a", "b", 1, 1.5, None]), max_size=3),
        "constraints": st.fixed_dictionaries(
            {},
            optional={
                "minimum": BOUNDS,
                "maximum": BOUNDS,
                "exclusiveMinimum": BOUNDS,
                "required": st.booleans(),
                "unique": st.booleans(),
                "enum": st.lists(st.sampled_from(["a", "-", 2, 2.5, True]), max_size=4),
                "pattern": st.sampled_from(["P-[0-9]{4}", "[0-9]{99}", "(", "a{70}"]),
            },
        ),
    },
)


@settings(max_examples=120, deadline=None)
@given(fields=st.lists(FIELDS, min_size=1, max_size=4))
def test_every_frictionless_import_is_a_schema_once_its_gaps_are_declared(
    tmp_path_factory: pytest.TempPathFactory, fields: list[dict[str, Any]]
) -> None:
    try:
        made = imported(tmp_path_factory.mktemp("i"), {"fields": fields})
    except InvalidSchema:
        return
    assert list_faults(filled(made)) == ()


COLUMNS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.fixed_dictionaries(
        {
            "sdtype": st.sampled_from(
                ["numerical", "categorical", "datetime", "boolean", "id", "email"]
            )
        },
        optional={
            "min_value": BOUNDS,
            "max_value": BOUNDS,
            "order": st.none() | st.lists(st.sampled_from(["a", "b", 1, 2.5]), max_size=3),
            "order_by": st.sampled_from([None, "alphabetical"]),
            "datetime_format": st.sampled_from(["%d %b %Y", "%Q", "x", ""]),
            "computer_representation": st.sampled_from(["Int8", "UInt32", "Int64", "Float", "x"]),
            "regex_format": st.sampled_from(["[A-Z]{2}x", "HID_[0-9]{3}", "[0-9]{99}", "("]),
        },
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(columns=COLUMNS)
def test_every_sdv_import_is_a_schema_once_its_gaps_are_declared(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Any]
) -> None:
    document = {"METADATA_SPEC_VERSION": "V1", "columns": columns}
    try:
        made = imported(tmp_path_factory.mktemp("i"), document, trust_ranges=True)
    except InvalidSchema:
        return
    assert list_faults(filled(made)) == ()


def test_an_arrow_column_of_nothing_is_an_empty_one() -> None:
    made = import_schema(pa.schema([("n", pa.null()), ("b", pa.bool_())]))
    assert [a["kind"] for a in made.document["attributes"]] == ["empty", "boolean"]
    assert made.notes == ()
    assert list_faults(made.document) == ()


def test_sdvs_whole_numbers_keep_their_size_and_no_order_is_none(tmp_path: Path) -> None:
    columns = {
        "n": {"sdtype": "numerical", "computer_representation": "Int8"},
        "w": {"sdtype": "numerical", "computer_representation": "Int64"},
        "c": {"sdtype": "categorical", "order_by": None},
        "o": {"sdtype": "categorical", "order_by": "alphabetical"},
    }
    made = imported(tmp_path, {"METADATA_SPEC_VERSION": "V1", "columns": columns})
    n, w, c, o = made.document["attributes"]
    assert (n["kind"], n["stored"], w.get("stored")) == ("integer", "int8", None)
    assert (c["kind"], o["kind"]) == ("categorical", "ordinal")


def test_how_a_resource_is_written_is_taken_over_and_what_is_lost_is_told(tmp_path: Path) -> None:
    resource = {
        "name": "r",
        "path": "r.csv",
        "encoding": "ISO-8859-1",
        "schema": {"fields": [{"name": "b", "type": "boolean"}]},
        "dialect": {"delimiter": ";", "header": False, "escapeChar": "\\", "quoteChar": "|"},
        "sources": ["x"],
    }
    made = imported(tmp_path, {"resources": [resource]})
    assert made.document["csv"] == {"delimiter": ";", "header": False, "encoding": "latin-1"}
    told = "\n".join(made.notes)
    for lost in ("sources", "escapeChar", "quote '|'"):
        assert lost in told
    assert list_faults(made.document) == ()
    made = imported(
        tmp_path, {"resources": [resource | {"encoding": "cp1252", "dialect": "d.json"}]}
    )
    told = "\n".join(made.notes)
    assert "csv" not in made.document
    assert "encoding cp1252" in told
    assert "dialect" in told
