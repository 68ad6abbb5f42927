"""Kinds of writing and of types that people have: each keeps its form, and is told in a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import Form, to_pandas
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import NumberText
from tests.client.drafting.test_forms import back, facts, kinds, round_trip
from tests.support.tables.messy_files import ROWS, moments, source, write

AT = moments(source(), start="2019-01-01", days=900)
MONEY = source(2).gamma(2, 900, ROWS).round(2)
SIGNS = np.where(np.arange(ROWS) % 5 == 0, -1, 1)


def notes(values: Any, *, name: str = "x") -> str:
    return "\n".join(draft_schema(pa.table({name: values}), name="t").notes[1:])


@pytest.mark.parametrize(
    ("spell", "shape"),
    [
        (
            lambda v: f"$({-v:,.2f})" if v < 0 else f"${v:,.2f}",
            r"\$(\([\d,]+\.\d\d\)|[\d,]+\.\d\d)",
        ),
        (lambda v: f"$-{-v:,.2f}" if v < 0 else f"${v:,.2f}", r"\$-?[\d,]+\.\d\d"),
        (lambda v: f"({-v:.1f}) %" if v < 0 else f"{v:.1f} %", r"(\(\d+\.\d\)|\d+\.\d) %"),
        (lambda v: f"{v:.3e}", r"-?\d\.\d{3}e[+-]\d\d"),
        (lambda v: f"{v:.0E}", r"-?\dE[+-]\d\d"),
        (lambda v: f"{v:+,.2f} EUR", r"[+-][\d,]+\.\d\d EUR"),
    ],
)
def test_amounts_keep_their_dress(
    tmp_path: Path, spell: Callable[[float], str], shape: str
) -> None:
    texts = [spell(v) for v in MONEY * SIGNS]
    path = write(pd.DataFrame({"x": texts, "y": np.arange(ROWS) % 7}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert kinds(draft)["x"] == "real"
    assert out["x"].str.fullmatch(shape).all(), out["x"].head().tolist()
    assert all(re.fullmatch(shape, text) for text in texts)


def test_indian_groups_stay(tmp_path: Path) -> None:
    texts = ["12,34,567", "1,00,000", "99,999", "1,23,45,678"] * 20
    path = write(pd.DataFrame({"x": texts, "y": np.arange(80) % 7}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert facts(draft, "x")["spelled"] == {"thousands": ",", "groups": "indian"}
    assert out["x"].str.fullmatch(r"(\d{1,2},)?(\d\d,)*\d{1,3}(,\d{3})?").all()
    assert out["x"].str.contains(r"\d,\d\d,\d{3}$").any()


@pytest.mark.parametrize(
    "faulty", [{"groups": "indian"}, {"exponent": "e", "prefix": "$"}, {"exponent": "x"}]
)
def test_a_dress_that_cannot_be_is_refused(faulty: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"groups|exponent"):
        NumberText.model_validate(faulty)


@pytest.mark.parametrize(
    "format",
    [
        "%G-W%V-%u",
        "%Y-%j",
        "%Y%m",
        "%a, %d %b %Y %H:%M:%S +0000",
        "%A, %B %d, %Y",
        "%I:%M:%S%p",
        "%-I:%M%p",
    ],
)
def test_calendars_keep_their_form(tmp_path: Path, format: str) -> None:
    texts = {t.strftime(format) for t in AT}
    frame = pd.DataFrame({"x": [t.strftime(format) for t in AT], "y": np.arange(ROWS) % 7})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert kinds(draft)["x"] in ("datetime", "time")
    plain = {re.sub(r"[A-Z][a-z]+", "Aa", re.sub(r"\d", "9", text)) for text in texts}
    assert {re.sub(r"[A-Z][a-z]+", "Aa", re.sub(r"\d", "9", t)) for t in out["x"]} <= plain
    read = format.replace("%-", "%").replace(" +0000", " %z")
    for text in out["x"]:
        moment = pd.to_datetime(text, format=read)
        assert moment.strftime(format.replace("+0000", "%z")) == text


@pytest.mark.parametrize("format", ["%Y%m%d", "%Y%m"])
@pytest.mark.parametrize("kind", ["int64", "int32", "float64"])
def test_dates_stored_as_whole_numbers_are_dates(format: str, kind: str) -> None:
    numbers = np.array([int(t.strftime(format)) for t in AT], dtype=kind)
    table = pa.table({"x": numbers, "y": np.arange(ROWS) % 7})
    drafted = draft_schema(table, name="t")
    assert kinds(drafted)["x"] == "datetime"
    out = back(table, drafted.schema)["x"]
    assert out.type == table["x"].type
    for number in out.to_pylist():
        assert int(pd.to_datetime(str(int(number)), format=format).strftime(format)) == number


def test_numbers_that_are_no_dates_stay_numbers() -> None:
    counts = pa.array(source().integers(190_000, 210_000, ROWS))
    assert kinds(draft_schema(pa.table({"x": counts}), name="t")) == {"x": "integer"}


@pytest.mark.parametrize(("scale", "unit"), [(1, "seconds"), (1_000, "milliseconds")])
def test_instants_as_numbers_are_no_keys(scale: int, unit: str) -> None:
    ticks = pa.array([int(t.timestamp()) * scale + (7 if scale > 1 else 0) for t in AT])
    drafted = draft_schema(pa.table({"at": ticks, "account": ticks}), name="t")
    assert kinds(drafted) == {"at": "integer", "account": "identifier"}
    assert f"all read as {unit} since 1970" in "\n".join(drafted.notes)


def test_bounds_of_stepped_numbers_tell_no_value() -> None:
    numbers = [1_234_050 + 50 * k for k in range(2_000)] * 2
    drafted = draft_schema(pa.table({"x": numbers}), name="t")
    assert facts(drafted, "x")["step"] == 50
    assert facts(drafted, "x")["minimum"] == 1_234_000
    assert facts(drafted, "x")["maximum"] == 1_334_000


def test_spans_beyond_a_day_without_seconds(tmp_path: Path) -> None:
    texts = [f"{n // 60}:{n % 60:02}" for n in source().integers(0, 6_000, ROWS)]
    path = write(pd.DataFrame({"x": texts, "y": np.arange(ROWS) % 7}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert facts(draft, "x")["format"] == "hours"
    assert out["x"].str.fullmatch(r"\d{1,3}:[0-5]\d").all()
    assert "minutes and seconds would be spelled alike" in "\n".join(draft.notes)


@pytest.mark.parametrize(
    ("word", "others"),
    [
        ("unknown", [f"{t:%Y-%m-%d}" for t in AT]),
        ("unknown", [f"{t:%d.%m.%Y %H:%M}" for t in AT]),
        ("-", [f"{v:,.2f}" for v in MONEY]),
        ("n/d", [f"$ {v:.2f}" for v in MONEY]),
        ("<5", [str(n) for n in range(5, 65)] * 10),
        ("90+", [str(n) for n in range(18, 90)] * 9),
    ],
)
def test_a_word_among_values_is_kept_apart(tmp_path: Path, word: str, others: list[str]) -> None:
    texts = [word if i % 6 == 0 else text for i, text in enumerate(others)]
    path = write(pd.DataFrame({"x": texts, "y": np.arange(len(texts)) % 7}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert kinds(draft)["x"] in ("integer", "real", "datetime")
    assert (out["x"] == word).mean() == pytest.approx(1 / 6, abs=0.01)
    assert any(repr(word) in note for note in draft.notes)


def test_words_for_missing_values_stay_apart_in_typed_tables(tmp_path: Path) -> None:
    words = ["refused", "unknown"]
    n = np.arange(ROWS)
    frame = pd.DataFrame(
        {
            "number": [words[i % 2] if i % 5 == 0 else str(i % 97) for i in n],
            "day": [words[i % 2] if i % 5 == 0 else f"2020-01-{i % 28 + 1:02}" for i in n],
            "list": [words[i % 2] if i % 5 == 0 else "abc"[i % 3] for i in n],
        }
    )
    path = write(frame, tmp_path / "a.csv")
    draft = draft_schema(path, name="t")
    listed = next(a for a in draft.schema.attributes if a.name == "list")
    apart = listed.model_copy(update={"categories": ("a", "b", "c"), "missing_apart": (*words,)})
    schema = draft.schema.model_copy(update={"attributes": (*draft.schema.attributes[:2], apart)})
    out = back(path, schema)
    for name in frame:
        texts = pd.Series(out[name].cast(pa.string()).to_pylist())
        for word in words:
            assert (texts == word).sum() == (frame[name] == word).sum(), (name, word)
    assert out["number"].type == pa.string()
    assert pa.types.is_dictionary(out["list"].type)


def test_numbers_that_stand_for_missing_stay_numbers() -> None:
    table = pa.table({"x": pa.array([-9, -8, *range(50)] * 9, pa.int16())})
    schema = draft_schema(table, name="t").schema
    apart = schema.attributes[0].model_copy(
        update={"minimum": 0, "maximum": 49, "missing_apart": ("-9", "-8")}
    )
    out = back(table, schema.model_copy(update={"attributes": (apart,)}))["x"]
    assert out.type == pa.int16()
    assert {v: out.to_pylist().count(v) for v in (-9, -8)} == {-9: 9, -8: 9}


def test_what_frames_say_of_types_stays() -> None:
    r = source(4)
    frame = pd.DataFrame(
        {
            "byte": r.integers(0, 255, ROWS).astype("uint8"),
            "short": r.normal(0, 9, ROWS).astype("float32").round(2),
            "money": [Decimal(int(n)) / 100 for n in r.integers(0, 10**6, ROWS)],
            "grade": pd.Categorical(
                r.choice(["lo", "hi"], ROWS), categories=["lo", "mid", "hi"], ordered=True
            ),
            "ward": pd.Categorical(r.integers(1, 4, ROWS)),
            "band": pd.cut(r.normal(0, 1, ROWS), 4),
            "month": pd.PeriodIndex(AT, freq="M"),
            "count": pd.array([None if i % 5 == 0 else i % 90 for i in range(ROWS)], dtype="Int16"),
        }
    )
    drafted = draft_schema(frame, name="t")
    out = back(frame, drafted.schema)
    assert kinds(drafted)["ward"] == "categorical"
    assert facts(drafted, "short")["decimals"] == facts(drafted, "money")["decimals"] == 2
    assert facts(drafted, "byte")["maximum"] <= 255
    assert out["short"].type == pa.float32()
    short = out["short"].to_numpy()
    assert np.array_equal(short, short.round(2))
    again = to_pandas(out)
    assert list(again["grade"].cat.categories) == ["lo", "mid", "hi"]
    assert again["grade"].cat.ordered
    assert set(again["ward"].cat.categories) == {1, 2, 3}
    assert again["band"].cat.ordered
    assert again["month"].str.fullmatch(r"20\d\d-\d\d").all()
    assert str(again["count"].dtype) == "Int16"


def test_dictionaries_keep_the_types_of_index_and_values() -> None:
    table = pa.table(
        {
            "large": pa.array(["a", "b"] * 30)
            .dictionary_encode()
            .cast(pa.dictionary(pa.int8(), pa.large_string())),
            "whole": pa.array([1, 5, 9] * 20).dictionary_encode(),
            "plain": pa.array(["a", "b", None] * 20).dictionary_encode(),
        }
    )
    drafted = draft_schema(table, name="t")
    out = back(table, drafted.schema)
    assert out.schema.types == table.schema.types
    assert out.to_pylist() == table.to_pylist()


def test_long_and_whole_decimals_stay() -> None:
    cents = [Decimal(n) / 100 for n in range(1, 101)] * 3
    whole = [Decimal(n * 3) for n in range(100)] * 3
    table = pa.table(
        {
            "long": pa.array(cents, pa.decimal256(40, 2)),
            "whole": pa.array(whole, pa.decimal128(10, 0)),
        }
    )
    drafted = draft_schema(table, name="t")
    out = back(table, drafted.schema)
    assert out.schema.types == table.schema.types
    assert facts(drafted, "long")["decimals"] == 2


def test_a_frame_of_a_type_that_arrow_has_not_is_told_in_a_line() -> None:
    frame = pl.DataFrame({"x": pl.Series([1, 2]).cast(pl.Int128)})
    with pytest.raises(InvalidTable, match="a type that Arrow has not"):
        draft_schema(frame, name="t")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([f"{a}/{b}" for a, b in source().integers(50, 190, (ROWS, 2))], "two numbers each"),
        ([f"{'$€'[i % 2]}{v:.2f}" for i, v in enumerate(MONEY)], "in several units"),
        (
            [t.strftime("%Y-%m-%d" if i % 3 else "%d/%m/%Y") for i, t in enumerate(AT)],
            "dates written in several ways",
        ),
        ([f"{t.day}. Heumond {t.year}-{i}"[:-1] for i, t in enumerate(AT)], "identifier"),
        (["9999-12-31"] * 9 + [f"{t:%Y-%m-%d}" for t in AT], "9999-12-31 stands apart"),
        (["01/01/1900"] * 9 + [f"{t:%d/%m/%Y}" for t in AT], "01/01/1900 stands apart"),
        (["-9"] * 9 + [str(n) for n in range(90)], "-9 stands apart"),
        (
            [t.strftime("%Y-%m-%d" if i % 3 else "%Y-%m-%d %H:%M:%S") for i, t in enumerate(AT)],
            "without a time of day",
        ),
    ],
)
def test_what_a_reviewer_could_do_is_told(texts: list[str], said: str) -> None:
    assert said in notes(texts)


def test_keys_of_several_prefixes_keep_their_shape() -> None:
    keys = [f"{'AB'[n % 2]}-{n:07}" for n in source().choice(10**7, 300, replace=False)]
    drafted = draft_schema(pa.table({"x": keys}), name="t")
    assert facts(drafted, "x")["like"] == "(A-|B-)[0-9]{7}"


def test_spelled_dictionaries_are_texts_in_a_file() -> None:
    table = pa.table({"x": pa.array([1, 5, 9] * 20).dictionary_encode()})
    out = back(table, draft_schema(table, name="t").schema, form=Form.SPELLED)
    assert set(out["x"].to_pylist()) == {"1", "5", "9"}


def test_columns_that_are_packed_are_what_they_hold() -> None:
    numbers = np.repeat(np.arange(30), 20)
    runs = pc.run_end_encode(pa.array(numbers))
    draft = draft_schema(pa.table({"x": runs, "y": numbers % 7}), name="t")
    assert kinds(draft)["x"] == "integer"
    assert back(pa.table({"x": runs, "y": numbers % 7}), draft.schema)["x"].type == pa.int64()
    sparse = pd.DataFrame({"x": pd.arrays.SparseArray(numbers % 11), "y": numbers})
    draft = draft_schema(sparse, name="t")
    assert kinds(draft)["x"] == "integer"
    assert back(sparse, draft.schema)["x"].type == pa.int64()
