"""Times of day that are written as whole numbers are times of day, and come out so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import Codec, Form
from tests.client.drafting.test_forms import back, facts, kinds, round_trip
from tests.support.tables.messy_files import source, write

CLOCKS = source(3).integers(0, 24, 600) * 100 + source(4).integers(0, 60, 600)
SECONDS = CLOCKS * 100 + source(5).integers(0, 60, 600)
HALVES = [hour * 100 + minute for hour in range(8, 18) for minute in (0, 30)] * 20


def is_clock(value: float) -> bool:
    return 0 <= value <= 2400 and value % 100 < 60


@pytest.mark.parametrize(
    ("values", "format"),
    [
        (pa.array(CLOCKS), "%-H%M"),
        (pa.array(CLOCKS, pa.int16()), "%-H%M"),
        (pa.array([None, *CLOCKS.astype(float)]), "%-H%M"),
        (pa.array(SECONDS), "%-H%M%S"),
        (pa.array(HALVES), "%-H%M"),
    ],
)
def test_whole_numbers_that_are_clocks_come_back(values: pa.Array, format: str) -> None:
    table = pa.table({"x": values})
    draft = draft_schema(table, name="t")
    assert (kinds(draft)["x"], facts(draft, "x")["format"]) == ("time", format)
    out = back(table, draft.schema)["x"]
    assert out.type == values.type
    assert out.null_count == values.null_count
    numbers = out.drop_null().to_numpy()
    assert all(is_clock(n // 100 if format.endswith("S") else n) for n in numbers)


def test_every_minute_is_read_and_written_as_it_is() -> None:
    day = [hour * 100 + minute for hour in range(24) for minute in range(60)]
    table = pa.table({"x": day})
    schema = draft_schema(table, name="t").schema
    for form in Form:
        # A bin a minute, so that a code is a value.
        attribute = schema.attributes[0].model_copy(
            update={"bins": schema.attributes[0].bins.model_copy(update={"count": 1440})}
        )
        fine = schema.model_copy(update={"attributes": (attribute,)})
        out = back(table, fine, form=form)["x"].to_pylist()
        assert [int(v) for v in out] == day


@pytest.mark.parametrize("end", ["2400", "24:00"])
def test_the_end_of_a_day_is_midnight_and_written_so(tmp_path: Path, end: str) -> None:
    colon = ":" in end
    texts = [f"{c // 100}:{c % 100:02}" if colon else str(c) for c in CLOCKS if c > 0]
    path = write(pd.DataFrame({"x": texts + [end] * 200, "y": 1}), tmp_path / "a.csv")
    draft, out = round_trip(path)
    assert facts(draft, "x")["midnight"] == end
    assert (out["x"] == end).sum() > 0
    assert not out["x"].isin(["0", "0:00", "00:00"]).any()


def test_clocks_of_a_file_keep_gaps_and_words(tmp_path: Path) -> None:
    texts = ["NA" if i % 5 == 0 else str(c) for i, c in enumerate(CLOCKS)]
    draft, out = round_trip(write(pd.DataFrame({"x": texts, "y": 1}), tmp_path / "a.csv"))
    assert kinds(draft)["x"] == "time"
    assert (out["x"] == "NA").mean() == pytest.approx(0.2)
    assert all(t == "NA" or (is_clock(int(t)) and str(int(t)) == t) for t in out["x"])


def test_a_clock_that_pandas_wrote_with_a_point_keeps_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [None, *CLOCKS.astype(float)], "y": 1})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert facts(draft, "x")["format"] == "%-H%M.0"
    assert out["x"].replace("", None).dropna().str.fullmatch(r"(0|[1-9]\d*)\.0").all()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(60),
        np.arange(130, 200),
        np.arange(0, 2400, 50),
        np.arange(0, 2400, 10),
        [floor * 100 + room for floor in range(1, 13) for room in range(1, 13)],
        source(6).integers(0, 2400, 40),
        [100, 245, 330, 1215],
        [*CLOCKS, 2430],
    ],
)
def test_other_whole_numbers_are_no_clocks(values: Any) -> None:
    assert kinds(draft_schema(pa.table({"x": list(values) * 3}), name="t"))["x"] != "time"


def test_what_is_no_clock_is_told_as_a_misfit() -> None:
    schema = draft_schema(pa.table({"x": CLOCKS}), name="t").schema
    encoded = Codec(schema).encode(pa.table({"x": [575, 1161, 517]}))
    assert [n.unreadable for n in encoded.notes] == [2]
