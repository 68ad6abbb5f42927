"""Instants, times of day and spans of time: read from text, and written as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.written.columns import is_text
from silosynth.common.codec.written.dress import join_texts
from silosynth.common.codec.written.parsing import distinct, to_microseconds, trim

DAY = 86_400_000_000
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_CLOCK = r"^(?P<h>\d{1,2}):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d)(?P<f>\.\d{1,6})?\d*)?$"
_BARE_SPAN = r"^(-?\d+) (\d{1,2}:\d{2}:\d{2}.*)$"

WHOLE_CLOCKS = {
    f"%-H%M{seconds}{ending}": (digits, ending)
    for seconds, digits in (("", 4), ("%S", 6))
    for ending in ("", ".0")
}
"""Formats of times of day as whole numbers, 517 for 05:17: their digits, and what follows them."""

_EACH = ("%-", "%^", "%P", "%f", "%y", "%a", "%A", "%G", "%z")
"""What Arrow does not write as Python does."""
_CASED = re.compile(r"%(\^[aAbB]|P)")

Read = tuple[np.ndarray, np.ndarray]


def to_day_microseconds(
    column: pa.Array, *, format: str | None, midnight: str | None = None
) -> Read:
    """Return (rows,) float64 microseconds since midnight, and where a text was unreadable.

    Args: midnight: another text for the beginning of a day, such as 2400.
    """
    if is_text(column.type) or pt.is_dictionary(column.type):
        return _by_value(
            column, lambda values: _read_clock(values, format=format, midnight=midnight)
        )
    if pt.is_time(column.type):
        return _scaled(column)
    return np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)


def to_span_microseconds(column: pa.Array) -> Read:
    """Return (rows,) float64 microseconds of spans of time, and where a text was unreadable."""
    if is_text(column.type) or pt.is_dictionary(column.type):
        return _by_value(column, _read_spans)
    if pt.is_duration(column.type):
        return _scaled(column)
    return np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)


def write_instants(
    instants: pa.Array, *, format: str | None, seconds: bool = True, unit: str = "us"
) -> pa.Array:
    """Write dates or timestamps as text; ISO 8601 without a format.

    Args:
        seconds: whether instants have no fraction of a second.
        unit: that fractions are written to, ``ms`` or ``us``.
    """
    if pt.is_date(instants.type):
        instants = instants.cast(pa.date32()).cast(pa.timestamp("s"))
        format = format or "%Y-%m-%d"
    if format is None:
        format = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M:%S.%f"
        format += "%:z" if instants.type.tz else ""
    fine = format.replace("%S.%f", "")
    if any(mark in fine for mark in _EACH):
        return _write_each(instants, format)
    if "%f" not in format:
        # Seconds of finer timestamps would be written with their fraction.
        instants = instants.cast(pa.timestamp("s", tz=instants.type.tz), safe=False)
    else:
        instants = instants.cast(pa.timestamp(unit, tz=instants.type.tz), safe=False)
        format = format.replace("%S.%f", "%S")
    return pc.strftime(instants, format=format.replace("%:z", "%Ez")).cast(pa.large_string())


def write_clock(microseconds: np.ndarray, *, format: str | None, finest: str) -> pa.Array:
    """Write times of day as text; HH:MM, HH:MM:SS or with a fraction by ``finest``."""
    instants = pa.array(microseconds.astype(np.int64), pa.timestamp("us"))
    if format is None:
        format = {"hour": "%H:%M", "minute": "%H:%M", "second": "%H:%M:%S"}.get(
            finest, "%H:%M:%S.%f"
        )
    texts = write_instants(instants, format=format, unit="ms" if finest == "millisecond" else "us")
    if format not in WHOLE_CLOCKS:
        return texts
    # Half past midnight is 30, and no 030.
    return pc.replace_substring_regex(texts, r"^0{1,5}(\d)", r"\1")


def write_spans(microseconds: np.ndarray, *, format: str | None) -> pa.Array:
    """Write spans of time as text."""
    write = _SPANS[format or "days"]
    return pa.array([write(int(value)) for value in microseconds], pa.large_string())


def _write_each(instants: pa.Array, format: str) -> pa.Array:
    """Write each distinct instant by Python, which knows days without a zero before them."""
    values, positions = distinct(instants)
    texts = []
    for moment in values.to_pylist():
        offset = moment.strftime("%z") if isinstance(moment, datetime) else ""
        spelled = format.replace("%:z", f"{offset[:3]}:{offset[3:]}")
        texts.append(None if moment is None else moment.strftime(_cased(moment, spelled)))
    return pa.array(texts, pa.large_string()).take(pa.array(positions))


def _cased(moment: date, format: str) -> str:
    """Write names in capitals, %^b, and halves of the day in small letters, %P."""
    return _CASED.sub(
        lambda mark: (
            moment.strftime("%p").lower()
            if mark[1] == "P"
            else moment.strftime(f"%{mark[1][1]}").upper()
        ),
        format,
    )


def _by_value(column: pa.Array, read: Callable[[pa.Array], Read]) -> Read:
    """Read the distinct values of a text column."""
    values, positions = distinct(column)
    if not is_text(values.type):
        values = values.cast(pa.large_string())
    numbers, unreadable = read(trim(values.cast(pa.large_string())))
    return numbers[positions], unreadable[positions]


def _scaled(column: pa.Array) -> Read:
    """Return typed times or spans in microseconds, rounded down."""
    whole = column.cast(pa.int32() if pt.is_time32(column.type) else pa.int64())
    ticks = whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    unit = column.type.unit
    numbers = np.floor(ticks / 1000) if unit == "ns" else ticks * _MICROSECONDS[unit]
    return numbers, np.zeros(len(numbers), dtype=bool)


def _read_clock(trimmed: pa.Array, *, format: str | None, midnight: str | None = None) -> Read:
    if midnight is not None:
        numbers, unreadable = _read_clock(trimmed, format=format)
        there = pc.fill_null(pc.equal(trimmed, midnight), False).to_numpy(zero_copy_only=False)
        return np.where(there, 0.0, numbers), unreadable & ~there
    if format in WHOLE_CLOCKS:
        digits, ending = WHOLE_CLOCKS[format]
        whole = pc.match_substring_regex(trimmed, rf"^\d{{1,{digits}}}{re.escape(ending)}$")
        padded = pc.utf8_lpad(pc.if_else(whole, trimmed, None), digits + len(ending), "0")
        format = "%H%M" + "%S" * (digits == 6) + ending
        numbers, _ = _read_clock(padded, format=format)
        return numbers, np.isnan(numbers) & _said(trimmed)
    if format is not None:
        dated = join_texts("1970-01-01 ", trimmed)
        numbers, unreadable = to_microseconds(dated, format=f"%Y-%m-%d {format}")
        said = pc.fill_null(pc.greater(pc.utf8_length(trimmed), 0), False).to_numpy(False)
        return numbers, unreadable & said
    parts = pc.extract_regex(trimmed, _CLOCK)
    hours, minutes, seconds, fractions = (
        _float(pc.struct_field(parts, name)) for name in ("h", "m", "s", "f")
    )
    total = hours * 3600 + minutes * 60 + np.nan_to_num(seconds)
    numbers = np.floor(total * 1e6 + np.rint(np.nan_to_num(fractions) * 1e6))
    numbers = np.where(total < 86_400, numbers, np.nan)
    return numbers, np.isnan(numbers) & _said(trimmed)


def _read_spans(trimmed: pa.Array) -> Read:
    from silosynth.common.codec.written.frames import read_spans  # see there why not above

    # pandas wants the word; "1 02:30:00" is how a schema spells it.
    spelled = pc.replace_substring_regex(trimmed, _BARE_SPAN, r"\1 days \2")
    spelled = pc.replace_substring_regex(spelled, r"^(-?\d{1,4}:\d{2})$", r"\1:00")
    readable = pc.if_else(pc.match_substring_regex(spelled, r"\d.*[:a-zA-Z]"), spelled, None)
    numbers = np.rint(read_spans(readable) * 1e6)
    return numbers, np.isnan(numbers) & _said(trimmed)


def _float(texts: pa.Array) -> np.ndarray:
    filled = pc.if_else(pc.equal(pc.utf8_length(texts), 0), None, texts)
    numbers: np.ndarray = filled.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _said(trimmed: pa.Array) -> np.ndarray:
    """Mark texts that say something."""
    said = pc.fill_null(pc.invert(pc.match_substring_regex(trimmed, r"^(?i:nan|nat)?$")), False)
    marked: np.ndarray = said.to_numpy(zero_copy_only=False)
    return marked


def _parts(value: int) -> tuple[str, int, int, int, str]:
    """Return sign, days, hours, minutes and seconds with their fraction."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    seconds, micros = divmod(size, 1_000_000)
    days, rest = divmod(seconds, 86_400)
    fraction = f".{micros:06}" if micros else ""
    return sign, days, rest // 3600, rest % 3600 // 60, f"{rest % 60:02}{fraction}"


def _as_days(value: int) -> str:
    if value < 0:
        # As pandas writes it: a day less, and the time up to it.
        days, rest = divmod(value, DAY)
        return f"{days} days +{_as_days(rest).partition('days ')[2]}"
    _, days, hours, minutes, seconds = _parts(value)
    return f"{days} days {hours:02}:{minutes:02}:{seconds}"


def _as_clock(value: int) -> str:
    sign, days, hours, minutes, seconds = _parts(value)
    return f"{sign}{days * 24 + hours}:{minutes:02}:{seconds}"


def _as_long_clock(value: int) -> str:
    sign, days, hours, minutes, seconds = _parts(value)
    return f"{sign}{days * 24 + hours:02}:{minutes:02}:{seconds}"


def _as_hours(value: int) -> str:
    sign, days, hours, minutes, _ = _parts(value)
    return f"{sign}{days * 24 + hours}:{minutes:02}"


def _as_iso(value: int) -> str:
    sign, days, hours, minutes, seconds = _parts(value)
    return f"{sign}P{days}DT{hours}H{minutes}M{_bare(seconds)}S"


def _as_short_iso(value: int) -> str:
    """Leave out what is zero."""
    sign, days, hours, minutes, seconds = _parts(value)
    parts = ((str(hours), "H"), (str(minutes), "M"), (_bare(seconds), "S"))
    clock = "".join(f"{part}{unit}" for part, unit in parts if part != "0")
    if not days and not clock:
        return "PT0S"
    return f"{sign}P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def _bare(seconds: str) -> str:
    """Return seconds without a zero before them."""
    bare = seconds.lstrip("0")
    return bare if bare[:1].isdigit() else f"0{bare}"


_SPANS = {
    "days": _as_days,
    "clock": _as_clock,
    "long-clock": _as_long_clock,
    "hours": _as_hours,
    "iso": _as_iso,
    "short-iso": _as_short_iso,
}


def epoch_text(seconds: float) -> str:
    """Write seconds since 1970 in UTC as ISO 8601."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()
