"""Every Arrow type that a column may have is coded by its values, and no value makes it fail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.source.bounding import NAMELESS, rank_rows
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Schema, parse_schema

LARGEST = 2**63 - 1


def schema_of(kind: str, **facts: object) -> Schema:
    return parse_schema({"name": "t", "attributes": [{"name": "x", "kind": kind} | facts]})


def listed(*categories: object, kind: str = "categorical") -> Schema:
    return schema_of(kind, categories=list(categories), missing=True)


BINS = {"bins": {"kind": "width", "count": 5}, "missing": True}
SCHEMAS = {
    "categorical": listed("1.5", "2", "a", "1970-01-01"),
    "integers": listed(1, 2),
    "ordinal": listed("1.50", "2.00", kind="ordinal"),
    "boolean": schema_of("boolean", missing=True),
    "integer": schema_of("integer", minimum=0, maximum=10, **BINS),
    "real": schema_of("real", minimum=0.0, maximum=10.0, **BINS),
    "datetime": schema_of("datetime", minimum="1960-01-01", maximum="2020-01-01", **BINS),
}


def decimals(*values: str | None, kind: pa.DataType) -> pa.Array:
    return pa.array([None if v is None else Decimal(v) for v in values], kind)


def raw(kind: pa.DataType, *ticks: int) -> pa.Array:
    """Return an array of these ticks, whether or not they are a date that anybody can write."""
    data = np.array(ticks, dtype=f"i{kind.bit_width // 8}")
    return pa.Array.from_buffers(kind, len(ticks), [None, pa.py_buffer(data.tobytes())])


def runs(values: pa.Array) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(values) + 1)), values)


DECIMALS = {
    "decimal32": pa.decimal32(5, 2),
    "decimal64": pa.decimal64(12, 2),
    "decimal128": pa.decimal128(30, 2),
    "decimal256": pa.decimal256(60, 2),
}
IN_TWO_FORMS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "plain": lambda a: a,
    "dictionary": lambda a: pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3]), a),
    "runs": runs,
}


@pytest.mark.parametrize("form", IN_TWO_FORMS)
@pytest.mark.parametrize("name", DECIMALS)
def test_a_decimal_is_the_category_that_is_written_as_it_or_the_same_number(
    name: str, form: str
) -> None:
    column = IN_TWO_FORMS[form](decimals("1.50", "2.00", "3.00", None, kind=DECIMALS[name]))
    for schema in (SCHEMAS["categorical"], SCHEMAS["ordinal"]):
        attribute = schema.coded[0]
        codes = Codec(schema).encode(pa.table({"x": column})).codes[0].tolist()
        assert codes[:2] == [0, 1]
        assert codes[2:] == [attribute.size - 2, attribute.size - 1], "unseen, and missing"
    # Dictionaries of two chunks, each with values of its own.
    other = IN_TWO_FORMS[form](decimals("2.00", "1.50", "3.00", None, kind=DECIMALS[name]))
    table = pa.table({"x": pa.chunked_array([column, other])})
    codes = Codec(SCHEMAS["categorical"]).encode(table).codes[0].tolist()
    assert (codes[:2], codes[4:6]) == ([0, 1], [1, 0])


def test_long_decimals_that_are_one_float_are_two_categories() -> None:
    one, other = "10000000000000000000000.01", "10000000000000000000000.02"
    column = decimals(one, other, kind=pa.decimal128(38, 2))
    codes = Codec(listed(one, other)).encode(pa.table({"x": column})).codes[0]
    assert codes.tolist() == [0, 1]


def test_times_of_day_are_categories() -> None:
    column = pa.array([1, 3600, None], pa.time32("s"))
    codes = Codec(listed("00:00:01", "01:00:00")).encode(pa.table({"x": column})).codes[0]
    assert codes.tolist() == [0, 1, 3]


def timestamps() -> dict[str, pa.Array]:
    zones = (None, "UTC", "Europe/Berlin", "+05:30")
    return {
        f"{unit} {zone}": raw(pa.timestamp(unit, zone), 0, LARGEST, -LARGEST, -LARGEST - 1, 86_400)
        for unit in ("s", "ms", "us", "ns")
        for zone in zones
    }


EXTREMES = {
    **{name: decimals("0.01", "999.99", "-999.99", kind=kind) for name, kind in DECIMALS.items()},
    "decimal128 whole": decimals("9" * 38, "-1", kind=pa.decimal128(38, 0)),
    "decimal256 long": decimals("9" * 76, "0", kind=pa.decimal256(76, 0)),
    "decimal below": decimals("100", "900", kind=pa.decimal128(3, -2)),
    "float16": pa.array(np.array([1.5, np.nan, np.inf, 65504], dtype=np.float16)),
    "float32": pa.array([1.5, float("nan"), float("-inf"), 3e38], pa.float32()),
    "float64": pa.array([-0.0, 5e-324, 1.7e308, float("inf")]),
    "uint64": pa.array([0, 2**64 - 1], pa.uint64()),
    "int64": pa.array([LARGEST, -LARGEST - 1]),
    "boolean": pa.array([True, False, None]),
    "null": pa.nulls(3),
    "string view": pa.array(["a", "\0", "\U0010ffff"], pa.string_view()),
    "large string": pa.array(["a" * 100_000, "", " "], pa.large_string()),
    "no utf8": pa.array([b"\xff", b"a\xc3"]).view(pa.string()),
    "date32": raw(pa.date32(), 0, 2**31 - 1, -(2**31)),
    "date64": raw(pa.date64(), 0, LARGEST, -LARGEST - 1),
    "time32": raw(pa.time32("s"), 0, 2**31 - 1, -5),
    "time64": raw(pa.time64("ns"), 0, LARGEST, -5),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None, 7], pa.int8())),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['"a"', "no json"])),
    **timestamps(),
}


def in_all_forms(column: pa.Array) -> dict[str, pa.Array | pa.ChunkedArray]:
    """Return a column plain, in chunks, as dictionaries that differ, as runs, and without rows.

    Runs only where Arrow lets them be made.
    """
    forms = {"plain": column, "chunks": pa.chunked_array([column, column.slice(1)])}
    forms["empty"] = column.slice(0, 0)
    if not isinstance(column.type, pa.BaseExtensionType):
        parts = [
            pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int16()), values)
            for values in (column, column.slice(1))
        ]
        forms["dictionaries"] = pa.chunked_array(parts)
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            forms["runs"] = runs(column)
    return forms


@pytest.mark.parametrize("name", EXTREMES)
def test_no_value_of_any_type_makes_a_column_fail_where_another_does_not(name: str) -> None:
    """What is refused is refused by its type: with the largest value as without any."""
    for form, column in in_all_forms(EXTREMES[name]).items():
        for kind, schema in SCHEMAS.items():
            table = pa.table({"x": column})
            refused = []
            for rows in (table, table.slice(0, 0)):
                try:
                    codes = Codec(schema).encode(rows).codes[0]
                    assert len(codes) == rows.num_rows
                    refused.append(False)
                except InvalidTable:
                    refused.append(True)
            assert refused[0] == refused[1], (form, kind)


@pytest.mark.parametrize("name", EXTREMES)
def test_no_value_of_a_person_column_makes_it_fail(name: str) -> None:
    for column in in_all_forms(EXTREMES[name]).values():
        codes = [np.zeros(len(column), dtype=np.uint8)]
        try:
            ranks = rank_rows(column, codes, secret=b"s" * 32)
        except InvalidTable:
            with pytest.raises(InvalidTable):
                rank_rows(column[:0], [codes[0][:0]], secret=b"s" * 32)
            continue
        assert set(ranks[ranks != NAMELESS]) <= {0, 1}
