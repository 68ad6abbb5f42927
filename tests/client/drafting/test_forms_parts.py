"""Ways of writing that no list has, worked out part by part: moments, spans, amounts and words."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.drafting.draft import Draft
from silosynth.common.codec import Codec
from silosynth.common.schema import DurationAttribute, parse_schema
from tests.client.drafting.test_forms import Written, back, facts, kinds, round_trip
from tests.support.tables.messy_files import ROWS, moments, source, write

AT = moments(source(), start="2019-01-01", days=900)
R = source(3)
MILLIS = R.integers(0, 1000, ROWS)
SPANS = R.integers(0, 3 * 86_400, ROWS)
AMOUNTS = np.round(R.gamma(2, 300, ROWS), 2)
CLOCK = r"[0-2]\d:[0-5]\d:[0-5]\d"


def _moment(format: str, form: str, *, kind: str = "datetime", texts: Any = None) -> Written:
    """Return a column that is written by a format, or of texts that it would write."""
    found = [t.strftime(format) for t in AT] if texts is None else list(texts)
    return Written(texts=found, drafted={"kind": kind, "format": format}, form=form)


def _span(format: str, write_one: Any, form: str) -> Written:
    texts = [write_one(*divmod(s // 60, 60)) for s in SPANS.tolist()]
    return Written(texts=texts, drafted={"kind": "duration", "format": format}, form=form)


def _postgres(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    parts = ([f"{days} day{'s' * (days > 1)}"] if days else []) + ([clock] if rest else [])
    return " ".join(parts) or clock


def _unit(write_one: Any, form: str, spelled: dict[str, Any], *, kind: str = "real") -> Written:
    return Written(
        texts=[write_one(x) for x in AMOUNTS.tolist()],
        drafted={"kind": kind, "spelled": spelled},
        form=form,
    )


WRITTEN = {
    "log with a comma": _moment(
        "%Y-%m-%d %H:%M:%S,%f",
        rf"20\d\d-\d\d-\d\d {CLOCK},\d{{3}}",
        texts=[f"{t:%Y-%m-%d %H:%M:%S},{m:03}" for t, m in zip(AT, MILLIS, strict=True)],
    ),
    "basic ISO": _moment("%Y%m%dT%H%M%SZ", r"20\d{6}T\d{6}Z"),
    "HL7": _moment("%Y%m%d%H%M%S", r"20\d{12}"),
    "HL7 minutes": _moment("%Y%m%d%H%M", r"20\d{10}"),
    "web server": _moment(
        "%d/%b/%Y:%H:%M:%S %z",
        rf"\d\d/[A-Z][a-z]{{2}}/20\d\d:{CLOCK} \+0000",
        texts=[f"{t:%d/%b/%Y:%H:%M:%S} +0000" for t in AT],
    ),
    "mail": _moment(
        "%a, %d %b %Y %H:%M:%S %z",
        rf"[A-Z][a-z]{{2}}, \d\d [A-Z][a-z]{{2}} 20\d\d {CLOCK} \+0000",
        texts=[f"{t:%a, %d %b %Y %H:%M:%S} +0000" for t in AT],
    ),
    "UTC before the year": _moment(
        "%a %b %d %H:%M:%S UTC %Y", rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} \d\d {CLOCK} UTC 20\d\d"
    ),
    "C": _moment(
        "%a %b %e %H:%M:%S %Y", rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d {CLOCK} 20\d\d"
    ),
    "SQL Server": _moment(
        "%Y-%m-%d %H:%M:%S.%7N %:z",
        rf"20\d\d-\d\d-\d\d {CLOCK}\.\d{{7}} \+01:00",
        texts=[f"{t:%Y-%m-%d %H:%M:%S}.{m:03}4560 +01:00" for t, m in zip(AT, MILLIS, strict=True)],
    ),
    "Oracle": _moment(
        "%d-%^b-%y %I.%M.%S %p",
        r"\d\d-[A-Z]{3}-(19|2[01]) [01]\d\.[0-5]\d\.[0-5]\d [AP]M",
        texts=[f"{t:%d-%b-%y %I.%M.%S %p}".upper() for t in AT],
    ),
    "an hour with points": _moment("%d.%m.%Y %H.%M.%S", r"\d\d\.\d\d\.20\d\d \d\d\.\d\d\.\d\d"),
    "an offset apart": _moment(
        "%Y-%m-%d %H:%M:%S %z",
        rf"20\d\d-\d\d-\d\d {CLOCK} \+0100",
        texts=[f"{t:%Y-%m-%d %H:%M:%S} +0100" for t in AT],
    ),
    "Chinese": _moment("%Y年%m月%d日", r"20\d\d年\d\d月\d\d日"),
    "Chinese without zeros": _moment(
        "%Y年%-m月%-d日",
        r"20\d\d年[1-9]\d?月[1-9]\d?日",
        texts=[f"{t.year}年{t.month}月{t.day}日" for t in AT],
    ),
    "Korean": _moment("%Y. %m. %d.", r"20\d\d\. \d\d\. \d\d\."),
    "Slovak": _moment(
        "%-d. %-m. %Y",
        r"[1-9]\d?\. [1-9]\d?\. 20\d\d",
        texts=[f"{t.day}. {t.month}. {t.year}" for t in AT],
    ),
    "the day behind": _moment("%Y-%m-%d (%a)", r"20\d\d-\d\d-\d\d \([A-Z][a-z]{2}\)"),
    "the day before": _moment("%A %d %B %Y", r"[A-Z][a-z]+day \d\d [A-Z][a-z]+ 20\d\d"),
    "day of the year": _moment("%Y%j", r"20\d{5}"),
    "Uhr": _moment("%H:%M Uhr", r"[0-2]\d:[0-5]\d Uhr", kind="time"),
    "clock with a comma": _moment(
        "%H:%M:%S,%f",
        rf"{CLOCK},\d{{3}}",
        kind="time",
        texts=[f"{t:%H:%M:%S},{m:03}" for t, m in zip(AT, MILLIS, strict=True)],
    ),
    "clock with a point": _moment("%H.%M", r"[0-2]\d\.[0-5]\d", kind="time"),
    "ISO, no seconds": _span("PT{h}H{m}M", lambda h, m: f"PT{h}H{m}M", r"PT\d{1,2}H[1-5]?\dM"),
    "ISO, minutes alone": _span("PT{m}M", lambda h, m: f"PT{h * 60 + m}M", r"PT\d{1,4}M"),
    "h and m": _span("{h}h {m}m", lambda h, m: f"{h}h {m}m", r"\d{1,2}h [1-5]?\dm"),
    "h and m in two digits": _span("{h}h{m:02}m", lambda h, m: f"{h}h{m:02}m", r"\d{1,2}h[0-5]\dm"),
    "days and hours": _span(
        "{d}d {h}h", lambda h, m: f"{h // 24}d {h % 24}h", r"[0-2]d (1?\d|2[0-3])h"
    ),
    "Python": Written(
        texts=[str(timedelta(seconds=s)) for s in SPANS.tolist()],
        drafted={"kind": "duration", "format": "python"},
        form=r"([12] days?, )?\d{1,2}:[0-5]\d:[0-5]\d",
    ),
    "PostgreSQL": Written(
        texts=[_postgres(s) for s in (SPANS // 28_800 * 28_800).tolist()],
        drafted={"kind": "duration", "format": "postgres"},
        form=r"([12] days? )?\d{2}:[0-5]\d:[0-5]\d|[12] days?",
    ),
    "crowns": _unit(lambda x: f"{x:.0f} Kč", r"\d+ Kč", {"suffix": " Kč"}, kind="integer"),
    "nights": _unit(
        lambda x: f"{x:.0f} nights", r"\d+ nights", {"suffix": " nights"}, kind="integer"
    ),
    "square metres": _unit(lambda x: f"{x:.1f} m²", r"\d+\.\d m²", {"suffix": " m²", "places": 1}),
    "a rate": _unit(lambda x: f"{x:.0f}/day", r"\d+/day", {"suffix": "/day"}, kind="integer"),
    "a currency's letters": _unit(
        lambda x: f"CAD {x:,.2f}",
        r"CAD \d{1,3}(,\d{3})*\.\d\d",
        {"prefix": "CAD ", "thousands": ",", "places": 2},
    ),
    "no cents": _unit(lambda x: f"{x:.0f},-", r"\d+,-", {"suffix": ",-"}, kind="integer"),
    "a fault of a sheet": Written(
        texts=["#DIV/0!" if i % 9 == 0 else f"{x:.3f}" for i, x in enumerate(AMOUNTS)],
        drafted={"kind": "real", "missing_as": "#DIV/0!"},
        form=r"#DIV/0!|\d+\.\d{3}",
    ),
    "a fault of a library": Written(
        texts=["-1.#IND" if i % 9 == 0 else f"{x:.3f}" for i, x in enumerate(AMOUNTS)],
        drafted={"kind": "real", "missing_as": "-1.#IND"},
        form=r"-1\.#IND|\d+\.\d{3}",
    ),
    "five words": Written(
        texts=[
            ("not done", "refused", "broken", "lost", "n/k")[i % 5] if i % 4 == 0 else f"{x:.1f}"
            for i, x in enumerate(AMOUNTS)
        ],
        drafted={"kind": "real"},
        form=r"not done|refused|broken|lost|n/k|\d+\.\d",
    ),
    "bounds of detection": Written(
        texts=[
            f"<{(0.1, 0.2, 0.5, 1, 2)[i % 5]}" if i % 3 == 0 else f"{x / 100:.2f}"
            for i, x in enumerate(AMOUNTS)
        ],
        drafted={"kind": "real"},
        form=r"<(0\.[125]|1|2)|\d+\.\d\d",
    ),
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draft, pd.DataFrame]:
    """Return the draft of a file of all columns, and what an exact model makes of it."""
    frame = pd.DataFrame({name: column.texts for name, column in WRITTEN.items()})
    return round_trip(write(frame, tmp_path_factory.mktemp("parts") / "a.csv"))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_way_of_writing_is_understood_and_stays(
    name: str, walked: tuple[Draft, pd.DataFrame]
) -> None:
    draft, out = walked
    WRITTEN[name].check(name, draft=draft, out=out)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([f"{x / 100:.2f}" for x in R.integers(100, 2_359, ROWS) // 100 * 100 + 17], "real"),
        ([f"{a}'{b}\"" for a, b in R.integers(4, 12, (ROWS, 2))], "categorical"),
        ([f"{a}.{b}.{c}" for a, b, c in R.integers(0, 12, (ROWS, 3))], "identifier"),
        ([f"T{n:07}" for n in R.choice(10**7, ROWS, replace=False)], "identifier"),
        ([f"P{m // 12}Y{m % 12}M" for m in R.integers(0, 100, ROWS)], "categorical"),
        ([f"{a}-{a + 1}" for a in R.integers(1950, 2020, ROWS)], "ordinal"),
        ([f"{a} consultations delivered" for a in R.integers(0, 60, ROWS)], "categorical"),
        (
            [f"{a} hours and {a % 7} minutes " + "of care " * 6 for a in R.integers(0, 60, ROWS)],
            "text",
        ),
        ([f"{a} Main Street" for a in R.integers(0, 60, ROWS)], "integer"),
    ],
    ids=[
        "amounts",
        "heights",
        "versions",
        "keys",
        "months",
        "seasons",
        "long words",
        "sentences",
        "words",
    ],
)
def test_what_only_looks_like_moments_is_none(texts: list[str], kind: str) -> None:
    assert kinds(draft_schema(pa.table({"x": texts}), name="t"))["x"] == kind


@pytest.mark.parametrize(
    ("texts", "like"),
    [
        ([f"0x{n:04X}" for n in R.integers(0, 2**16, ROWS)], "0x[0-9A-F]{4}"),
        (["".join(R.choice(list("0bc3defg"), 8)) for _ in range(ROWS)], "[0-9a-z]{8}"),
        (["".join(R.choice(list("abcdefgh"), 8)) for _ in range(ROWS)], None),
    ],
    ids=["hexadecimal", "letters and digits", "letters alone"],
)
def test_keys_of_one_length_keep_their_signs(texts: list[str], like: str | None) -> None:
    assert facts(draft_schema(pa.table({"x": texts}), name="t"), "x").get("like") == like


@pytest.mark.parametrize(
    "format", ["%_d.%m.%Y", "%e %b %Y", "%F %T", "%D %R", "%-d/%-m/%Y %-I:%M %P", "%Y-%m-%d %-H"]
)
def test_every_mark_that_a_schema_takes_is_read_and_written(format: str) -> None:
    day = {"kind": "datetime", "minimum": "2019-01-01", "maximum": "2021-12-31"}
    hours = re.search("%-?[HTRI]", format) is not None
    day |= {"resolution": "minute" if hours else "day", "stored": "string"}
    schema = parse_schema(
        {"name": "t", "source": "public", "attributes": [{"name": "x", **day, "format": format}]}
    )
    texts = [t.floor("h").strftime(format.replace("%P", "%p")).lower() for t in AT]
    texts = [t if "%b" not in format else t.title() for t in texts]
    encoded = Codec(schema).encode(pa.table({"x": texts}))
    assert not encoded.notes
    out = back(pa.table({"x": texts}), schema)["x"].to_pylist()
    shapes = [{re.sub(r"\d", "9", re.sub("[A-Za-z]", "a", t)) for t in x} for x in (texts, out)]
    assert shapes[1] <= shapes[0]


@pytest.mark.parametrize("format", ["{m}m {h}h", "{h}h {s}s", "{h}{x}", "hours {", "2h {m}m"])
def test_a_pattern_of_spans_that_cannot_be_is_refused(format: str) -> None:
    with pytest.raises(ValueError, match="pattern such as"):
        DurationAttribute.model_validate(
            {"name": "x", "minimum": "0", "maximum": "3600", "format": format}
        )


def test_a_span_below_zero_and_parts_of_a_second_stay(tmp_path: Path) -> None:
    texts = [f"{'-' * (i % 2)}{i % 70 + 1}m {i % 60}.5s" for i in range(ROWS)]
    draft, out = round_trip(
        write(pd.DataFrame({"x": texts, "y": R.integers(0, 5, ROWS)}), tmp_path / "a.csv")
    )
    assert facts(draft, "x")["format"] == "{m}m {s}s"
    assert out["x"].str.fullmatch(r"-?\d{1,2}m \d{1,2}(\.\d+)?s").all()
