"""How values are written and stored: the form in which a table comes out again."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from silosynth.common.rules import PatternFault, parse_pattern
from silosynth.common.schema.kinds.bins import PlainModel

SINCE = "since"
"""The key under which a field says which version of the format brought it."""

TEXT_TYPES = ("string", "large_string", "string_view")
_STORED = (
    r"^(string|large_string|string_view|dictionary|bool|null|u?int(8|16|32|64)"
    r"|halffloat|float|double|decimal\(\d{1,2},\d{1,2}\)|date32|date64"
    r"|dictionary\[u?int(8|16|32|64),[a-z0-9_]+([\[(][a-z0-9,]+[\])])?\]"
    r"|(timestamp|duration)\[(s|ms|us|ns)\]|time32\[(s|ms)\]|time64\[(us|ns)\])$"
)
_OFFSET = re.compile(r"^[+-](0\d|1[0-4]):[0-5]\d$")


def since(version: int, **facts: Any) -> Any:
    """Return a field that ``version`` brought: older documents without it keep their digest."""
    return Field(json_schema_extra={SINCE: version}, **facts)


_MARK = re.compile(r"%[-_:^#0]*([1-9]N|.)", re.DOTALL)
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "e": "%d", "P": "%p"}
_SHORT |= {"q": "%m", **{f"{digits}N": "%f" for digits in range(1, 10)}}


def reading_format(format: str) -> str:
    """Return the marks that read what ``format`` writes: how to write them is left out.

    >>> reading_format("%-d %^b %Y, %_I:%M:%S.%9N %P %:z")
    '%d %b %Y, %I:%M:%S.%f %p %z'
    """
    return _MARK.sub(lambda mark: _SHORT.get(mark[1], f"%{mark[1]}"), format)


def _check_marks(format: str) -> str:
    """Raise ValueError for a format that no date or time can be read by, or written in."""
    try:
        # Python warns of a day without a year, which is one of the year 2000 here.
        datetime.strptime("", f"%Y {re.sub('%[YyG]', '', reading_format(format))}")
    except ValueError as err:
        if "does not match" not in str(err):
            raise ValueError(
                f"{format!r} is no format of dates or times; write one as '%d.%m.%Y %H:%M'"
            ) from None
    return format


_MARKS = (
    "strptime format; %q is the quarter, %3N a second's fraction in three digits, and what has no "
    "year is of the year 2000"
)
MomentFormat = Annotated[str, Field(max_length=64, pattern="%"), AfterValidator(_check_marks)]
"""A format of dates and times as strptime has them, with some marks more."""

Name = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\x00-\x1f%]+$")]
"""A word for a month, a day of the week or half a day."""


def _check_zero(zero: str) -> str:
    """Raise ValueError for what is no zero of another script."""
    if zero and (zero.isascii() or unicodedata.decimal(zero, -1) != 0):
        raise ValueError(f"{zero!r} is no zero of another script's digits, such as U+0660")
    return zero


Zero = Annotated[str, Field(max_length=1), AfterValidator(_check_zero)]
"""The zero of another script's digits; empty for those from 0 to 9."""


class MomentWords(PlainModel):
    """The words that stand for %b and %B, %a and %A, and %p, and the digits of another script.

    ``months`` are twelve from January on, ``weekdays`` seven from Monday on, ``halves`` the two of
    a day; where one is left out, English words stand there.
    """

    months: tuple[Name, ...] = ()
    weekdays: tuple[Name, ...] = ()
    halves: tuple[Name, ...] = ()
    zero: Zero = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for what, count in (("months", 12), ("weekdays", 7), ("halves", 2)):
            words = getattr(self, what)
            if words and (len(words) != count or len({w.casefold() for w in words}) != count):
                raise ValueError(f"{what} are {count} different words")
        return self


_SPANS = (
    *("days", "clock", "long-clock", "hours", "iso", "short-iso", "python", "postgres"),
    *("lap", "long-lap"),
)
_TENTHS = re.compile(r"(clock|long-clock|lap|long-lap)\.[1-6]")
"""Clocks that have so many digits of a fraction, always."""
_SPAN_MARK = re.compile(r"\{([dhms])(:02)?\}")


def span_marks(pattern: str | None) -> tuple[str, ...] | None:
    """Return the parts of a pattern of spans, days first; None for what is no such pattern.

    >>> span_marks("{h}h {m:02}m")
    ('h', 'm')
    """
    marks = [mark[1] for mark in _SPAN_MARK.finditer(pattern or "")]
    words = _SPAN_MARK.sub("", pattern or "")
    if not marks or "".join(marks) not in "dhms" or re.search(r"[\d{}\x00-\x1f]", words):
        return None
    return tuple(marks)


def _check_span(format: str) -> str:
    """Raise ValueError for a way to write spans of time that is neither known nor a pattern."""
    known = format in _SPANS or _TENTHS.fullmatch(format)
    if not known and span_marks(format) is None:
        raise ValueError(
            f"{format!r} is no format of spans of time; write one of {', '.join(_SPANS)}, or a "
            "pattern such as '{h}h {m:02}m' of the parts d, h, m and s in this order"
        )
    return format


_SPAN_WORDS = (
    "days: '1 days 02:30:00', clock: '2:30:00', long-clock: '02:30:00', hours: '2:30', iso: "
    "'P0DT2H30M0S', short-iso: 'PT2H30M', python: '1 day, 2:30:00', postgres: '1 day 02:30:00', "
    "lap: '9:42' and '1:02:03', long-lap: '09:42', with digits of a fraction lap.1: '9:42.8' and "
    "clock.3, or a pattern such as '{h}h {m:02}m'"
)
SpanFormat = Annotated[
    str, Field(max_length=64, description=_SPAN_WORDS), AfterValidator(_check_span)
]
"""How spans of time are written: by a program's name for it, or by a pattern of their parts."""


class Resolution(StrEnum):
    """The finest part of an instant that values have."""

    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"
    MILLISECOND = "millisecond"
    MICROSECOND = "microsecond"


def _known_zone(zone: str) -> str:
    """Refuse a zone that is neither an offset nor in the time zone database."""
    if _OFFSET.match(zone):
        return zone
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time zone {zone!r} is not known; write Europe/Berlin, UTC or +01:00"
        ) from None
    return zone


def _readable(pattern: str) -> str:
    """Refuse a pattern of which no words can be made."""
    try:
        parse_pattern(pattern)
    except PatternFault as err:
        raise ValueError(str(err)) from None
    return pattern


Words = Annotated[str, Field(max_length=256), AfterValidator(_readable)]
"""The words that there are of a key, as ``[A-Z]{2}[0-9]{6}``."""

Zone = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]
Stored = Annotated[str, Field(max_length=48, pattern=_STORED)]


Affix = Annotated[str, Field(max_length=16, pattern=r"^[^\d\x00-\x1f]*$")]
Flag = Annotated[str, Field(min_length=1, max_length=8, pattern=r"^[^\d\x00-\x1f]+$")]


class NumberText(PlainModel):
    """How a number is written as text: ``$4,000``, ``12,5``, ``40 %``, ``(73)`` or ``0042``.

    ``signed`` writes a sign before every number: ``+29`` and ``-3``; ``inner-minus`` and
    ``inner-parentheses`` stand behind the prefix: ``$-3`` and ``$(3)``. Groups are ``indian`` where
    only the last has three digits: ``12,34,567``. ``minus-sign`` is U+2212; without a
    ``leading_zero`` a half is ``.5``. With an ``exponent`` there is one digit before
    the point: ``1.250e+03``; ``1.25e3`` has one digit of an exponent and no plus, and may be
    ``trimmed``. What stands ``below`` zero takes the place of prefix and suffix there, as
    ``["", " DR"]`` beside the suffix `` CR``. ``flags`` are marks beside some numbers: they are
    read off, and not written. ``zero`` is that of another script's digits.
    """

    prefix: str = Field(default="", max_length=16, pattern=r"^[^\d\x00-\x1f]*$")
    suffix: str = Field(default="", max_length=16, pattern=r"^([^\d\x00-\x1f][^\x00-\x1f]*)?$")
    thousands: Literal[
        "", ",", ".", " ", "'", "\u00a0", "\u202f", "\u2019", "_", "\u2009", "\u066c"
    ] = ""
    decimal: Literal[".", ",", "\u00b7", "\u066b"] = "."
    groups: Literal["threes", "indian"] = "threes"
    negative: Literal[
        "minus",
        "minus-sign",
        "parentheses",
        "trailing",
        "signed",
        "inner-minus",
        "inner-parentheses",
    ] = "minus"
    exponent: Literal["", "e", "E", "d", "D", "\u00d710^", "x10^", "*10^"] = Field(
        default="", description="how the power of ten begins"
    )
    exponent_digits: int = since(
        2, default=2, ge=1, le=3, description="that the power has at least"
    )
    exponent_plus: bool = since(2, default=True, description="a plus before a power above zero")
    trimmed: bool = since(
        2, default=False, description="no zeros at the end of what stands before the power"
    )
    places: int = Field(default=0, ge=0, le=15, description="decimals that are always written")
    digits: int = Field(default=0, ge=0, le=15, description="zeros fill up to so many digits")
    leading_zero: bool = since(2, default=True, description="a zero stands before the point")
    trailing_point: bool = since(
        2, default=False, description="a point stands behind whole numbers: 12."
    )
    below: tuple[Affix, Affix] | None = since(
        2, default=None, description="what stands before and behind a number below zero"
    )
    flags: tuple[Flag, ...] = since(
        2, default=(), max_length=16, description="marks beside some numbers, which are not written"
    )
    zero: Zero = since(2, default="", description="the zero of another script's digits")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimals cannot have one mark")
        if self.digits and not self.leading_zero:
            raise ValueError("zeros that fill up digits stand before a point as well")
        if self.groups == "indian" and not self.thousands:
            raise ValueError("groups are parted by a mark; give thousands")
        plain = self.model_copy(update={"exponent": "", "places": 0})
        if self.exponent and plain.dressed:
            raise ValueError("a number with an exponent has no other dress than its places")
        return self

    @property
    def dressed(self) -> bool:
        """Say whether other programs would take it for text, and not for a number."""
        worn = self.prefix or self.suffix or self.thousands or self.decimal != "."
        signs = self.below is not None or bool(self.flags or self.zero)
        return bool(
            worn or signs or self.negative != "minus" or self.digits or len(self.exponent) > 1
        ) or (self.exponent in ("d", "D"))


class CsvDialect(PlainModel):
    """How a text file is written: what stands between fields, around and before them.

    What is ``quoted``, and a ``mark`` at the beginning of UTF-8, is written so and read either way.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=1, pattern=r"^[^\w\s\"]|[\t ]$")
    quote: Literal['"', "'"] = '"'
    encoding: Literal["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-16-be"] = "utf-8"
    newline: Literal["\n", "\r\n"] = "\n"
    skip: int = Field(default=0, ge=0, le=1000, description="lines before the header")
    header: bool = Field(default=True, description="the first line names the columns")
    quoted: Literal["all"] | tuple[str, ...] = since(
        2, default=(), description="columns whose fields stand in quotes, whatever they hold"
    )
    quoted_header: bool = since(2, default=False, description="all names stand in quotes")
    bare: tuple[str, ...] = since(
        2, default=(), max_length=32, description="words such as NA that stand there without"
    )
    mark: bool = since(2, default=False, description="UTF-8 begins with a byte order mark")

    @model_validator(mode="after")
    def _marked(self) -> Self:
        if self.mark and self.encoding != "utf-8":
            raise ValueError("mark is said of UTF-8 alone")
        return self

    def reads_as(self, other: CsvDialect) -> bool:
        """Say whether a file written so is read as one written in the other way."""
        return all(
            getattr(self, fact) == getattr(other, fact)
            for fact in ("delimiter", "quote", "encoding", "skip", "header")
        )

    def describe(self) -> str:
        """Say in words what differs from an ordinary file."""
        spelled = {"\t": "tabs", " ": "spaces"}.get(self.delimiter, f"'{self.delimiter}'")
        facts = [f"fields separated by {spelled}"]
        facts += [f"quoted by {self.quote}"] if self.quote != '"' else []
        facts += [f"encoding {self.encoding}"] if self.encoding != "utf-8" else []
        lines = "1 line" if self.skip == 1 else f"{self.skip} lines"
        facts += [f"{lines} before the header"] if self.skip else []
        facts += ["no header line"] if not self.header else []
        if self.quoted:
            facts += ["every field in quotes" if self.quoted == "all" else "some columns in quotes"]
        return ", ".join(facts)
