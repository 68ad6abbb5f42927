"""What goes in comes out: tables of every kind keep their form through draft, codes and back."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.drafting.draft import Draft
from silosynth.client.source import read_table
from silosynth.client.source.table import check_table
from silosynth.common.codec import Codec, Form, to_pandas
from silosynth.common.errors import InvalidTable
from silosynth.common.sampler.rows_file import TextWriter
from silosynth.common.schema import CsvDialect, Schema
from tests.support.tables.messy_files import ROWS, moments, source, write

ICD = source(2).choice(np.arange(10**6, 9 * 10**6), 40, replace=False)
"""Codes of seven digits, with holes."""


def kinds(draft: Draft) -> dict[str, str]:
    return {a.name: a.kind for a in draft.schema.attributes}


def facts(draft: Draft, name: str) -> dict[str, Any]:
    found = next(a for a in draft.schema.attributes if a.name == name)
    return found.model_dump(mode="json", exclude_defaults=True)


def back(table: Any, schema: Schema, *, form: Form = Form.TYPED) -> pa.Table:
    """Encode a table and decode it again, as an exact model would."""
    codec = Codec(schema)
    encoded = codec.encode(read_table(table, schema=schema))
    assert not encoded.notes
    return codec.decode(encoded.codes, uniform=source(7).random, form=form)


def written(path: Path, schema: Schema) -> pd.DataFrame:
    """Return a text file's synthetic twin, read as plainly as pandas can."""
    out = path.with_name(f"out-{path.stem}.csv")
    table = back(path, schema, form=Form.SPELLED)
    how = schema.csv or CsvDialect()
    writer = TextWriter(out, names=table.column_names, dialect=how)
    writer.write_table(table)
    writer.close()
    return pd.read_csv(
        out, sep=how.delimiter, encoding=how.encoding, dtype=str, keep_default_na=False
    )


def round_trip(path: Path) -> tuple[Draft, pd.DataFrame]:
    draft = draft_schema(path, name="t")
    return draft, written(path, draft.schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A column, what it is drafted as, and the form of every value of it."""

    texts: list[str]
    drafted: dict[str, Any]
    form: str

    def check(self, name: str, *, draft: Draft, out: pd.DataFrame) -> None:
        """Fail where the column is not drafted so, or values lose their form on the way back."""
        found = facts(draft, name) | {"kind": kinds(draft)[name]}
        assert {k: found.get(k) for k in self.drafted} == self.drafted
        assert [t for t in self.texts if not re.fullmatch(self.form, t)] == []
        assert [t for t in out[name] if not re.fullmatch(self.form, t)] == []


def test_dates_stay_dates(tmp_path: Path) -> None:
    at = moments(source(), start="2023-01-01", days=365)
    frame = pd.DataFrame({"admitted": at.strftime("%Y-%m-%d"), "paid": at.strftime("%d/%m/%Y")})
    frame["seen"] = at.strftime("%Y-%m-%d %H:%M:%S")
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert set(kinds(draft).values()) == {"datetime"}
    assert out["admitted"].str.fullmatch(r"2023-\d\d-\d\d").all()
    assert out["paid"].str.fullmatch(r"\d\d/\d\d/2023").all()
    assert out["seen"].str.fullmatch(r"2023-\d\d-\d\d \d\d:\d\d:\d\d").all()
    types = {f.name: f.type for f in back(tmp_path / "a.csv", draft.schema).schema}
    assert types == {"admitted": pa.date32(), "paid": pa.string(), "seen": pa.timestamp("us")}


@pytest.mark.parametrize(
    "format",
    [
        "%d/%m/%Y",
        "%m/%d/%Y %I:%M %p",
        "%d %b %Y",
        "%Y-%m",
        "%d.%m.%Y",
        "%-d.%-m.%Y",
        "%-m/%-d/%Y %H:%M",
        "%Y%m%d",
        "%Y/%m/%d",
        "%d-%b-%Y",
        "%B %d, %Y",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M",
        "%H:%M",
        "%I:%M %p",
    ],
)
def test_dates_are_drafted_as_people_write_them(tmp_path: Path, format: str) -> None:
    at = moments(source(), start="2019-01-01", days=1200)
    path = write(pd.DataFrame({"x": [t.strftime(format) for t in at]}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert kinds(draft)["x"] in ("datetime", "time")
    for text in out["x"]:
        moment = pd.to_datetime(text, format=format.replace("%-", "%"))
        assert moment.strftime(format) == text


def test_a_date_that_reads_two_ways_is_told(tmp_path: Path) -> None:
    days = [f"{d:02}/{m:02}/2020" for d in range(1, 13) for m in range(1, 13)]
    draft = draft_schema(write(pd.DataFrame({"x": days}), tmp_path / "a.csv"), name="t")
    assert any("%d/%m/%Y" in note and "%m/%d/%Y" in note for note in draft.notes)


def test_cents_stay_cents(tmp_path: Path) -> None:
    r = source()
    frame = pd.DataFrame(
        {
            "fare": (r.gamma(3, 4, ROWS) + 2.5).round(2),
            "ratio": r.random(ROWS).round(4),
            "fixed": [f"{x:.2f}" for x in r.gamma(3, 4, ROWS)],
            "steps": r.integers(0, 60, ROWS) * 50,
        }
    )
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert out["fare"].str.fullmatch(r"\d+\.\d{1,2}").all()
    assert out["ratio"].str.fullmatch(r"0\.\d{1,4}|1\.0").all()
    assert out["fixed"].str.fullmatch(r"\d+\.\d{2}").all()
    assert (out["steps"].astype(int) % 50 == 0).all()
    low, high = facts(draft, "fare")["minimum"], facts(draft, "fare")["maximum"]
    assert out["fare"].astype(float).between(low, high).all()


def test_zones_stay(tmp_path: Path) -> None:
    at = moments(source(), start="2024-03-01", days=90).tz_localize("Europe/Berlin")
    typed = tmp_path / "a.parquet"
    pd.DataFrame({"seen": at}).to_parquet(typed, index=False)
    table = back(typed, draft_schema(typed, name="t").schema)
    assert table.schema.field("seen").type == pq.read_schema(typed).field("seen").type
    path = write(pd.DataFrame({"seen": [t.isoformat() for t in at]}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert facts(draft, "seen")["zone"] == "Europe/Berlin"
    for text in out["seen"]:
        assert pd.Timestamp(text).tz_convert("Europe/Berlin").isoformat() == text


def test_offsets_of_no_zone_become_utc_and_are_told(tmp_path: Path) -> None:
    texts = [f"2024-01-{d:02}T10:00:00+0{d % 9}:00" for d in range(1, 29)]
    draft, out = round_trip(write(pd.DataFrame({"x": texts}), tmp_path / "a.csv"))
    assert any("UTC" in note for note in draft.notes)
    assert out["x"].str.endswith("+00:00").all()


def test_empty_columns_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": "", "age": source().integers(0, 90, ROWS), "b": ""})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert kinds(draft) == {"a": "empty", "age": "integer", "b": "empty"}
    assert list(out.columns) == ["a", "age", "b"]
    assert (out[["a", "b"]] == "").all().all()
    assert draft.schema.domain.attributes == ("age",)


def test_codes_that_look_like_numbers(tmp_path: Path) -> None:
    r = source()
    frame = pd.DataFrame(
        {
            "gender": r.choice([8507, 8532], ROWS),
            "visit": r.choice([262, 9201, 9202, 9203], ROWS),
            "pclass": r.choice([1, 2, 3], ROWS),
            "zip": r.choice(["01001", "75001", "20000"], ROWS),
            "icd": [str(ICD[k]) for k in r.integers(0, 40, ROWS)],
        }
    )
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert facts(draft, "gender")["categories"] == [8507, 8532]
    assert kinds(draft)["pclass"] == "integer"
    for name in ("gender", "visit", "zip", "icd"):
        assert kinds(draft)[name] == "categorical"
        assert set(out[name]) == set(frame[name].astype(str))


def test_numbers_too_long_to_count_are_keys(tmp_path: Path) -> None:
    r = source()
    long = r.permutation(np.arange(4 * 10**15, 4 * 10**15 + 7919 * ROWS, 7919)) + 2**53
    frame = pd.DataFrame({"mrn": long, "account": r.choice(10**9, ROWS, replace=False) + 10**9})
    draft = draft_schema(write(frame, tmp_path / "a.csv"), name="t")
    assert set(kinds(draft).values()) == {"identifier"}
    assert not any("minimum" in facts(draft, name) for name in kinds(draft))


def test_keys_keep_form_and_gaps(tmp_path: Path) -> None:
    r = source()
    keys = [f"C{i:03d}" for i in r.integers(1, 200, ROWS)]
    cabin = np.where(r.random(ROWS) < 0.77, "", keys)
    frame = pd.DataFrame({"patient": [f"P-{i:06d}" for i in range(ROWS)], "cabin": cabin})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert list(out["patient"][:2]) == ["P-000001", "P-000002"]
    assert (out["cabin"] == "").tolist() == (frame["cabin"] == "").tolist()
    assert draft.schema.domain.attributes == ("cabin",)


@pytest.mark.parametrize(
    ("write_one", "pattern"),
    [
        (lambda x: f"${x:,.2f}", r"\$[\d,]+\.\d\d"),
        (lambda x: f"${int(x):,} ", r"\$[\d,]+"),
        (lambda x: f"{x / 100:.1f}%", r"\d+\.\d%"),
        (lambda x: f"{x / 100:.0f} %", r"\d+ %"),
        (lambda x: f"{int(x):,}", r"[\d,]+"),
        (lambda x: f"({int(x)})" if x > 2000 else str(int(x)), r"\(\d+\)|\d+"),
        (lambda x: f"{x:.1f}".replace(".", ","), r"\d+,\d"),
        (lambda x: f"{x:,.2f} €".translate(str.maketrans(",.", ".,")), r"[\d.]+,\d\d €"),
        (lambda x: f"EUR {x:.2f}", r"EUR \d+\.\d\d"),
        (lambda x: f"{x / 20:.1f} kg", r"\d+\.\d kg"),
        (lambda x: f"{int(x)}-" if x > 2000 else str(int(x)), r"\d+-?"),
        (lambda x: f"{int(x):,}".replace(",", "'"), r"[\d']+"),
    ],
)
def test_amounts_in_words_keep_their_dress(tmp_path: Path, write_one: Any, pattern: str) -> None:
    values = source().lognormal(7, 1, ROWS)
    frame = pd.DataFrame({"x": [write_one(x) for x in values]})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert kinds(draft)["x"] in ("integer", "real")
    assert out["x"].str.fullmatch(pattern).all()
    assert back(tmp_path / "a.csv", draft.schema).schema.field("x").type == pa.string()


@pytest.mark.parametrize("sep", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_text_files_of_any_dialect(tmp_path: Path, sep: str, encoding: str) -> None:
    r = source()
    frame = pd.DataFrame(
        {"größe": [f"{x:.2f}".replace(".", ",") for x in r.normal(1.7, 0.1, ROWS)]}
    )
    frame["ward"] = r.choice(["Süd", "Nord"], ROWS)
    path = write(frame, tmp_path / "a.csv", sep=sep, encoding=encoding)
    said = None if encoding != "latin-1" else CsvDialect(encoding="latin-1")
    draft = draft_schema(path, name="t", dialect=said)
    assert "read as a text file with" in draft.notes[1]
    assert kinds(draft) == {"größe": "real", "ward": "categorical"}
    out = written(path, draft.schema)
    assert out["ward"].tolist() == frame["ward"].tolist()
    assert out["größe"].str.fullmatch(r"\d,\d\d").all()


def test_latin_1_without_a_word_is_named(tmp_path: Path) -> None:
    path = write(pd.DataFrame({"x": ["é"] * 9}), tmp_path / "a.csv", encoding="latin-1")
    with pytest.raises(InvalidTable, match="is not UTF-8 text; declare its encoding"):
        draft_schema(path, name="t")


def test_columns_without_a_name_are_named_and_ignored(tmp_path: Path) -> None:
    r = source()
    frame = pd.DataFrame({"age": r.integers(18, 90, ROWS), "ward": r.choice(["A", "B"], ROWS)})
    index, trailing = tmp_path / "index.csv", tmp_path / "trailing.csv"
    frame.to_csv(index)
    lines = frame.to_csv(index=False).splitlines()
    trailing.write_text("".join(f"{line},\n" for line in lines))
    for path, name in ((index, "column_1"), (trailing, "column_3")):
        draft, out = round_trip(path)
        assert kinds(draft)[name] == "ignored"
        assert any(note.startswith(f"{name}: has no name") for note in draft.notes)
        assert list(out.columns) == ["age", "ward"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("score,age,score\n1,2,3\n")
    with pytest.raises(InvalidTable, match="column 'score' is there twice; rename one of them"):
        draft_schema(path, name="t")


def test_questions_are_column_names(tmp_path: Path) -> None:
    question = "Is a person who books a seat by the window obliged to let others look out? " * 4
    frame = pd.DataFrame({question: source().choice(["Yes", "No", ""], ROWS)})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert list(out.columns) == [question.strip()]
    assert kinds(draft) == {question.strip(): "boolean"}
    assert out.iloc[:, 0].tolist() == frame[question].tolist()


def test_na_is_told_and_written_back(tmp_path: Path) -> None:
    r = source()
    frame = pd.DataFrame(
        {
            "country": r.choice(["NA", "DE", "NO"], ROWS),
            "age": ["NA" if x < 20 else str(x) for x in r.integers(0, 90, ROWS)],
            "both": r.choice(["NA", "", "1", "2"], ROWS),
            "two": [["refused", "unknown", str(k)][k % 3] for k in range(ROWS)],
        }
    )
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert any("country: 'NA' taken for missing" in note for note in draft.notes)
    assert facts(draft, "both")["missing_apart"] == ["NA"]
    assert set(facts(draft, "two")["missing_apart"]) == {"refused", "unknown"}
    assert out["country"].tolist() == frame["country"].tolist()
    assert out["both"].tolist() == frame["both"].tolist()
    words = frame["two"].isin(["refused", "unknown"])
    assert out["two"][words].tolist() == frame["two"][words].tolist()
    assert (out["age"] == "NA").tolist() == (frame["age"] == "NA").tolist()


def test_a_blank_is_missing_in_both(tmp_path: Path) -> None:
    r = source()
    charges = [" " if x < 0.1 else f"{x * 900:.2f}" for x in r.random(ROWS)]
    frame = pd.DataFrame({"charges": charges, "plan": r.choice(["A", "B", " "], ROWS)})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert all(facts(draft, name)["missing"] for name in frame)  # type: ignore[arg-type]  # as loose as a test may be
    assert out["plan"].tolist() == frame["plan"].tolist()
    assert (out["charges"] == " ").tolist() == (frame["charges"] == " ").tolist()


def test_no_value_that_nobody_has() -> None:
    table = pa.table({"sex": ["f", "m"] * 40, "colour": ["red", "green", None, "red"] * 20})
    draft = draft_schema(table, name="t")
    assert not any(getattr(a, "other", False) for a in draft.schema.attributes)
    open_list = [
        {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "declared"}
    ]
    codec = Codec(Schema.model_validate({"name": "t", "attributes": open_list}))
    codes = source().integers(0, 3, 500).astype(np.uint8)
    assert set(codec.decode((codes,), uniform=np.zeros)["sex"].to_pylist()) == {"f", "m"}


def test_columns_with_one_value_cost_nothing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"type": [32817] * 30, "currency": ["EUR"] * 30, "age": range(30)})
    frame["age"] %= 7
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert draft.schema.domain.attributes == ("age",)
    assert set(out["type"]) == {"32817"}
    assert set(out["currency"]) == {"EUR"}
    wrong = pa.table({"type": [1, 32817], "currency": ["EUR", "USD"], "age": [1, 2]})
    assert check_table(wrong, schema=draft.schema) == (
        "type: 1 values not listed",
        "currency: 1 values not listed",
    )


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".CSV", ".pq", ".parquet", ".xlsx", ".txt"])
def test_every_ending_is_read_alike(tmp_path: Path, ending: str) -> None:
    r = source()
    frame = pd.DataFrame({"age": r.integers(18, 90, 80), "ward": r.choice(["A", "B"], 80)})
    path = tmp_path / f"north{ending}"
    text = frame.to_csv(index=False, sep="\t" if ending == ".tsv" else ",")
    match ending:
        case ".pq" | ".parquet":
            frame.to_parquet(path, index=False)
        case ".xlsx":
            frame.to_excel(path, index=False)
        case ".csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        case _:
            path.write_text(text)
    draft = draft_schema(path, name="t")
    assert kinds(draft) == {"age": "integer", "ward": "categorical"}
    assert back(path, draft.schema)["ward"].to_pylist() == frame["ward"].tolist()


def test_columns_that_have_no_kind_are_ignored_by_name(tmp_path: Path) -> None:
    n = 40
    table = pa.table(
        {
            "age": list(range(n)),
            "address": [{"street": "x"}] * n,
            "tags": [["a"]] * n,
            "picture": [b"ab"] * n,
            "stay": pa.array([3600 * k for k in range(n)], pa.duration("s")),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    draft = draft_schema(tmp_path / "a.parquet", name="t")
    assert list(kinds(draft).values()) == [
        "identifier",
        "ignored",
        "ignored",
        "ignored",
        "duration",
    ]
    told = [note for note in draft.notes if "cannot be modelled" in note]
    assert [note.split(":")[0] for note in told] == ["address", "tags", "picture"]
    assert back(tmp_path / "a.parquet", draft.schema)["stay"].type == pa.duration("s")


ARROW_COLUMNS = {
    "int8": pa.array([1, 2, None] * 20, pa.int8()),
    "uint32": pa.array([1, 2, 3] * 20, pa.uint32()),
    "float": pa.array([0.5, 1.5, None] * 20, pa.float32()),
    "double": pa.array([0.25, 1.5, 2.0] * 20, pa.float64()),
    "decimal": pa.array([Decimal("1.25"), Decimal("2.50"), Decimal(3)] * 20, pa.decimal128(9, 2)),
    "string": pa.array(["a", "b", None] * 20),
    "large": pa.array(["a", "b", "c"] * 20, pa.large_string()),
    "bool": pa.array([True, False, None] * 20),
    "date32": pa.array([1, 2, 3] * 20, pa.date32()),
    "naive": pa.array([10**15, 2 * 10**15, None] * 20, pa.timestamp("us")),
    "nanos": pa.array([10**18, 15 * 10**17, None] * 20, pa.timestamp("ns")),
    "zoned": pa.array([10**9, 2 * 10**9, None] * 20, pa.timestamp("s", tz="Asia/Tokyo")),
    "time": pa.array([60, 3600, None] * 20, pa.time32("s")),
    "span": pa.array([60, 3600, None] * 20, pa.duration("ms")),
    "dictionary": pa.array(["x", "y", None] * 20).dictionary_encode(),
    "null": pa.nulls(60),
}


@pytest.mark.parametrize("name", ARROW_COLUMNS)
def test_arrow_types_stay(name: str) -> None:
    table = pa.table({name: ARROW_COLUMNS[name], "n": ARROW_COLUMNS["uint32"]})
    schema = draft_schema(table, name="t").schema
    column = back(table, schema)[name]
    assert column.type == table[name].type
    assert column.is_null().to_pylist() == table[name].is_null().to_pylist()


def test_pandas_types_stay() -> None:
    frame = pd.DataFrame(
        {
            "plain": np.arange(60) % 7,
            "nullable": pd.array([1, 2, None] * 20, dtype="Int64"),
            "float": [0.5, np.nan, 2.0] * 20,
            "text": ["a", "b", None] * 20,
            "flag": [True, False, True] * 20,
            "when": pd.date_range("2020-01-01", periods=60),
            "grade": pd.Categorical(["low", "high", "low"] * 20, ["low", "high"], ordered=True),
            "span": pd.to_timedelta(np.arange(60), unit="min"),
        }
    )
    schema = draft_schema(frame, name="t").schema
    never = {a.name for a in schema.coded if not a.missing}
    out = to_pandas(back(frame, schema), plain=never)
    assert list(out.columns) == list(frame.columns)
    for name in frame:
        if name not in ("when", "span"):
            assert out[name].dtype == frame[name].dtype, name
    assert out["grade"].cat.ordered
    assert out["when"].dtype.kind == "M"
    assert out["span"].dtype.kind == "m"


def test_polars_frames_are_read_and_come_back() -> None:
    frame = pl.DataFrame(
        {
            "name": ["a", "b", "c"] * 20,
            "kind": pl.Series(["x", "y", None] * 20, dtype=pl.Categorical),
            "size": pl.Series(["s", "m", "l"] * 20, dtype=pl.Enum(["s", "m", "l"])),
            "age": pl.Series([1, 2, None] * 20, dtype=pl.Int16),
            "when": pl.Series([1, 2, 3] * 20, dtype=pl.Datetime("us")),
            "day": pl.Series([1, 2, 3] * 20, dtype=pl.Date),
            "at": pl.Series([1, 2, 3] * 20, dtype=pl.Int64) * 3_600_000_000_000,
            "span": pl.Series([1, 2, 3] * 20, dtype=pl.Duration("ms")),
        }
    ).with_columns(pl.col("at").cast(pl.Time))
    draft = draft_schema(frame, name="t")
    out = pl.from_arrow(back(frame, draft.schema))
    assert isinstance(out, pl.DataFrame)
    assert out.columns == frame.columns
    assert out["name"].to_list() == frame["name"].to_list()
    assert out["kind"].to_list() == frame["kind"].to_list()
    assert [out[n].dtype for n in ("age", "day", "at")] == [pl.Int16, pl.Date, pl.Time]


def test_mixed_objects_are_text() -> None:
    frame = pd.DataFrame({"x": pd.Series([1, "a", None, "b2"] * 10, dtype=object)})
    draft = draft_schema(frame, name="t")
    assert kinds(draft) == {"x": "categorical"}
    assert back(frame, draft.schema)["x"].to_pylist() == ["1", "a", None, "b2"] * 10
