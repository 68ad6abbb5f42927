"""Ways of writing that programs other than pandas have, side by side in one file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.drafting.draft import Draft
from silosynth.common.schema import NumberText
from tests.client.drafting.test_forms import Written, facts, kinds, round_trip
from tests.support.tables.messy_files import ROWS, moments, source, write

AT = moments(source(), start="2019-01-01", days=900)
R = source(3)
PARTS = R.integers(0, 100, (ROWS, 6))
MONTHS = "(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
DAY, CLOCK = r"20(19|2[01])-\d\d-\d\d", r"\d\d:\d\d:\d\d"
LONG = ("9007199254740993", "9007199254740995", "1152921504606846983")


def _keys(form: str) -> list[str]:
    numbers = source(9).choice(10**8, ROWS, replace=False)
    return [form.format(n // 10**4, n % 10**4) for n in numbers]


WRITTEN = {
    "month in capitals": Written(
        texts=[f"{t:%d-%b-%Y}".upper() for t in AT],
        drafted={"kind": "datetime", "format": "%d-%^b-%Y"},
        form=rf"\d\d-{MONTHS}-20\d\d",
    ),
    "SAS": Written(
        texts=[f"{t:%d%b%Y:%H:%M:%S}".upper() for t in AT],
        drafted={"kind": "datetime", "format": "%d%^b%Y:%H:%M:%S"},
        form=rf"\d\d{MONTHS}20\d\d:{CLOCK}",
    ),
    "small am and pm": Written(
        texts=[f"{t:%m/%d/%Y %I:%M }{t:%p}".lower() for t in AT],
        drafted={"kind": "datetime", "format": "%m/%d/%Y %I:%M %P"},
        form=r"\d\d/\d\d/20\d\d [01]\d:\d\d [ap]m",
    ),
    "half of the day": Written(
        texts=[f"{t:%I:%M}{t:%p}".lower() for t in AT],
        drafted={"kind": "time", "format": "%I:%M%P"},
        form=r"[01]\d:\d\d[ap]m",
    ),
    "UTC": Written(
        texts=[f"{t:%Y-%m-%d %H:%M:%S} UTC" for t in AT],
        drafted={"kind": "datetime", "zone": "UTC", "format": "%Y-%m-%d %H:%M:%S UTC"},
        form=f"{DAY} {CLOCK} UTC",
    ),
    "PostgreSQL": Written(
        texts=[f"{t:%Y-%m-%d %H:%M:%S}+00" for t in AT],
        drafted={"kind": "datetime", "zone": "UTC"},
        form=rf"{DAY} {CLOCK}\+00",
    ),
    "Java": Written(
        texts=[
            t.tz_localize("UTC").tz_convert("Europe/Berlin").isoformat() + "[Europe/Berlin]"
            for t in AT
        ],
        drafted={"kind": "datetime", "zone": "Europe/Berlin"},
        form=rf"20\d\d-\d\d-\d\dT{CLOCK}\+0[12]:00\[Europe/Berlin\]",
    ),
    "a zone's letters": Written(
        texts=[f"{t:%Y-%m-%d %H:%M} CET" for t in AT],
        drafted={"kind": "datetime", "format": "%Y-%m-%d %H:%M CET"},
        form=rf"{DAY} \d\d:\d\d CET",
    ),
    "MySQL": Written(
        texts=["0000-00-00" if i % 6 == 0 else f"{t:%Y-%m-%d}" for i, t in enumerate(AT)],
        drafted={"kind": "datetime", "resolution": "day"},
        form=f"{DAY}|0000-00-00",
    ),
    "hours and h": Written(
        texts=[f"{t.hour}h{t:%M}" for t in AT],
        drafted={"kind": "time", "format": "%-Hh%M"},
        form=r"(1?\d|2[0-3])h[0-5]\d",
    ),
    "a true minus": Written(
        texts=[f"{x:.1f}".replace("-", "\u2212") for x in R.normal(0, 10, ROWS)],
        drafted={"kind": "real", "spelled": {"negative": "minus-sign", "places": 1}},
        form="\u2212?\\d+\\.\\d",
    ),
    "no zero before the point": Written(
        texts=[f"{x:.3f}".replace("0.", ".", 1) for x in R.uniform(-0.9, 0.9, ROWS)],
        drafted={"kind": "real", "spelled": {"places": 3, "leading_zero": False}},
        form=r"-?\.\d{3}",
    ),
    "codes like powers": Written(
        texts=[("1E5", "2E3", "3E7")[i % 3] for i in range(ROWS)],
        drafted={"kind": "categorical"},
        form="1E5|2E3|3E7",
    ),
    "versions": Written(
        texts=[("1.10", "1.1", "1.2", "2.0")[i % 4] for i in range(ROWS)],
        drafted={"kind": "categorical"},
        form=r"1\.10|1\.1|1\.2|2\.0",
    ),
    "long codes": Written(
        texts=[LONG[i % 3] for i in range(ROWS)],
        drafted={"kind": "categorical"},
        form="|".join(LONG),
    ),
    "one word": Written(texts=["NA"] * ROWS, drafted={"kind": "categorical"}, form="NA"),
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draft, pd.DataFrame, Path]:
    """Return the draft of a file of all columns, what an exact model makes of it, and the file."""
    frame = pd.DataFrame({name: column.texts for name, column in WRITTEN.items()})
    path = write(frame, tmp_path_factory.mktemp("writing") / "a.csv")
    draft, out = round_trip(path)
    return draft, out, path


@pytest.mark.parametrize("name", WRITTEN)
def test_a_way_of_writing_is_understood_and_stays(
    name: str, walked: tuple[Draft, pd.DataFrame, Path]
) -> None:
    draft, out, _ = walked
    WRITTEN[name].check(name, draft=draft, out=out)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("SAS", "%d%b%Y:%H:%M:%S"),
        ("UTC", "%Y-%m-%d %H:%M:%S UTC"),
        ("small am and pm", "%m/%d/%Y %I:%M %p"),
    ],
)
def test_capitals_and_tails_are_read_as_the_moments_that_they_are(
    name: str, format: str, walked: tuple[Draft, pd.DataFrame, Path]
) -> None:
    _, out, _ = walked
    means = [pd.to_datetime(x, format=format).mean() for x in (WRITTEN[name].texts, out[name])]
    assert abs(means[0] - means[1]) < timedelta(days=30)


def test_no_day_is_a_way_to_be_missing(walked: tuple[Draft, pd.DataFrame, Path]) -> None:
    _, out, _ = walked
    assert (out["MySQL"] == "0000-00-00").mean() == pytest.approx(1 / 6, abs=0.01)


@pytest.mark.parametrize(
    ("texts", "like"),
    [
        (
            [":".join(f"{v * 2:02x}" for v in row) for row in PARTS],
            ":".join(["[0-9a-f]{2}"] * 6),
        ),
        (_keys("+49 170 {0:04}{1:04}"), r"\+49 170 [0-9]{8}"),
        (_keys("{0:04}-{1:04}"), "[0-9]{4}-[0-9]{4}"),
        (
            [f"{a} min {b} s" for a, b, *_ in PARTS % 60 + 1],
            r"[1-9][0-9]{0,1} min [1-9][0-9]{0,1} s",
        ),
        ([f"{t:%d.%m.%Y}" if i % 2 else f"{t:%Y-%m-%d}" for i, t in enumerate(AT)], None),
    ],
)
def test_keys_keep_their_signs_and_what_all_of_them_share(
    texts: list[str], like: str | None
) -> None:
    drafted = draft_schema(pa.table({"x": texts}), name="t")
    assert kinds(drafted)["x"] in ("identifier", "generated")
    assert facts(drafted, "x").get("like") == like


def test_many_codes_of_two_spellings_are_numbers() -> None:
    texts = [f"{i % 60}" + (".0" if i % 2 else "") for i in range(ROWS)]
    assert kinds(draft_schema(pa.table({"x": texts}), name="t")) == {"x": "real"}


def test_zeros_that_fill_up_digits_stand_before_a_point_too() -> None:
    with pytest.raises(ValueError, match="before a point"):
        NumberText(digits=3, leading_zero=False)


def test_a_fraction_in_a_dress_has_no_zero_either(tmp_path: Path) -> None:
    texts = [f"${x:.2f}".replace("0.", ".", 1) if x < 1 else f"${x:.2f}" for x in R.random(200) * 3]
    path = write(pd.DataFrame({"x": texts, "y": np.arange(200) % 7}), tmp_path / "a.csv")
    _, out = round_trip(path)
    assert out["x"].str.fullmatch(r"\$([1-9]\d*)?\.\d\d").all(), out["x"].head().tolist()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["a,153.3,Köln,29.02.2020", "b,160.1,Åre,01.03.2020", "a,9.7,Köln,02.03.2021"], True),
        (["site,2019,Köln", "a,17,3", "b,18,4"], False),
        (["2019,2020", "17,18.5", "3,4.5"], False),
    ],
)
def test_a_first_line_that_reads_like_a_row_is_told(
    tmp_path: Path, lines: list[str], told: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([lines[0], *lines[1:] * 20]) + "\n", encoding="utf-8")
    notes = draft_schema(path, name="t").notes
    assert any("--no-header" in note for note in notes) is told
