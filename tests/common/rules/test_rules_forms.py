"""Rules between columns that declare a form: steps, decimals, resolutions, texts, reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.codec import Codec, Form, keeps_rules, renumber
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.common.values import edges_schema, refined_attributes

ROWS = 400
FIRST = np.arange(ROWS) * 7 % 300
LATER = FIRST + 1 + FIRST % 41
DAY = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2021-12-31", "resolution": "day"}
CENT = {"kind": "real", "minimum": 0, "maximum": 200, "decimals": 2}
FIVE = {"kind": "integer", "minimum": 0, "maximum": 2000, "step": 5}
CLOCK = {"kind": "time", "resolution": "minute"}
SPAN = {
    "kind": "duration",
    "minimum": "0:00:00",
    "maximum": "1 days 00:00:00",
    "resolution": "second",
}


def _dates(days: np.ndarray) -> list[str]:
    dates = (np.datetime64("2020-01-01") + days.astype("timedelta64[D]")).tolist()
    return [d.strftime("%d.%m.%Y") for d in dates]


def _clocks(minutes: np.ndarray) -> list[str]:
    return [f"{m // 60:02}:{m % 60:02}" for m in minutes.tolist()]


def _schema(rules: tuple[str, ...], **attributes: dict[str, Any]) -> Schema:
    listed = [{"name": name, "source": "public", **a} for name, a in attributes.items()]
    return Schema.model_validate({"name": "t", "attributes": listed, "rules": rules})


CASES: dict[str, tuple[Schema, dict[str, Any]]] = {
    "days as text": (
        _schema(("a < b",), a={**DAY, "format": "%d.%m.%Y"}, b={**DAY, "format": "%d.%m.%Y"}),
        {"a": _dates(FIRST), "b": _dates(LATER)},
    ),
    "days as dates": (
        _schema(("a <= b",), a=DAY, b={**DAY, "stored": "date32", "missing": True}),
        {
            "a": (FIRST + 18262).astype("datetime64[D]"),
            "b": (LATER + 18262).astype("datetime64[D]"),
        },
    ),
    "a word for missing": (
        _schema(
            ("a < b", "b null iff k = no"),
            a=FIVE,
            b={**FIVE, "missing": True, "missing_tokens": ["0", "-9"], "missing_as": "-9"},
            k={"kind": "categorical", "categories": ["no", "yes"], "other": False},
        ),
        {
            "a": FIRST * 5,
            "b": np.where(FIRST % 3 == 0, -9, LATER * 5),
            "k": np.where(FIRST % 3 == 0, "no", "yes"),
        },
    ),
    "cents with a mark": (
        _schema(("a < b",), a=CENT, b={**CENT, "spelled": {"prefix": "$", "places": 2}}),
        {"a": FIRST / 100, "b": [f"${x / 100:.2f}" for x in LATER]},
    ),
    "a sum of cents": (
        _schema(("t = a + b",), a=CENT, b=CENT, t={**CENT, "stored": "decimal(9,2)"}),
        {"a": FIRST / 100, "b": LATER / 100, "t": (FIRST + LATER) / 100},
    ),
    "steps": (_schema(("a < b",), a=FIVE, b=FIVE), {"a": FIRST * 5, "b": LATER * 5}),
    "times of day": (
        _schema(("a < b",), a=CLOCK, b=CLOCK),
        {"a": _clocks(FIRST), "b": _clocks(LATER)},
    ),
    "spans": (
        _schema(("a <= b", "t = a + b"), a=SPAN, b=SPAN, t={**SPAN, "maximum": "2 days 00:00:00"}),
        {
            "a": FIRST.astype("timedelta64[s]"),
            "b": LATER.astype("timedelta64[s]"),
            "t": (FIRST + LATER).astype("timedelta64[s]"),
        },
    ),
    "a constant": (
        _schema(("t = a + c",), a=FIVE, c={"kind": "integer", "minimum": 5, "maximum": 5}, t=FIVE),
        {"a": FIRST * 5, "c": np.full(ROWS, 5), "t": FIRST * 5 + 5},
    ),
    "spelled truths": (
        _schema(
            ("one of: a, b",),
            a={"kind": "boolean", "spelled": ["n", "y"]},
            b={"kind": "boolean", "spelled": ["n", "y"]},
        ),
        {"a": np.where(FIRST % 2, "y", "n"), "b": np.where(FIRST % 2, "n", "y")},
    ),
}


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("case", sorted(CASES))
def test_rows_in_their_form_keep_rules_and_codes(case: str, form: Form) -> None:
    schema, columns = CASES[case]
    codec, table = Codec(schema), pa.table(columns)
    encoded = codec.encode(table)
    assert all(n.bent == 0 for n in encoded.notes)
    drawn = codec.decode(encoded.codes, uniform=np.random.default_rng(5).random, form=form)
    assert all(kept.all() for kept in keeps_rules(drawn, schema=schema).values())
    for before, after in zip(encoded.codes, codec.encode(drawn).codes, strict=True):
        np.testing.assert_array_equal(before, after)
    if form is Form.SPELLED:
        assert {str(t) for t in drawn.schema.types} <= {"large_string"}


def test_forms_of_columns_that_rules_make() -> None:
    for case, name, wanted in (
        ("days as text", "b", "string"),
        ("days as dates", "b", "date32[day]"),
        ("a sum of cents", "t", "decimal128(9, 2)"),
        ("times of day", "b", "time64[us]"),
        ("spans", "t", "duration[us]"),
    ):
        schema, columns = CASES[case]
        codec = Codec(schema)
        codes = codec.encode(pa.table(columns)).codes
        drawn = codec.decode(codes, uniform=np.zeros)
        assert str(drawn.schema.field(name).type) == wanted, case


def test_a_reason_for_a_missing_value_is_not_lost_by_an_order() -> None:
    apart = {**CENT, "missing": True, "missing_apart": ["refused"]}
    schema = _schema(("a <= b",), a=apart, b=apart)
    codec = Codec(schema)
    encoded = codec.encode(pa.table({"a": ["1", "refused", None], "b": ["refused", "2", "3"]}))
    drawn = codec.decode(encoded.codes, uniform=np.zeros, form=Form.SPELLED)
    assert [drawn["a"][1].as_py(), drawn["b"][0].as_py()] == ["refused", "refused"]
    assert drawn["a"][2].as_py() is None


def test_points_are_found_of_what_is_counted_and_bins_learnt_for_it() -> None:
    schema = _schema(("a < b",), a={**FIVE, "maximum": 4000}, b={**FIVE, "maximum": 4000})
    grids = refined_attributes(schema)
    codec, table = Codec(schema), pa.table({"a": FIRST * 5, "b": LATER * 5})
    points = codec.find_points(table, grids=grids)
    np.testing.assert_array_equal(points["a"], FIRST)
    np.testing.assert_array_equal(points["b above a"], FIRST % 41)
    learnt = tuple(range(1, schema.domain.size(("a",))))
    refined = edges_schema(schema, {"a": learnt})
    codes = Codec(refined).encode(table).codes[0]
    np.testing.assert_array_equal(codes, np.minimum(FIRST, len(learnt)))
    assert refined.rules == schema.rules
    assert "b above a" in refined.domain.attributes


def test_keys_run_on_and_a_row_without_one_has_none() -> None:
    schema = Schema.model_validate(
        {
            "name": "t",
            "attributes": [
                {"name": "key", "kind": "identifier", "prefix": "P", "missing": True},
                {"name": "a", "source": "public", **FIVE},
            ],
        }
    )
    table = pa.table({"key": ["P9", None, "P3"], "a": [5, 10, 15]})
    again = renumber(table, schema=schema, form=Form.TYPED, first_row=10)
    assert again["key"].to_pylist() == ["P11", None, "P13"]


def test_rules_need_the_second_version() -> None:
    schema = CASES["steps"][0]
    assert schema.version == 2
    data = {**schema.model_dump(mode="json"), "version": 1}
    with pytest.raises(InvalidSchema, match="version: 2"):
        parse_schema(data)
    assert "version: 2" in dump_schema(schema)
    assert schema.model_copy(update={"rules": ()}).domain.attributes == ("a", "b")


def test_a_key_is_not_ruled_by_what_is_missing() -> None:
    with pytest.raises(ValueError, match="'key' is an identifier"):
        _schema(
            ("key null iff a null",),
            key={"kind": "identifier", "missing": True},
            a={**FIVE, "missing": True},
        )
