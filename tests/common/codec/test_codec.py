"""Codes follow the schema for every value, and come back in the same bin, type and order."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import Codec, Encoded, EncodingNote, quantile_groups, to_pandas
from silosynth.common.codec.bins import bin_edges, find_bins
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.schema import Schema, parse_schema

BINS: list[dict[str, Any]] = [
    {"kind": "width", "count": 7},
    {"kind": "edges", "edges": [1, 2, 50]},
    {"kind": "quantiles", "count": 4, "grid": 64},
]


def schema(*attributes: dict[str, Any]) -> Schema:
    named = [{"name": f"x{i}"} | attribute for i, attribute in enumerate(attributes)]
    return parse_schema({"name": "t", "attributes": named})


def encode(attribute: dict[str, Any], values: Any) -> tuple[list[int], tuple[EncodingNote, ...]]:
    """Encode one column under one attribute named x0."""
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    encoded = Codec(schema(attribute)).encode(pa.table({"x0": column}))
    return encoded.codes[0].tolist(), encoded.notes


def seeded(seed: int) -> Callable[[int], np.ndarray]:
    return np.random.default_rng(seed).random


COLOURS = {"kind": "categorical", "categories": ["red", "green"], "missing": True}
COLOURS |= {"other_as": "other"}
CODES = {"kind": "ordinal", "categories": [3, 1, 2], "missing": True}
AGE = {"kind": "integer", "minimum": 0, "maximum": 99, "bins": {"kind": "width", "count": 10}}
SHARE = {"kind": "real", "minimum": 0, "maximum": 1, "bins": {"kind": "width", "count": 4}}
DAY = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-01-11", "missing": True}
DAY |= {"bins": {"kind": "width", "count": 10}}


class TestListed:
    def test_unseen_becomes_other_silently_and_null_becomes_missing(self) -> None:
        codes, notes = encode(COLOURS, ["green", "mauve", None, "red"])
        assert codes == [1, 2, 3, 0]
        assert notes == (EncodingNote(attribute="x0", unseen=1),)

    @pytest.mark.parametrize(
        ("other", "missing", "expected"),
        [
            (True, True, [2, 3]),
            (True, False, [2, 2]),
            (False, True, [2, 2]),
            (False, False, [0, 0]),
        ],
    )
    def test_unseen_and_null_have_a_code_in_every_declaration(
        self, other: bool, missing: bool, expected: list[int]
    ) -> None:
        codes, notes = encode(
            COLOURS | {"other": other, "missing": missing, "other_as": None}, ["mauve", None]
        )
        assert codes == expected
        assert notes[0].unseen == 1
        assert notes[0].undeclared_missing == (0 if missing else 1)

    @pytest.mark.parametrize(
        "values",
        [
            [3, 1, 2],
            [3.0, 1.0, 2.0],
            ["3", "1", "2"],
            [" 3", "1.0", "2e0"],
            [Decimal("3.00"), Decimal(1), Decimal(2)],
            pa.array([3, 1, 2], pa.uint8()),
            pa.array([3, 1, 2], pa.float16()),
            pa.array(["3", "1", "2"], pa.string_view()),
            pa.array(["3", "1", "2"]).dictionary_encode(),
            pa.array([3, 1, 2]).dictionary_encode(),
        ],
    )
    @pytest.mark.parametrize("categories", [[3, 1, 2], ["3", "1", "2"], ["3.0", "1.0", "2.0"]])
    def test_numbers_match_however_they_are_written(
        self, values: Any, categories: list[str | int]
    ) -> None:
        assert encode(CODES | {"categories": categories}, values) == ([0, 1, 2], ())

    def test_leading_zeros_tell_categories_apart(self) -> None:
        codes, _ = encode({"kind": "categorical", "categories": ["01", "1"]}, ["1", "01", "001"])
        assert codes == [1, 0, 2]
        assert encode(CODES, ["03", "1"])[0] == [0, 1]

    def test_white_space_around_a_listed_value_is_ignored(self) -> None:
        assert encode(COLOURS, [" red", "green\t"])[0] == [0, 1]

    def test_missing_tokens_are_missing_in_text_and_in_numbers(self) -> None:
        tokens = CODES | {"missing_tokens": ["?", "-9"]}
        assert encode(tokens, ["?", "-9", "3"]) == ([4, 4, 0], ())
        assert encode(tokens, [-9, 3, 7])[0] == [4, 0, 3]
        assert encode(tokens, [-9.0, float("nan"), 3.5])[0] == [4, 4, 3]

    def test_dates_match_their_iso_spelling(self) -> None:
        listed = {"kind": "categorical", "categories": ["2020-01-31"]}
        assert encode(listed, [date(2020, 1, 31), date(2020, 2, 1)])[0] == [0, 1]
        assert encode(listed, [datetime(2020, 1, 31, tzinfo=UTC)])[0] == [0]

    @pytest.mark.parametrize(
        "values",
        [
            [True, False, None],
            [1, 0, None],
            [1.0, 0.0, float("nan")],
            ["True", "FALSE", None],
            ["yes", " No", None],
            ["1", "0.0", None],
        ],
    )
    def test_truth_has_many_spellings(self, values: list[Any]) -> None:
        assert encode({"kind": "boolean", "missing": True}, values) == ([1, 0, 2], ())

    def test_truth_columns_match_categories_that_spell_truth(self) -> None:
        for categories in (["True", "False"], ["true", "false"], ["TRUE", "FALSE"], [1, 0]):
            listed = {"kind": "categorical", "categories": categories}
            assert encode(listed, [True, False]) == ([0, 1], ())

    def test_a_dictionary_with_nulls_in_several_chunks_is_read(self) -> None:
        one = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["red", None]))
        two = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["green", "red"]))
        assert encode(COLOURS, pa.chunked_array([one, two]))[0] == [0, 3, 3, 1, 0, 1]
        assert encode(COLOURS, pa.chunked_array([two, two]))[0] == [1, 0, 1, 1, 0, 1]

    def test_ordinal_comes_back_ordered_and_categorical_does_not(self) -> None:
        codec = Codec(schema(CODES, COLOURS, COLOURS | {"kind": "ordinal"}))
        columns = tuple(np.arange(3, dtype=np.uint8) for _ in range(3))
        frame = to_pandas(codec.decode(columns, uniform=seeded(0)))
        assert frame["x0"].cat.ordered
        assert frame["x0"].cat.categories.tolist() == [3, 1, 2]
        assert not frame["x1"].cat.ordered
        assert frame["x2"].cat.categories.tolist() == ["red", "green", "other"]
        assert frame["x1"].tolist() == ["red", "green", "other"]

    def test_other_comes_back_by_its_word_or_as_listed_values(self) -> None:
        codes = np.array([2, 0, 1, 2, 1, 2, 2, 0, 1, 1], dtype=np.uint8)
        named = Codec(schema(COLOURS)).decode((codes,), uniform=seeded(0))["x0"].to_pylist()
        assert [v == "other" for v in named] == (codes == 2).tolist()
        plain = Codec(schema(COLOURS | {"other_as": None}))
        drawn = plain.decode((codes,), uniform=seeded(0))["x0"].to_pylist()
        assert set(drawn) == {"red", "green"}
        assert [v for v, code in zip(drawn, codes, strict=True) if code < 2] == [
            ["red", "green"][code] for code in codes if code < 2
        ]
        alone = plain.decode((np.full(3, 2, dtype=np.uint8),), uniform=seeded(0))
        assert alone["x0"].to_pylist() == ["red", "green", "red"]

    def test_other_among_integers_comes_back_as_an_integer(self) -> None:
        table = Codec(schema(CODES)).decode((np.arange(5, dtype=np.uint8),), uniform=seeded(0))
        assert table["x0"].to_pylist() == [3, 1, 2, 3, None]
        assert table["x0"].type.value_type == pa.int64()


class TestNumbers:
    def test_values_beyond_the_bounds_take_the_nearest_bin(self) -> None:
        codes, notes = encode(AGE, [-5.0, 0, 9.99, 10, 99.5, 1e300, math.inf, -math.inf])
        assert codes == [0, 0, 0, 1, 9, 9, 9, 0]
        assert notes == (EncodingNote(attribute="x0", clipped=4),)
        assert encode(SHARE, [0.0, 0.25, 0.2499, 1.0, 1.1])[0] == [0, 1, 0, 3, 3]

    def test_the_first_whole_number_beyond_the_maximum_is_told(self) -> None:
        assert encode(AGE, [99, 100]) == ([9, 9], (EncodingNote(attribute="x0", clipped=1),))
        assert encode(SHARE, [1.0]) == ([3], ())

    def test_huge_integers_clip(self) -> None:
        assert encode(AGE, pa.array([2**64 - 1], pa.uint64()))[0] == [9]
        assert encode(AGE, pa.array([-(2**63), 2**63 - 1]))[0] == [0, 9]

    def test_nan_and_null_are_missing_or_the_first_code(self) -> None:
        assert encode(AGE | {"missing": True}, [math.nan, None, 5.0]) == ([10, 10, 0], ())
        codes, notes = encode(AGE, [math.nan, None, 55.0])
        assert codes == [0, 0, 5]
        assert notes == (EncodingNote(attribute="x0", undeclared_missing=2),)

    def test_text_is_read_as_numbers_and_what_is_not_is_missing(self) -> None:
        texts = ["15", " 1e1 ", "+20.0", "N", "", None, "x", "inf", "1e999", "1_0", "0x10", "nan"]
        age = AGE | {"missing": True, "missing_tokens": ["N"]}
        codes, notes = encode(age, texts)
        assert codes == [1, 1, 2, 10, 10, 10, 10, 9, 9, 10, 10, 10]
        assert notes == (EncodingNote(attribute="x0", clipped=2, unreadable=3),)
        assert encode(AGE, ["x", "55"])[0] == [0, 5]

    def test_a_number_may_be_a_missing_token(self) -> None:
        age = AGE | {"missing": True, "missing_tokens": ["-9"]}
        for values in ([-9, 55], [-9.0, 55.0], ["-9", "55"], ["-9.0", "55"]):
            assert encode(age, values) == ([10, 5], ())

    @pytest.mark.parametrize(
        "kind", [pa.int8(), pa.uint16(), pa.float16(), pa.float32(), pa.decimal128(23, 2)]
    )
    def test_every_number_type_is_read(self, kind: pa.DataType) -> None:
        assert encode(AGE, pa.array([5, 15, 95]).cast(kind)) == ([0, 1, 9], ())
        assert encode(AGE, pa.array([5, 15, 5]).dictionary_encode()) == ([0, 1, 0], ())

    @given(
        low=st.integers(-(2**53), 2**53 - 1),
        span=st.integers(1, 2**54),
        count=st.integers(1, 300),
        data=st.data(),
    )
    @settings(max_examples=60, deadline=None)
    def test_whole_bins_follow_the_schemas_edges(
        self, low: int, span: int, count: int, data: st.DataObject
    ) -> None:
        high = min(low + span, 2**53)
        whole = {"kind": "integer", "minimum": low, "maximum": high, "bins": {"kind": "width"}}
        whole["bins"] |= {"count": count}  # type: ignore[operator]
        edges = schema(whole).coded[0].edges()  # type: ignore[union-attr]
        near = st.sampled_from(edges).flatmap(lambda e: st.integers(int(e) - 1, int(e) + 1))
        values = data.draw(st.lists(near | st.integers(low, high), min_size=1, max_size=20))
        inside = [min(max(value, low), high) for value in values]
        codes, _ = encode(whole, pa.array(values, pa.int64()))
        for value, code in zip(inside, codes, strict=True):
            assert edges[code] <= value < edges[code + 1]

    @given(
        low=st.floats(-1e6, 1e6),
        width=st.floats(1, 1e6),
        count=st.integers(1, 4096),
        values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=30),
        places=st.lists(st.integers(0, 4096), max_size=30),
    )
    @settings(max_examples=80, deadline=None)
    def test_the_arithmetic_bin_is_the_searched_bin(
        self, low: float, width: float, count: int, values: list[float], places: list[int]
    ) -> None:
        edges = tuple(low + width * i / count for i in range(count + 1))
        near = [edges[min(place, count)] for place in places]
        near += [math.nextafter(x, way) for x in near for way in (-math.inf, math.inf)]
        numbers = np.asarray(values + near)
        searched = np.searchsorted(np.asarray(edges)[1:-1], numbers, side="right")
        assert bin_edges(edges).even
        np.testing.assert_array_equal(find_bins(numbers, bins=bin_edges(edges)), searched)


class TestInstants:
    @pytest.mark.parametrize(
        "values",
        [
            [datetime(2020, 1, 3, 12, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC), None],
            [date(2020, 1, 3), date(2021, 1, 1), None],
            ["2020-01-03", "2021-01-01T00:00:00Z", ""],
            ["2020-01-03T23:59:59.999999", "2021-01-01 10:00", "now"],
            ["2020-01-04T01:00:00+02:00", "20210101", None],
            pa.array([1578009600, 1609459200, None], pa.timestamp("s")),
            pa.array([1578009600, 1609459200, None], pa.timestamp("s", tz="Asia/Tokyo")),
            pa.array([1578009600999999999, 1609459200 * 10**9, None], pa.timestamp("ns")),
            pa.array([1578009600999, 1609459200 * 10**3, None], pa.date64()),
            pa.array([1578009600 * 10**6, 2**63 - 1, None], pa.timestamp("us")),
        ],
    )
    def test_every_storage_of_an_instant_is_read(self, values: Any) -> None:
        assert encode(DAY, values)[0] == [2, 9, 10]

    def test_unreadable_texts_are_missing_and_told(self) -> None:
        codes, notes = encode(DAY, ["2020-01-03", "today", "31.12.2020", "9999"])
        assert codes == [2, 10, 10, 9]
        assert notes == (EncodingNote(attribute="x0", clipped=1, unreadable=2),)

    def test_a_declared_format_reads_other_spellings(self) -> None:
        spelled = DAY | {"format": "%d.%m.%Y", "missing_tokens": ["09.09.1999"]}
        assert encode(spelled, ["03.01.2020", "2020-01-03", "09.09.1999"])[0] == [2, 10, 10]

    def test_nanoseconds_before_an_edge_stay_before_it(self) -> None:
        edge = 1577923200 * 10**9
        assert encode(DAY, pa.array([edge - 1, edge], pa.timestamp("ns")))[0] == [0, 1]

    @pytest.mark.parametrize(
        ("format", "far", "fine"),
        [
            (None, "9999-12-31", "2020-01-03T00:00:00.123456789"),
            (None, "9999-12-31T23:59:59.9999999", "2020-01-03T00:00:00.1"),
            (None, "1200-01-01", "2020-01-03T00:00:00.1234567890123"),
            ("%d.%m.%Y %H.%f", "31.12.9999 00.0", "03.01.2020 00.123456789"),
            ("%Y%m%d%H%M%S%f", "999912310000001", "20200103000000123456789"),
        ],
    )
    def test_a_text_with_nanoseconds_changes_no_other_rows_code(
        self, format: str | None, far: str, fine: str
    ) -> None:
        spelled = DAY | {"format": format}
        place = 0 if far < "2" else 9
        assert encode(spelled, [far])[0] == [place]
        assert encode(spelled, [far, fine])[0] == [place, 2]


KINDS = st.one_of(
    st.sampled_from([COLOURS, {"kind": "ordinal", "categories": ["red", "green"], "other": False}]),
    st.just({"kind": "categorical", "categories": [5, 6, 7], "missing": True, "other": False}),
    st.just({"kind": "boolean", "missing": True}),
    st.builds(
        lambda kind, low, span, bins, missing: {
            "kind": kind,
            "minimum": low,
            "maximum": 60 + span,
            "bins": bins,
            "missing": missing,
        },
        st.sampled_from(["integer", "real"]),
        st.integers(-1000, 0),
        st.integers(0, 2**40),
        st.sampled_from(BINS),
        st.booleans(),
    ),
    st.builds(
        lambda years, bins: {
            "kind": "datetime",
            "minimum": "1969-12-31T23:59:59.999999",
            "maximum": f"{1971 + years:04}-01-01",
            "bins": bins,
            "missing": True,
        },
        st.integers(0, 8000),
        st.sampled_from(BINS),
    ),
)


@given(attributes=st.lists(KINDS, min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_every_code_decodes_to_a_value_of_that_code(
    attributes: list[dict[str, Any]], seed: int
) -> None:
    codec = Codec(schema(*attributes))
    rows = max(codec.domain.shape)
    codes = tuple((np.arange(rows) % size).astype(np.uint16) for size in codec.domain.shape)
    table = codec.decode(codes, uniform=seeded(seed))
    again = codec.encode(table)
    assert not any(n.clipped + n.unreadable + n.undeclared_missing for n in again.notes)
    for column, expected, size in zip(again.codes, codes, codec.domain.shape, strict=True):
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == (np.uint8 if size <= 256 else np.uint16)
        assert column.flags["C_CONTIGUOUS"]
    frame = codec.encode(to_pandas(table))
    for column, expected in zip(frame.codes, codes, strict=True):
        np.testing.assert_array_equal(column, expected)


@given(
    attribute=KINDS,
    values=st.lists(
        st.none()
        | st.floats()
        | st.booleans()
        | st.integers()
        | st.text(max_size=12)
        | st.binary(max_size=3)
        | st.datetimes()
        | st.dates()
        | st.decimals(),
        max_size=12,
    ),
)
@settings(max_examples=150, deadline=None)
def test_no_value_can_make_a_text_or_object_column_fail(
    attribute: dict[str, Any], values: list[Any]
) -> None:
    codec = Codec(schema(attribute))
    texts = pa.array([None if v is None else repr(v) for v in values], pa.string())
    encoded = codec.encode(pa.table({"x0": texts}))
    assert encoded.rows == len(values)
    assert all(int(code.max(initial=0)) < codec.domain.shape[0] for code in encoded.codes)
    mixed = pd.DataFrame({"x0": pd.Series([*values, "a", 1], dtype=object)})
    assert codec.encode(mixed).rows == len(values) + 2


ODD_TEXTS = ["5", "05", "5.0", "1e400", "-1e-400", "+.5", "inf", "nan", "NaT", "true", "T", "NO"]
ODD_TEXTS += [" red ", "RED", "", "\x00", "\ufeffred", "9999-12-31", "0001-01-01", "2020-01-03"]
ODD_TEXTS += ["2020-01-03T00:00:00.123456789", "2020-01-04T01:00:00+02:00", "2020-01-03T24:00"]
ODD_TEXTS += ["99999-01-01", "-0001-01-01", "12345678901234567890", "2020-W01-1", "20200103"]


@pytest.mark.parametrize("attribute", [COLOURS, CODES, {"kind": "boolean"}, AGE, SHARE, DAY])
def test_a_rows_code_depends_on_that_row_alone(attribute: dict[str, Any]) -> None:
    alone = [encode(attribute, [text])[0][0] for text in ODD_TEXTS]
    assert encode(attribute, ODD_TEXTS)[0] == alone
    assert encode(attribute, ODD_TEXTS[::-1])[0] == alone[::-1]


@pytest.mark.parametrize("attribute", [COLOURS, CODES, {"kind": "boolean"}, AGE, SHARE, DAY])
def test_bytes_that_are_no_text_make_no_column_fail(attribute: dict[str, Any]) -> None:
    stored = pa.array([b"5", b"\xff", None, b"red"], pa.binary()).view(pa.string())
    expected, _ = encode(attribute, ["5", "\ufffd", None, "red"])
    for column in (stored, stored.dictionary_encode(), pa.chunked_array([stored[:2], stored[2:]])):
        assert encode(attribute, column)[0] == expected


@pytest.mark.parametrize(
    "odd", [Decimal("Infinity"), Decimal("sNaN"), b"\x80", "\ud800", 2**90, pd.NaT, ("a",), object]
)
def test_odd_objects_among_texts_are_unseen_or_missing(odd: object) -> None:
    frame = pd.DataFrame({"x0": pd.Series(["red", 1, odd, None], dtype=object)})
    assert Codec(schema(COLOURS)).encode(frame).codes[0].tolist() in ([0, 2, 2, 3], [0, 2, 3, 3])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["red", None, "mauve"]),
        pd.Series(["red", None, "mauve"], dtype="category"),
        pd.Series(["red", None, "mauve"], dtype=object),
        pd.Series(["red", pd.NA, "mauve"], dtype="string"),
        pd.Series(["red", np.nan, 7], dtype=object),
    ],
)
def test_pandas_text_of_every_dtype_gives_the_same_codes(column: pd.Series) -> None:
    encoded = Codec(schema(COLOURS)).encode(pd.DataFrame({"x0": column}))
    assert encoded.codes[0].tolist() == [0, 3, 2]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([5, None, 55], dtype="Int64"),
        pd.Series([5, None, 55], dtype=float),
        pd.Series([5, None, 55], dtype=object),
        pd.Series([5, "x", 55], dtype=object),
        pd.Series(["5", None, 55.0], dtype=object),
        pd.Series([5, None, 55], dtype="category"),
        pd.Series([5, None, 55], dtype="float32[pyarrow]"),
        pd.Series([5, None, 55 * 10**30], dtype=object),
    ],
)
def test_pandas_numbers_of_every_dtype_give_the_same_codes(column: pd.Series) -> None:
    encoded = Codec(schema(AGE | {"missing": True})).encode(pd.DataFrame({"x0": column}))
    assert encoded.codes[0][:2].tolist() == [0, 10]


def test_batches_and_foreign_streams_are_tables() -> None:
    codec = Codec(schema(COLOURS))
    batch = pa.record_batch({"x0": ["red"]})

    class Stream:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return pa.Table.from_batches([batch]).__arrow_c_stream__(requested_schema)

    assert codec.encode(batch).codes[0].tolist() == [0]
    assert codec.encode(Stream()).codes[0].tolist() == [0]
    with pytest.raises(InvalidTable, match="list is not a table"):
        codec.encode([1])


@pytest.mark.parametrize(
    ("attribute", "column", "message"),
    [
        (COLOURS, pa.array([["a"]]), "has type list<item: string>, which cannot be categorical"),
        (COLOURS, pa.array([b"a"]), "cannot be categorical; store it as text"),
        (AGE, pa.array([date(2020, 1, 1)]), "cannot be integer; store it as numbers"),
        (SHARE, pa.array([{"a": 1}]), "cannot be real"),
        (DAY, pa.array([1]), "cannot be datetime; store it as a timestamp"),
        ({"kind": "boolean"}, pa.array([Decimal(1)]), "cannot be boolean; store it as true"),
    ],
)
def test_a_column_that_can_never_fit_is_named_with_the_remedy(
    attribute: dict[str, Any], column: pa.Array, message: str
) -> None:
    with pytest.raises(InvalidTable, match=r"t\.parquet: column 'x0' ") as caught:
        Codec(schema(attribute)).encode(pa.table({"x0": column}), origin="t.parquet")
    assert message in str(caught.value)


def test_missing_extra_and_twin_columns_are_named() -> None:
    codec = Codec(schema(COLOURS, AGE))
    both = {"x0": ["red"], "x1": [1]}
    with pytest.raises(InvalidTable, match="column 'x1' is missing"):
        codec.encode(pa.table({"x0": ["red"]}))
    with pytest.raises(InvalidTable, match="columns 'e', 'f' are not in the schema"):
        codec.encode(pa.table(both | {"e": [1], "f": [1]}))
    assert codec.encode(pa.table(both | {"e": [1]}), allow_extra=True).rows == 1
    twins = pa.Table.from_arrays([pa.array(["red"])] * 2 + [pa.array([1])], ["x0", "x0", "x1"])
    with pytest.raises(InvalidTable, match="column 'x0' is there twice"):
        codec.encode(twins)


def test_an_empty_table_is_a_table() -> None:
    codec = Codec(schema(COLOURS, AGE, DAY))
    empty = pa.table({"x0": pa.nulls(0), "x1": pa.nulls(0), "x2": pa.nulls(0)})
    encoded = codec.encode(empty)
    assert encoded.rows == 0
    assert [len(code) for code in encoded.codes] == [0, 0, 0]
    assert codec.decode(encoded.codes, uniform=seeded(0)).num_rows == 0


def test_all_null_columns_have_codes() -> None:
    codec = Codec(schema(COLOURS, AGE, DAY, {"kind": "boolean"}))
    table = pa.table({f"x{i}": pa.nulls(2) for i in range(4)})
    codes = [code.tolist() for code in codec.encode(table).codes]
    assert codes == [[3, 3], [0, 0], [10, 10], [0, 0]]


def test_identifiers_run_on_and_free_text_is_left_out() -> None:
    keys = {"kind": "identifier"}
    codec = Codec(schema(keys | {"prefix": "p-"}, COLOURS, {"kind": "text"}, keys))
    table = codec.decode((np.zeros(2, dtype=np.uint8),), uniform=seeded(0), first_row=10)
    assert table.column_names == ["x0", "x1", "x3"]
    assert table["x0"].to_pylist() == ["p-11", "p-12"]
    assert table["x3"].to_pylist() == [11, 12]
    assert codec.encode(table).codes[0].tolist() == [0, 0]


def test_decoding_is_a_function_of_codes_and_random_numbers() -> None:
    codec = Codec(schema(SHARE, AGE, DAY))
    codes = tuple(np.array([0, 3], dtype=np.uint8) for _ in range(3))
    halves: list[int] = []

    def half(count: int) -> np.ndarray:
        halves.append(count)
        return np.full(count, 0.5)

    table = codec.decode(codes, uniform=half)
    assert halves == [2, 2, 2]
    assert table["x0"].to_pylist() == [0.125, 0.875]
    assert table["x1"].to_pylist() == [5, 35]
    assert table["x2"].to_pylist()[1] == datetime(2020, 1, 4, 12, tzinfo=UTC)
    assert [field.type for field in table.schema] == [
        pa.float64(),
        pa.int64(),
        pa.timestamp("us", tz="UTC"),
    ]


def test_the_largest_random_number_stays_inside_the_bin() -> None:
    codec = Codec(schema(SHARE | {"minimum": 1, "maximum": 2}, AGE, DAY))
    codes = tuple(np.arange(4, dtype=np.uint8) for _ in range(3))
    table = codec.decode(codes, uniform=lambda count: np.full(count, np.nextafter(1.0, 0.0)))
    for again, code in zip(codec.encode(table).codes, codes, strict=True):
        np.testing.assert_array_equal(again, code)


def test_decoded_numbers_fill_their_bin() -> None:
    codec = Codec(schema(AGE))
    table = codec.decode((np.full(2000, 4, dtype=np.uint8),), uniform=seeded(1))
    assert sorted(set(table["x0"].to_pylist())) == list(range(40, 50))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ((), "1 code columns of one length"),
        ((np.zeros(2, dtype=np.int64),), "must be one unsigned integer column"),
        ((np.zeros((2, 2), dtype=np.uint8),), "must be one unsigned integer column"),
        ((np.array([4], dtype=np.uint8),), "is not below its size 4"),
    ],
)
def test_codes_that_cannot_be_are_refused(codes: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        Codec(schema(COLOURS)).decode(codes, uniform=seeded(0))


def test_nothing_private_shows_in_a_printed_encoding() -> None:
    encoded = Codec(schema(COLOURS)).encode(pa.table({"x0": ["mauve", "red"]}))
    assert repr(encoded) == f"Encoded(domain={encoded.domain!r})"
    assert isinstance(encoded, Encoded)
    assert str(encoded.notes[0]) == "x0: 1 values not listed"


class TestQuantileGroups:
    @given(
        counts=st.lists(st.floats(-50, 1e6), min_size=1, max_size=80),
        count=st.integers(1, 40),
    )
    @settings(max_examples=200, deadline=None)
    def test_groups_are_runs_without_gaps_and_at_most_count(
        self, counts: list[float], count: int
    ) -> None:
        groups = quantile_groups(np.asarray(counts), count=count)
        assert len(groups) == len(counts)
        assert groups[0] == 0
        assert set(np.diff(groups)) <= {0, 1}
        assert groups[-1] < count

    @given(st.lists(st.floats(0.5, 1.5), min_size=64, max_size=200), st.integers(2, 16))
    @settings(max_examples=50, deadline=None)
    def test_even_mass_gives_even_groups(self, counts: list[float], count: int) -> None:
        groups = np.asarray(quantile_groups(np.asarray(counts), count=count))
        mass = np.bincount(groups, weights=counts)
        assert len(mass) == count
        assert np.abs(mass - mass.mean()).max() <= 2 * max(counts)

    def test_a_heavy_bin_stands_alone_and_the_rest_keeps_its_detail(self) -> None:
        counts = np.concatenate([[9200.0], np.full(100, 8.0)])
        for order in (counts, counts[::-1]):
            groups = np.asarray(quantile_groups(order, count=11))
            sizes = np.bincount(groups)
            assert sorted(sizes.tolist()) == [1] + [10] * 10

    def test_without_mass_the_groups_are_equally_wide(self) -> None:
        assert quantile_groups(np.full(8, -3.0), count=4) == (0, 0, 1, 1, 2, 2, 3, 3)

    def test_no_bins_or_no_groups_are_refused(self) -> None:
        with pytest.raises(InvalidArgument):
            quantile_groups(np.zeros(0), count=3)
        with pytest.raises(InvalidArgument):
            quantile_groups(np.ones(3), count=0)
