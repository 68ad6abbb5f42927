"""Signs, fractions, spans and constants come out spelled as they went in."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from tests.client.drafting.test_forms import facts, kinds, round_trip
from tests.support.tables.messy_files import moments, source, write

AT = moments(source(), start="2019-01-01", days=900)
WHOLE = source(3).integers(-60, 60, 400)
SECONDS = source(4).integers(0, 100_000, 400)


def _clock(second: int, *, width: int = 2) -> str:
    return f"{second // 3600:0{width}}:{second // 60 % 60:02}:{second % 60:02}"


@pytest.mark.parametrize(
    ("texts", "shape"),
    [
        ([f"{v:+d}" for v in WHOLE], r"[+-]\d+"),
        ([f"{v / 7:+.1f}" for v in WHOLE], r"[+-]\d+\.\d"),
        ([f"{v:d}" for v in WHOLE], r"-?\d+"),
        ([f"{t:%Y-%m-%d %H:%M:%S}.{i % 1000:03}" for i, t in enumerate(AT)], r".*:\d\d\.\d{3}"),
        ([f"{t:%Y-%m-%d %H:%M:%S}.{i % 1000:03}000" for i, t in enumerate(AT)], r".*\.\d{6}"),
        ([f"{t:%d.%m.%Y %H:%M:%S}.{i % 1000:03}" for i, t in enumerate(AT)], r".*:\d\d\.\d{3}"),
        ([f"{t:%H:%M:%S}.{i % 1000:03}" for i, t in enumerate(AT)], r".*:\d\d\.\d{3}"),
        ([_clock(s) for s in SECONDS], r"\d\d:\d\d:\d\d"),
        ([_clock(s, width=1) for s in SECONDS], r"[1-9]?\d:\d\d:\d\d"),
        ([f"PT{s % 90 + 1}M" for s in SECONDS], r"PT(1H)?(\d+M)?"),
        ([f"P0DT{s % 24}H{s % 60}M0S" for s in SECONDS], r"P\dDT\d+H\d+M0S"),
        (["0.00"] * 50, r"0\.00"),
        (["12.50"] * 50, r"12\.50"),
    ],
)
def test_values_are_spelled_as_they_were(tmp_path: Path, texts: list[str], shape: str) -> None:
    assert all(re.fullmatch(shape, text) for text in texts)
    path = write(pd.DataFrame({"x": texts, "y": np.arange(len(texts)) % 7}), tmp_path / "a.csv")
    _, out = round_trip(path)
    assert out["x"].str.fullmatch(shape).all(), out["x"].head().tolist()


def test_a_telephone_number_is_a_key_for_all_its_plus() -> None:
    keys = [f"+4917{n}" for n in source().choice(10**7, 300, replace=False) + 10**7]
    assert kinds(draft_schema(pa.table({"x": keys}), name="t")) == {"x": "identifier"}


def test_a_zero_without_its_sign_leaves_signs_out() -> None:
    drafted = draft_schema(pa.table({"x": ["0", "+3", "-4"] * 20}), name="t")
    assert "spelled" not in facts(drafted, "x")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1.234", "12.500", "7.125"] * 9, "if the point parts thousands"),
        (["1.5", "inf", "2.5"] * 9, "infinite values count as the nearest bound"),
    ],
)
def test_what_could_mean_another_number_is_told(texts: list[str], said: str) -> None:
    notes = draft_schema(pa.table({"x": texts}), name="t").notes
    assert any(said in note for note in notes)


@pytest.mark.parametrize("mark", ["\t", ",", ";"])
def test_names_in_apostrophes_lose_and_get_them_again(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{i % 9}{mark}{i % 4}\n" for i in range(60))
    path.write_text(f"'one'{mark}'two'\n{rows}")
    drafted, out = round_trip(path)
    assert list(kinds(drafted)) == ["one", "two"]
    assert drafted.schema.csv is not None
    assert drafted.schema.csv.quote == "'"
    assert len(out) == 60


def test_a_name_with_an_apostrophe_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("'t was,two\n" + "1,2\n3,4\n" * 20)
    assert list(kinds(draft_schema(path, name="t"))) == ["'t was", "two"]
