"""Over random schemas: decoded values have the declared form, and are read again as they were."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.source import read_table
from silosynth.common.codec import Codec, Form, arrow_type, read_numbers
from silosynth.common.sampler.rows_file import TextWriter
from silosynth.common.schema import CsvDialect, Schema, as_numeric, dump_schema, parse_schema

DRESSES = st.sampled_from(
    [
        {},
        {"prefix": "$", "thousands": ","},
        {"suffix": " %", "decimal": ","},
        {"negative": "parentheses", "thousands": "'"},
        {"negative": "trailing"},
        {"suffix": " kg", "thousands": ".", "decimal": ","},
        {"suffix": " CR", "below": ["", " DR"], "thousands": ","},
        {"prefix": "$", "below": ["[$", "]"]},
        {"below": ["\u2013", ""], "decimal": "\u00b7"},
        {"suffix": "/100", "thousands": "_"},
        {"zero": "\u0660", "decimal": "\u066b", "thousands": "\u066c"},
        {"flags": ["p", "(e)", "*"]},
    ]
)
GAPS = st.sampled_from(
    [
        {},
        {"missing": True},
        {"missing": True, "missing_tokens": ["NA"], "missing_as": "NA"},
        {"missing_apart": ["refused", "unknown"]},
        {"missing": True, "missing_apart": ["refused"]},
    ]
)


@st.composite
def integers(draw: Callable[..., Any]) -> dict[str, Any]:
    step, low = draw(st.integers(1, 50)), draw(st.integers(-10_000, 10_000))
    points = draw(st.integers(1, 5_000))
    dress = draw(DRESSES)
    digits = draw(st.sampled_from([0, 0, 7])) if not dress.get("thousands") else 0
    return {"kind": "integer", "minimum": low, "maximum": low + step * points, "step": step} | (
        {"spelled": dress | {"digits": digits}} if dress or digits else {}
    )


@st.composite
def reals(draw: Callable[..., Any]) -> dict[str, Any]:
    decimals = draw(st.integers(0, 4))
    low = draw(st.integers(-10_000, 10_000)) / 10**decimals
    high = round(low + draw(st.integers(1, 50_000)) / 10**decimals, decimals)
    places = draw(st.integers(0, decimals))
    return {
        "kind": "real",
        "minimum": low,
        "maximum": high,
        "decimals": decimals,
        "spelled": draw(DRESSES) | {"places": places},
    }


HALVES = {"halves": ["a. m.", "p. m."]}
WORDS = HALVES | {
    "months": [
        *("januari", "februari", "maart", "april", "mei", "juni"),
        *("juli", "augustus", "september", "oktober", "november", "december"),
    ],
    "weekdays": ["ma.", "di.", "wo.", "do.", "vr.", "za.", "zo."],
}
INSTANTS = st.sampled_from(
    [
        {"resolution": "day"},
        {"resolution": "day", "format": "%d/%m/%Y"},
        {"resolution": "day", "format": "%-d.%-m.%Y"},
        {"resolution": "month", "format": "%Y-%m"},
        {"resolution": "second"},
        {"resolution": "minute", "format": "%d.%m.%Y %I:%M %p"},
        {"resolution": "second", "zone": "Europe/Berlin"},
        {"resolution": "second", "zone": "-03:30", "format": "%Y-%m-%dT%H:%M:%S%:z"},
        {"resolution": "microsecond"},
        {"resolution": "day", "format": "%A, %-d. %B %Y", "words": WORDS},
        {"resolution": "minute", "format": "%d/%B/%Y %I:%M %p", "words": WORDS},
        {"resolution": "day", "format": "%Y/%m/%d", "words": {"zero": "\uff10"}},
        {"resolution": "quarter", "format": "%YQ%q"},
        {"resolution": "quarter", "format": "Q%q %Y", "minimum": "1950-03-01"},
        {"resolution": "week", "format": "%G-W%V"},
        {"resolution": "month", "format": "%B-%y", "words": WORDS},
        {"resolution": "microsecond", "format": "%Y-%m-%d %H:%M:%S.%9N"},
        {"resolution": "day", "format": "%d.%m."}
        | {"minimum": "2000-01-01", "maximum": "2000-12-31"},
    ]
).map(lambda how: {"kind": "datetime", "minimum": "2019-01-01", "maximum": "2023-12-31"} | how)
TIMES = st.sampled_from(
    [
        {"kind": "time", "resolution": "minute"},
        {"kind": "time", "resolution": "second", "format": "%I:%M:%S %p"},
        {"kind": "duration", "minimum": 0, "maximum": 900_000, "resolution": "second"},
        {"kind": "duration", "minimum": 0, "maximum": 90_000, "resolution": "minute"}
        | {"format": "clock"},
        {"kind": "duration", "minimum": 0, "maximum": 90_000, "resolution": "second"}
        | {"format": "iso"},
        {"kind": "duration", "minimum": 0, "maximum": 9_000, "resolution": "second"}
        | {"format": "lap"},
        {"kind": "duration", "minimum": 0, "maximum": 9_000, "resolution": "millisecond"}
        | {"format": "long-lap.3"},
        {"kind": "duration", "minimum": 0, "maximum": 9_000, "resolution": "second"}
        | {"format": "{m}:{s:02}/km"},
        {"kind": "time", "resolution": "minute", "format": "%-I:%M %p", "words": HALVES},
        {"kind": "time", "resolution": "millisecond", "format": "%H:%M:%S.%5N"},
    ]
)
LISTS = st.sampled_from(
    [
        {"kind": "categorical", "categories": ["a,b", 'say "x"', " padded", "Ünï"], "other": False},
        {"kind": "categorical", "categories": ["01", "1", "001"], "other": False},
        {"kind": "ordinal", "categories": [10, 5, 7], "other": False},
        {"kind": "categorical", "categories": ["x", "y"], "other_as": "else"},
        {"kind": "boolean", "spelled": ["non", "oui"]},
        {"kind": "boolean"},
        {"kind": "categorical", "categories": ["only", "two"], "other": False}
        | {"stored": "large_string"},
    ]
)
KEYS = st.sampled_from(
    [
        {"kind": "identifier", "prefix": "P-", "digits": 6, "missing": True},
        {"kind": "identifier"},
        {"kind": "empty"},
        {"kind": "categorical", "categories": ["EUR"], "other": False},
        {"kind": "ignored"},
        {"kind": "text", "blank": True},
    ]
)
CODED = st.builds(
    lambda facts, gaps: facts | gaps, st.one_of(integers(), reals(), INSTANTS, TIMES, LISTS), GAPS
)


@st.composite
def schemas(draw: Callable[..., Any]) -> Schema:
    facts = draw(st.lists(CODED, min_size=1, max_size=5)) + draw(st.lists(KEYS, max_size=3))
    named = [{"name": f"column {i}", "source": "declared"} | f for i, f in enumerate(facts)]
    dialect = draw(st.sampled_from([None, {"delimiter": ";"}, {"delimiter": "\t"}]))
    document = {"name": "t", "attributes": named}
    return parse_schema(document | ({"csv": dialect} if dialect else {}))


def drawn(schema: Schema, seed: int) -> tuple[np.ndarray, ...]:
    r = np.random.default_rng(seed)
    return tuple(r.integers(0, size, 60).astype(np.uint16) for size in schema.domain.shape)


@given(schema=schemas(), seed=st.integers(0, 9))
@settings(max_examples=120, deadline=None)
def test_spelled_rows_are_read_as_the_same_codes(
    tmp_path_factory: Any, schema: Schema, seed: int
) -> None:
    path = Path(tmp_path_factory.mktemp("t")) / "a.csv"
    codec, codes = Codec(schema), drawn(schema, seed)
    table = codec.decode(
        codes, uniform=np.random.default_rng(seed).random, form=Form.SPELLED, first_row=5
    )
    kept = [a.name for a in schema.attributes if a.kind != "ignored"]
    assert table.column_names == kept
    writer = TextWriter(path, names=kept, dialect=schema.csv or CsvDialect())
    writer.write_table(table)
    writer.close()
    again = codec.encode(read_table(path, schema=schema))
    assert not again.notes
    for name, one, other in zip(codec.domain.attributes, again.codes, codes, strict=True):
        attribute = next(a for a in schema.coded if a.name == name)
        # Bins of one width begin inside of these.
        if getattr(attribute, "resolution", None) not in ("month", "quarter", "week"):
            np.testing.assert_array_equal(one, other, err_msg=name)


@given(schema=schemas(), seed=st.integers(0, 9))
@settings(max_examples=120, deadline=None)
def test_typed_rows_have_the_declared_types_and_lie_on_the_grid(schema: Schema, seed: int) -> None:
    codec, codes = Codec(schema), drawn(schema, seed)
    table = codec.decode(codes, uniform=np.random.default_rng(seed).random)
    for attribute in schema.attributes:
        if attribute.stored and attribute.name in table.column_names:
            assert table[attribute.name].type == arrow_type(attribute.stored)
        number = as_numeric(attribute)
        if number is None or number.grid is None or number.kind in ("datetime", "time"):
            continue
        unit = 1_000_000 if number.kind == "duration" else 1
        values = read_numbers(number, table[attribute.name].combine_chunks())
        low, high = number.limits()
        for value in values[~np.isnan(values)].tolist():
            start = Fraction(0) if number.kind == "duration" else Fraction(repr(low))
            steps = (Fraction(repr(value)) / unit - start) / number.grid
            assert steps.denominator == 1
            assert low <= value / unit <= high


@given(schema=schemas())
@settings(max_examples=60, deadline=None)
def test_a_schema_with_forms_is_written_and_read_again(schema: Schema) -> None:
    again = parse_schema(yaml.safe_load(dump_schema(schema)))
    assert again == schema
    assert again.digest == schema.digest


def test_an_exact_model_keeps_every_numbers_distribution() -> None:
    r = np.random.default_rng(5)
    table = pa.table({"n": r.integers(0, 30, 20_000), "x": r.normal(50, 9, 20_000).round(1)})
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": "n", "kind": "integer", "minimum": 0, "maximum": 29},
                {"name": "x", "kind": "real", "minimum": 0, "maximum": 100, "decimals": 1}
                | {"bins": {"kind": "width", "count": 1000}},
            ],
        }
    )
    codec = Codec(schema)
    back = codec.decode(codec.encode(table).codes, uniform=r.random)
    for name in ("n", "x"):
        real, mine = np.sort(table[name].to_numpy()), np.sort(back[name].to_numpy())
        points = np.union1d(real, mine)
        below = [np.searchsorted(side, points, side="right") / len(side) for side in (real, mine)]
        assert np.abs(below[0] - below[1]).max() <= 0.01
