"""Spans of time: read from text, and written as programs write them, or by a pattern of parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.written.columns import is_text
from silosynth.common.codec.written.moments import DAY, Read, by_value, says_something, scaled
from silosynth.common.schema import span_marks

_BARE_SPAN = r"^(-?\d+) (\d{1,2}:\d{2}:\d{2}.*)$"
_LAP = r"^(-?)(\d{1,4}:\d{2}(?:\.\d+)?)$"
_MICROSECONDS = {"d": DAY, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_WITHIN = {"h": 24, "m": 60, "s": 60}
"""Below how many a part is that does not stand first."""
_WORDS = {
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours", "std"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
}
_UNIT = {word: mark for mark, words in _WORDS.items() for word in words}
_SHOWN, _LONGEST = 1000, 64
"""Texts that are looked at, and signs of a pattern that a schema takes."""


def to_span_microseconds(column: pa.Array, *, format: str | None = None) -> Read:
    """Return (rows,) float64 microseconds of spans of time, and where a text was unreadable.

    Args: format: a pattern of parts, such as ``{h}h {m}m``; other texts are read without.
    """
    if is_text(column.type) or pt.is_dictionary(column.type):
        return by_value(column, lambda texts: _read_spans(texts, format=format))
    if pt.is_duration(column.type):
        return scaled(column)
    return np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)


def write_spans(microseconds: np.ndarray, *, format: str | None) -> pa.Array:
    """Write spans of time as text."""
    name, _, digits = (format or "days").partition(".")
    if name in _NAMED and digits.isdigit():
        write = _with_fraction(_NAMED[name], digits=int(digits))
    else:
        write = _NAMED.get(format or "days") or _by_pattern(format or "")
    return pa.array([write(int(value)) for value in microseconds], pa.large_string())


def _with_fraction(write: Callable[[int], str], *, digits: int) -> Callable[[int], str]:
    """Return what writes spans with so many digits of a second, always."""
    whole = 10 ** (6 - digits)

    def one(value: int) -> str:
        kept = abs(value) // whole * whole
        text = write(kept // 1_000_000 * 1_000_000)
        return f"{'-' if value < 0 else ''}{text}.{kept % 1_000_000 // whole:0{digits}}"

    return one


def span_pattern(texts: pa.Array) -> str | None:
    """Return the pattern of parts that all texts have, such as ``{h}h {m:02}m``; None without one.

    A number with the word for a unit of time is a whole number with a suffix, so at least two
    numbers are asked for, or ISO 8601's letters.
    """
    shown = texts.to_pylist()[:: max(len(texts) // _SHOWN, 1)]
    split = [re.split(r"(\d+(?:\.\d+)?)", text.removeprefix("-")) for text in shown]
    between = {tuple(parts[::2]) for parts in split}
    if len(between) != 1 or "{" in shown[0] or "}" in shown[0]:
        return None
    words = between.pop()
    marks = [_UNIT.get(_unit_word(after)) for after in words[1:]]
    if words[1:2] == (":",) and re.match(" ?(/|min/|per )", words[-1]):
        marks = ["m", "s"]  # a pace
    iso = words[0].startswith("P")
    if None in marks or (len(marks) < 2 and not iso):
        return None
    padded = [_padded([parts[2 * i + 1] for parts in split]) for i in range(len(marks))]
    parts = [f"{{{m}{':02' if p else ''}}}" for m, p in zip(marks, padded, strict=True)]
    pattern = words[0] + "".join(p + w for p, w in zip(parts, words[1:], strict=True))
    # ISO 8601 has months before its T, and minutes behind it.
    timed = pattern.partition("T")[0] if iso else ""
    right = span_marks(pattern) is not None and not re.search("{[hms]", timed)
    return pattern if right and len(pattern) <= _LONGEST else None


def _unit_word(after: str) -> str:
    """Return the word that stands behind a number; of ISO 8601 its letter."""
    found = re.match(r" ?([^\W\d_]+)", after)
    if found is None:
        return ""
    word = found[1].lower()
    return "d" if word == "dt" else word


def _padded(numbers: list[str]) -> bool:
    """Say whether a zero fills up numbers of one digit."""
    whole = [number.partition(".")[0] for number in numbers]
    return min(map(len, whole)) > 1 and any(w.startswith("0") for w in whole)


def _read_spans(trimmed: pa.Array, *, format: str | None) -> Read:
    if format is not None and "lap" in format:
        # Two parts are minutes and seconds, and not hours and minutes.
        trimmed = pc.replace_substring_regex(trimmed, _LAP, r"\10:\2")
    if span_marks(format) is not None:
        numbers = _read_parts(trimmed, pattern=format or "")
        others = pc.if_else(pa.array(np.isnan(numbers)), trimmed, None)
        numbers = np.where(np.isnan(numbers), _read_plain(others), numbers)
    else:
        numbers = _read_plain(trimmed)
    return numbers, np.isnan(numbers) & says_something(trimmed)


def _read_plain(trimmed: pa.Array) -> np.ndarray:
    """Return (texts,) microseconds of spans with a clock or the names of units."""
    from silosynth.common.codec.written.frames import read_spans  # see there why not above

    # pandas wants the word; "1 02:30:00" is how a schema spells it.
    spelled = pc.replace_substring_regex(trimmed, _BARE_SPAN, r"\1 days \2")
    spelled = pc.replace_substring_regex(spelled, r"^(-?\d{1,4}:\d{2})$", r"\1:00")
    # It will take a small d for no day.
    spelled = pc.replace_substring_regex(spelled, r"(\d ?)d\b", r"\1D")
    readable = pc.if_else(pc.match_substring_regex(spelled, r"\d.*[:a-zA-Z]"), spelled, None)
    numbers: np.ndarray = np.rint(read_spans(readable) * 1e6)
    return numbers


def _read_parts(trimmed: pa.Array, *, pattern: str) -> np.ndarray:
    """Return (texts,) microseconds of spans that are written by a pattern; NaN of others."""
    marks = span_marks(pattern) or ()
    words = re.split(r"\{[dhms](?::02)?\}", pattern)
    digits = {"s": r"\d+(?:\.\d+)?"}
    shape = "".join(
        f"(?P<{mark}>{digits.get(mark, r'[0-9]+')}){re.escape(word)}"
        for mark, word in zip(marks, words[1:], strict=True)
    )
    found = pc.extract_regex(trimmed, f"^(?P<n>-?){re.escape(words[0])}{shape}$")
    total = np.zeros(len(trimmed))
    for i, mark in enumerate(marks):
        part = pc.struct_field(found, mark).cast(pa.float64()).to_numpy(zero_copy_only=False)
        inside = part < _WITHIN[mark] if i else np.ones(len(part), dtype=bool)
        with np.errstate(over="ignore"):  # a warning would speak of a row
            total += np.where(inside, part, np.nan) * _MICROSECONDS[mark]
    negative = pc.equal(pc.struct_field(found, "n"), "-").fill_null(False)
    return np.rint(np.where(negative.to_numpy(zero_copy_only=False), -total, total))


def _by_pattern(pattern: str) -> Callable[[int], str]:
    """Return what writes spans by a pattern; the first part takes all that is left."""
    marks = span_marks(pattern) or ()

    def write(value: int) -> str:
        left, text = abs(value), pattern
        for mark in marks:
            part, left = divmod(left, _MICROSECONDS[mark])
            fraction = f".{left:06}".rstrip("0") if mark == "s" and left else ""
            text = text.replace(f"{{{mark}}}", f"{part}{fraction}")
            text = text.replace(f"{{{mark}:02}}", f"{part:02}{fraction}")
        return f"-{text}" if value < 0 else text

    return write


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


def _as_python(value: int) -> str:
    """Write a span as Python's ``str`` does: the days where there are any."""
    return str(timedelta(microseconds=value))


def _as_postgres(value: int) -> str:
    """Write a span as PostgreSQL does: the days where there are any, and no clock of zeros."""
    sign, days, hours, minutes, seconds = _parts(value)
    clock = f"{sign}{hours:02}:{minutes:02}:{seconds}"
    if not days:
        return clock
    text = f"{sign}{days} day{'' if (sign, days) == ('', 1) else 's'}"
    return f"{text} {clock}" if value % DAY else text


def _as_clock(value: int) -> str:
    sign, days, hours, minutes, seconds = _parts(value)
    return f"{sign}{days * 24 + hours}:{minutes:02}:{seconds}"


def _as_long_clock(value: int) -> str:
    sign, days, hours, minutes, seconds = _parts(value)
    return f"{sign}{days * 24 + hours:02}:{minutes:02}:{seconds}"


def _as_hours(value: int) -> str:
    sign, days, hours, minutes, _ = _parts(value)
    return f"{sign}{days * 24 + hours}:{minutes:02}"


def _as_lap(value: int) -> str:
    """Write minutes and seconds, and hours where there are any."""
    sign, days, hours, minutes, seconds = _parts(value)
    hours += days * 24
    return f"{sign}{hours}:{minutes:02}:{seconds}" if hours else f"{sign}{minutes}:{seconds}"


def _as_long_lap(value: int) -> str:
    """Write minutes and seconds in two digits, and hours where there are any."""
    sign, days, hours, minutes, seconds = _parts(value)
    hours += days * 24
    return f"{sign}{hours:02}:{minutes:02}:{seconds}" if hours else f"{sign}{minutes:02}:{seconds}"


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


_NAMED = {
    "days": _as_days,
    "clock": _as_clock,
    "long-clock": _as_long_clock,
    "hours": _as_hours,
    "lap": _as_lap,
    "long-lap": _as_long_lap,
    "iso": _as_iso,
    "short-iso": _as_short_iso,
    "python": _as_python,
    "postgres": _as_postgres,
}
