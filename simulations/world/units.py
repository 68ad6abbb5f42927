"""Units of a scenario: spans of virtual time, hours of a day, shares."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

SECOND = 1_000_000
"""Microseconds: virtual time is whole numbers of them, so that machines agree on the order."""
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(us|ms|s|m|h|d|w)", re.ASCII)
_UNITS = {"us": 1, "ms": 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_UNITS |= {"d": 24 * _UNITS["h"], "w": 7 * 24 * _UNITS["h"]}
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_HOURS = re.compile(f"^{_TIME}-(?:{_TIME}|24:00)$", re.ASCII)
MOST_SPAN = 10 * 366 * _UNITS["d"]


def _span(value: Any, *, signed: bool) -> int:
    """Return microseconds for ``"1.5h"``, or for a number of seconds."""
    fault = ValueError("write a time such as '250ms', '30s', '2h' or '3d'")
    sign, unit = 1, SECOND
    if isinstance(value, str):
        negative = signed and value.startswith("-")
        found = _SPAN.fullmatch(value.strip().removeprefix("-") if negative else value.strip())
        if found is None:
            raise fault
        sign, number, unit = (-1 if negative else 1), float(found[1]), _UNITS[found[2]]
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise fault
    else:
        number = float(value)
    if number < 0 and not signed:
        raise ValueError("a time cannot be below 0")
    if not abs(number) * unit <= MOST_SPAN:
        raise ValueError("is more than ten years")
    return sign * round(number * unit)


def read_span(text: str) -> int:
    """Return the microseconds of a time such as '250ms'; ValueError where it is none."""
    return _span(text, signed=False)


def spell_span(span: int) -> str:
    """Write a span for people: its two largest units.

    >>> spell_span(93_784 * SECOND)
    '1 d 2 h'
    """
    if abs(span) < 10 * SECOND:
        return f"{span / SECOND:.3g} s"
    rest, words = abs(span) // SECOND, []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= size:
            words.append(f"{rest // size} {unit}")
            rest %= size
    return ("-" if span < 0 else "") + " ".join(words[:2])


def _hours(value: Any) -> str:
    """Return hours of a day as they are written; ValueError where there are none."""
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write hours such as '09:00-17:00', or '22:00-06:00' over midnight")
    begin, end = str(value).split("-")
    if begin == end:
        raise ValueError("hours end when they begin: write '00:00-24:00' for the whole day")
    return str(value)


def hours_of(text: str) -> tuple[int, int]:
    """Return when hours begin and end, in microseconds from the midnight before they begin."""
    begin, end = map(_clock, text.split("-"))
    return begin, end if end > begin else end + _UNITS["d"]


def _clock(text: str) -> int:
    hour, minute = text.split(":")
    return (int(hour) * 60 + int(minute)) * _UNITS["m"]


def _described(*, signed: bool) -> dict[str, Any]:
    """Return the JSON Schema of a span: seconds, or text with a unit."""
    most = MOST_SPAN / SECOND
    written = f"^{'-?' if signed else ''}\\s*{_SPAN.pattern}\\s*$"
    seconds = {"type": "number", "minimum": -most if signed else 0, "maximum": most}
    return {
        "anyOf": [seconds, {"type": "string", "pattern": written}],
        "examples": ["250ms", "30s", "2h"],
    }


_SECONDS = PlainSerializer(lambda span: span / SECOND, return_type=float, when_used="json")
Span = Annotated[
    int,
    BeforeValidator(lambda v: _span(v, signed=False)),
    WithJsonSchema(_described(signed=False)),
    _SECONDS,
]
Offset = Annotated[
    int,
    BeforeValidator(lambda v: _span(v, signed=True)),
    WithJsonSchema(_described(signed=True)),
    _SECONDS,
]
Hours = Annotated[
    str,
    BeforeValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": _HOURS.pattern, "examples": ["09:00-17:00"]}),
]
Moment = Annotated[
    datetime,
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
            "examples": ["2026-03-02T08:00:00Z"],
        }
    ),
]
"""A moment with its time zone."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A probability, or a part of a whole."""
