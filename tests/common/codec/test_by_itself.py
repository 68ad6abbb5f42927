"""What one row holds decides over that row's code alone, and over no warning and no time."""

from __future__ import annotations

import warnings

import pyarrow as pa
import pytest

from silosynth.common.codec.kinds.table import codec_of
from silosynth.common.codec.written.moment_words import to_plain
from silosynth.common.codec.written.parsing import flatten
from silosynth.common.schema import DatetimeAttribute, MomentWords
from silosynth.common.values import grid_of
from tests.support.patience import cheap


def _days(**facts: object) -> DatetimeAttribute:
    return DatetimeAttribute.model_validate(
        {
            "name": "day",
            "minimum": "2000-01-01",
            "maximum": "2030-12-31",
            "resolution": "day",
            "zone": "America/New_York",
            **facts,
        }
    )


def _points(attribute: DatetimeAttribute, texts: list[str]) -> list[int]:
    grid = grid_of(attribute)
    assert grid is not None
    column = flatten(pa.array(texts, pa.large_string()))
    return codec_of(attribute).find_points(column, grid=grid).tolist()  # type: ignore[attr-defined]  # a number's


@pytest.mark.parametrize("odd", ["2021-03-04T01:00:00Z", "2021-03-04 01:00+05:00", "x+01:00"])
def test_one_text_with_an_offset_moves_no_other_texts_day(odd: str) -> None:
    texts = ["2020-05-01", "2020-06-01T00:30:00"]
    assert _points(_days(), [*texts, odd])[:2] == _points(_days(), texts)


def test_days_of_a_zone_are_those_of_its_clocks_where_a_text_says_its_offset() -> None:
    points = _points(_days(), ["2020-05-01", "2020-05-02T01:00:00Z", "2020-05-01 23:00-04:00"])
    assert len(set(points)) == 1


def test_a_year_behind_a_dash_is_no_offset() -> None:
    points = _points(_days(format="%d-%m-%Y"), ["01-05-2020", "02-05-2020"])
    assert points == _points(_days(), ["2020-05-01", "2020-05-02"])


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("far", [2**63 - 1, -(2**63) + 1])
def test_no_instant_is_too_far_for_a_zone(unit: str, far: int) -> None:
    attribute, near = _days(), int(1.6e9) * {"s": 1, "ms": 1000, "us": 10**6}[unit]
    column = pa.array([near, far]).cast(pa.timestamp(unit, tz="UTC"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes, _ = codec_of(attribute).encode(column)
    alone, _ = codec_of(attribute).encode(column[:1])
    assert codes[0] == alone[0]
    assert codes[1] == (attribute.values - 1 if far > 0 else 0)


@pytest.mark.parametrize("signs", [" 1", "1", "/ "])
def test_no_text_of_signs_is_tried_in_many_ways(signs: str) -> None:
    words = MomentWords(halves=("vorm", "nachm"))
    texts = pa.array([signs * (60 // len(signs))] * 100, pa.large_string())
    with cheap(units=50):  # 150 where they are, 1 where not
        to_plain(texts, format="%Y%m%d%H%M%S %p", words=words)


def test_the_longest_interval_is_no_short_one() -> None:
    months = [pa.MonthDayNano([m, 0, 0]) for m in (1, 2**31 - 1, -(2**31))]
    spans = flatten(pa.array(months, pa.month_day_nano_interval())).cast(pa.int64()).to_pylist()
    assert spans[0] == 30 * 86_400_000_000
    assert spans[1] > 10**18
    assert spans[2] < -(10**18)


@pytest.mark.parametrize("odd", ["3 jun\u0131 2020", "3 JUN\u0130 2020", "3 mar\u017f 2020", "3"])
def test_no_letter_of_another_alphabet_fails_a_column(odd: str) -> None:
    months = ["jan", "feb", "mars", "apr", "mai", "juni", "juli", "aug", "sep", "okt", "nov", "dez"]
    words = MomentWords(months=tuple(months))
    texts = pa.array(["3 JUNI 2020", odd], pa.large_string())
    try:
        plain, _ = to_plain(texts, format="%d %B %Y", words=words)
    except KeyError as err:
        pytest.fail(f"one text ends the reading of all: {err}")
    assert plain.to_pylist()[0] == "3 06 2020"


def test_turkish_capitals_are_read() -> None:
    months = ["oca", "\u015fub", "mar", "nis", "may", "haz", "tem", "a\u011fu", "eyl", "eki"]
    words = MomentWords(months=(*months, "kas\u0131m", "\u0130yun"))
    texts = pa.array(["3 KASIM 2020", "3 kas\u0131m 2020", "4 iyun 2020"], pa.large_string())
    plain, _ = to_plain(texts, format="%d %B %Y", words=words)
    assert plain.to_pylist() == ["3 11 2020", "3 11 2020", "4 12 2020"]
