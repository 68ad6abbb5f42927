"""What one row holds shows in no other row's code, in no warning, and in no answer's time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from silosynth.common.codec import Codec
from silosynth.common.codec.written import frames
from silosynth.common.schema import parse_schema

MOMENT = {"kind": "datetime", "minimum": "1000-01-01", "maximum": "9999-12-31", "missing": True}
SPAN = {"kind": "duration", "minimum": "0 days", "maximum": "9 days", "missing": True}
FORMATS = ("%Y-%m-%d %H:%M:%S:%f", "%Y-%m-%d %H:%M:%S %f", "%Y%m%d%H%M%S%f")
FAR = ("1200", "9999", "1700", "2500")


def codes(facts: dict[str, Any], texts: list[str]) -> list[int]:
    attribute = {"name": "a", "source": "public", **facts}
    codec = Codec(parse_schema({"name": "t", "attributes": [attribute]}))
    return [int(code) for code in codec.encode(pa.table({"a": pa.array(texts)})).codes[0]]


def moments(format: str, *, fraction: str, years: tuple[str, ...]) -> list[str]:
    """Return texts by a format, as many days as there are in a month's first four weeks."""
    days = [f"{year}-03-{day:02} 10:20:30:{fraction}" for year in years for day in range(1, 29)]
    if format.endswith(" %f"):
        return [" ".join(text.rsplit(":", 1)) for text in days]
    bare = str.maketrans("", "", "-: ")
    return days if format.endswith(":%f") else [text.translate(bare) for text in days]


@pytest.mark.parametrize("format", FORMATS)
def test_one_text_with_nanoseconds_makes_no_others_read_one_by_one(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = moments(format, fraction="123456", years=("2019", "2020"))
    one = moments(format, fraction="123456789", years=("2021",))[:1]
    times, read = [], frames.read_instants

    def counted(texts: pa.Array, *, format: str | None) -> pa.Array:
        times.append(len(texts))
        return read(texts, format=format)

    monkeypatch.setattr(frames, "read_instants", counted)
    facts = MOMENT | {"format": format}
    alone = codes(facts, usual)
    before = len(times)
    assert codes(facts, [*usual, *one])[:-1] == alone
    assert len(times) - before == before


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("year", ["2021", "1400"])
def test_one_text_with_nanoseconds_changes_no_far_rows_code(format: str, year: str) -> None:
    facts = MOMENT | {"format": format, "bins": {"kind": "width", "count": 900}}
    far = moments(format, fraction="000001", years=FAR)
    one = moments(format, fraction="123456789", years=(year,))[:1]
    assert len(set(codes(facts, far))) >= len(FAR)
    for place in (0, len(far) // 2, len(far)):
        beside = codes(facts, [*far[:place], *one, *far[place:]])
        assert beside[:place] + beside[place + 1 :] == codes(facts, far)
        assert beside[place] == codes(facts, one)[0]


@pytest.mark.parametrize("digits", [20, 305, 400, 5000])
@pytest.mark.parametrize(
    ("format", "written"),
    [
        ("{h}h {m}m", "{}h 03m"),
        ("{d}d {h:02}h", "{}d 03h"),
        ("{s}s", "{}s"),
        ("P{d}DT{h}H", "P{}DT3H"),
    ],
)
def test_a_span_of_many_digits_is_the_longest_and_warns_nobody(
    format: str, written: str, digits: int, recwarn: pytest.WarningsRecorder
) -> None:
    facts = SPAN | {"format": format}
    usual, long = written.format("1"), written.format("9" * digits)
    found = codes(facts, [usual, long])
    assert found == [codes(facts, [usual])[0], codes(facts, ["9 days"])[0]]
    assert found[0] < found[1]
    assert not recwarn.list


@pytest.mark.parametrize("format", [None, "clock", "postgres", "{h}h {m}m"])
@pytest.mark.parametrize("text", ["3w", "1d2h", "2 H", "1 D 4 d", "5 S", "x"])
def test_a_span_with_odd_units_warns_nobody(
    format: str | None, text: str, recwarn: pytest.WarningsRecorder
) -> None:
    facts = SPAN | ({"format": format} if format else {})
    usual = ["1:00:00", "2 days 01:00:00"]
    assert codes(facts, [*usual, text])[:-1] == codes(facts, usual)
    assert not recwarn.list
