"""Schemas refuse each fault by name, survive a round trip, and hash by content."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.document import load_document
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import (
    EqualWidth,
    IntegerAttribute,
    Schema,
    dump_schema,
    json_schema,
    list_faults,
    load_schema,
    parse_schema,
)

CATEGORICAL = {"name": "x", "kind": "categorical", "categories": ["a", "b"]}
INTEGER = {"name": "x", "kind": "integer", "minimum": 0, "maximum": 9}
REAL = {"name": "x", "kind": "real", "minimum": 0, "maximum": 1}
DATETIME = {"name": "x", "kind": "datetime", "minimum": "2020-01-01", "maximum": "2021-01-01"}


def document(*attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "t", "attributes": list(attributes), **fields}


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (CATEGORICAL | {"categories": []}, "'x': categories: "),
        (CATEGORICAL | {"categories": ["a", "a"]}, "a category is listed twice"),
        (CATEGORICAL | {"categories": [1, "1"]}, "a category is listed twice"),
        (CATEGORICAL | {"categories": [True, "b"]}, "categories: 0: a category is text or"),
        (CATEGORICAL | {"categories": [1.5, 2]}, "put it in quotes"),
        (CATEGORICAL | {"categories": list(range(65_536))}, "more than 65536 codes"),
        (CATEGORICAL | {"missing_tokens": ["?"]}, "missing must be true"),
        (CATEGORICAL | {"missing": True, "missing_tokens": ["a"]}, "also listed as a category"),
        (CATEGORICAL | {"colour": 1}, "colour: extra inputs are not permitted"),
        (CATEGORICAL | {"name": ""}, "name: "),
        (CATEGORICAL | {"name": "a\nb"}, "name: "),
        (CATEGORICAL | {"kind": "colour"}, "'colour'"),
        ({"name": "x"}, "'x': kind: is not declared"),
        ({"name": "x", "kind": "categorical"}, "'x': categories: is not declared"),
        (INTEGER | {"minimum": None}, "'x': minimum: is not declared"),
        (INTEGER | {"minimum": 10}, "minimum must be below maximum"),
        (INTEGER | {"maximum": 2**53 + 2}, "'x': maximum: "),
        (INTEGER | {"bins": {"kind": "edges", "edges": [1.5]}}, "must be integers"),
        (INTEGER | {"bins": {"kind": "edges", "edges": [3, 3]}}, "edges must rise strictly"),
        (INTEGER | {"bins": {"kind": "edges", "edges": [0, 3]}}, "strictly inside the bounds"),
        (INTEGER | {"bins": {"kind": "edges", "edges": [10]}}, "strictly inside the bounds"),
        (INTEGER | {"bins": {"kind": "width", "count": 0}}, "bins: count: "),
        (INTEGER | {"bins": {"kind": "quantiles", "count": 9, "grid": 8}}, "grid must be at least"),
        (REAL | {"minimum": float("nan")}, "'x': minimum: "),
        (REAL | {"maximum": float("inf")}, "'x': maximum: "),
        (REAL | {"minimum": 2}, "minimum must be below maximum"),
        (REAL | {"minimum": 1e16, "maximum": 1e16 + 4}, "too close, or too far apart"),
        (REAL | {"minimum": -1.7e308, "maximum": 1.7e308}, "too close, or too far apart"),
        (DATETIME | {"minimum": 2020}, "write a date such as"),
        (DATETIME | {"maximum": "2020-01-01T00:00:00.000003"}, "too close, or too far apart"),
        (DATETIME | {"format": "iso"}, "format: "),
    ],
)
def test_each_fault_of_an_attribute_is_named(attribute: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        parse_schema(document(attribute), origin="s.yaml")
    assert str(caught.value).startswith("s.yaml: attributes: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "more)" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "is not a mapping"),
        (None, "is not a mapping"),
        (document(CATEGORICAL, version=3), "version 3 is not known"),
        (document(), "attributes: "),
        (document(CATEGORICAL, CATEGORICAL), "attribute 'x' stands twice"),
        (document(CATEGORICAL, label="y"), "label 'y' is not an attribute"),
        (document(CATEGORICAL) | {"name": "a b"}, "name: "),
        ({"name": "t"}, "attributes: is not declared"),
    ],
)
def test_each_fault_of_a_schema_is_named(data: Any, message: str) -> None:
    with pytest.raises(InvalidSchema, match=r"^schema: ") as caught:
        parse_schema(data)
    assert message in str(caught.value)


def test_all_faults_are_listed_and_none_for_a_good_schema() -> None:
    faults = list_faults(document(INTEGER | {"minimum": None, "maximum": None}, CATEGORICAL))
    assert [fault.split(": ", 1)[1] for fault in faults] == [
        "'x': minimum: is not declared",
        "'x': maximum: is not declared",
    ]
    assert list_faults(document(CATEGORICAL)) == ()
    assert list_faults(3) != ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not valid YAML at line"),
        ("name: a\nname: b\n", "not valid YAML at line 2"),
        ("minimum: 2020-99-99\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("[" * 5000, "is nested too deeply"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSchema, match=r"s\.yaml: ") as caught:
        load_schema(path)
    assert message in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSchema, match="cannot be read"):
        load_schema(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(InvalidSchema, match="not UTF-8"):
        load_schema(tmp_path / "latin.yaml")
    (tmp_path / "s.json").write_text('{\n"name": }')
    with pytest.raises(InvalidSchema, match="not valid JSON at line 2"):
        load_schema(tmp_path / "s.json")


def test_codes_are_listed_values_then_other_then_missing() -> None:
    schema = parse_schema(
        document(
            CATEGORICAL | {"missing": True},
            {"name": "b", "kind": "boolean", "missing": True},
            INTEGER | {"name": "i", "missing": True},
            {"name": "k", "kind": "identifier"},
            {"name": "f", "kind": "text"},
        )
    )
    assert schema.domain.attributes == ("x", "b", "i")
    assert schema.domain.shape == (4, 3, 11)
    assert [a.values for a in schema.coded] == [2, 2, 10]


def test_integer_edges_are_whole_and_end_beyond_the_maximum() -> None:
    attribute = IntegerAttribute(name="x", minimum=-3, maximum=7, bins=EqualWidth(count=4))
    assert attribute.edges() == (-3, 0, 3, 6, 8)


def test_edges_of_datetimes_may_be_dates() -> None:
    bins = {"kind": "edges", "edges": [date(2020, 2, 1), "2020-03-01", "2020-04-01T00:00:00Z"]}
    schema = parse_schema(document(DATETIME | {"bins": bins}))
    february = datetime(2020, 2, 1, tzinfo=UTC).timestamp()
    assert schema.coded[0].edges()[1] == february  # type: ignore[union-attr]


def test_a_schema_is_unreviewed_until_somebody_vouches() -> None:
    schema = parse_schema(document(CATEGORICAL, INTEGER | {"name": "y", "source": "public"}))
    assert schema.unreviewed() == ("x",)


NAMES = st.text(st.characters(min_codepoint=32, codec="utf-8"), min_size=1, max_size=8)
CATEGORIES = st.lists(NAMES | st.integers(-99, 99), min_size=2, max_size=5, unique_by=str)
BINS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("width"), "count": st.integers(1, 64)}),
    st.fixed_dictionaries({"kind": st.just("edges"), "edges": st.just([0, 3])}),
    st.fixed_dictionaries({"kind": st.just("quantiles"), "count": st.integers(2, 64)}),
)
ATTRIBUTES = st.one_of(
    st.builds(
        lambda categories, missing, other: (
            {"kind": "ordinal", "categories": categories} | {"missing": missing, "other": other}
        ),
        CATEGORIES,
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        lambda low, bins, kind: {"kind": kind, "minimum": low, "maximum": 9, "bins": bins},
        st.integers(-50, -1),
        BINS,
        st.sampled_from(["integer", "real"]),
    ),
    st.just({"kind": "datetime", "minimum": "2000-01-01", "maximum": "2020-01-01T00:00:00+02:00"}),
    st.sampled_from([{"kind": "boolean"}, {"kind": "identifier", "prefix": "p"}, {"kind": "text"}]),
)


@given(st.dictionaries(NAMES, ATTRIBUTES, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_yaml_and_json_give_the_same_schema_back(named: dict[str, dict[str, Any]]) -> None:
    schema = parse_schema(document(*({"name": n} | a for n, a in named.items())))
    assert parse_schema(_reload(dump_schema(schema), ".yaml")) == schema
    again = parse_schema(_reload(json.dumps(schema.model_dump(mode="json")), ".json"))
    assert again == schema
    assert again.digest == schema.digest


def _reload(text: str, suffix: str) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"s{suffix}"
        path.write_text(text, encoding="utf-8")
        return load_document(path)


def test_the_digest_follows_the_content() -> None:
    one = parse_schema(document(CATEGORICAL))
    other = parse_schema(document(CATEGORICAL | {"categories": ["b", "a"]}))
    assert one.digest == Schema.model_validate(one.model_dump()).digest
    assert one.digest != other.digest


def test_the_json_schema_describes_every_kind() -> None:
    text = json.dumps(json_schema())
    assert json_schema()["title"] == "silosynth schema"
    for kind in ("categorical", "ordinal", "boolean", "integer", "real", "datetime", "identifier"):
        assert f'"const": "{kind}"' in text
