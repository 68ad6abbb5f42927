"""Formats of dates and times worked out part by part, for ways of writing that no list has.

A text is runs of digits, words, and signs between them. Where all texts have the same, digits are
parts of a date or of a clock by how many there are and how large they get, and words are names of
months and days, or stay as they are. What comes out is a guess: whoever asks reads every text by it
and writes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from silosynth.common.codec.written.affixes import plain_digits, zero_of
from silosynth.common.codec.written.moment_names import halves_of, months_of, weekdays_of
from silosynth.common.schema import MomentWords

_ZONE = re.compile(r"(:\d\d[^+-]*)([+-]\d\d:?\d\d)(?!\d)")
"""An offset, which stands somewhere behind a clock."""
_OFFSET, _OFFSET_COLON = "\x00", "\x01"
_RUN = re.compile(r"\d+|(?i:[ap]\.\s?m\.)|[^\W\d_]+(?:-feira)?\.?|[\x00\x01]|.", re.DOTALL)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = (
    ("%b", frozenset(m[:3] for m in _MONTHS)),
    ("%B", frozenset(_MONTHS)),
    ("%a", frozenset(d[:3] for d in _DAYS)),
    ("%A", frozenset(_DAYS)),
    ("%p", frozenset(("am", "pm"))),
)
_SPACED = re.compile(r" {2}(\d)(?!\d)")
"""A day of one digit with a space for the other."""
_LONG = {
    4: ("%Y", "%G", "%H%M"),
    6: ("%H%M%S", "%f"),
    7: ("%Y%j", "%7N"),
    8: ("%Y%m%d",),
    12: ("%Y%m%d%H%M",),
    14: ("%Y%m%d%H%M%S",),
    3: ("%f", "%j"),
    9: ("%9N",),
}
"""What so many digits may be; one or two are one part each."""
FINE = tuple((n, "millisecond" if n <= 3 else "microsecond") for n in (1, 2, 4, 5, 7, 8, 9))
"""Digits of a second's fraction that have a mark of their own, and how finely they tell it."""
_SHORT = (
    *(("d", 1, 31), ("m", 1, 12), ("H", 0, 23), ("I", 1, 12), ("M", 0, 59), ("S", 0, 59)),
    *(("V", 1, 53), ("q", 1, 4)),
)
_DATES = ("Ymd", "dmY", "mdY", "Yj", "dmy", "mdy", "ymd", "GV", "VG", "Yq", "qY", "qy", "yq")
_NAMED_DATES = ("mY", "Ym", "my", "ym")
"""Dates that are some where the month has a name."""
_YEARLESS = ("dm", "md")
_CLOCKS = ("HM", "HMS", "HMSf", "IM", "IMS", "IMSf", "I", "H")
_MOST_LITERAL = 40
_MOST_FOUND = 4
_LONGEST = 64
"""Of a format in a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What stands at one place in all texts: the marks that it may be, or a sign or word.

    ``words`` are those of a language that the marks stand for.
    """

    marks: tuple[str, ...]
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)


Found = tuple[str, MomentWords | None]


def said_words(words: MomentWords | None) -> dict[str, Any]:
    """Return words as a fact of an attribute; none where English ones stand."""
    return {} if words is None else {"words": words.model_dump(exclude_defaults=True)}


def moment_formats(texts: Sequence[str], *, dated: bool) -> Iterator[Found]:
    """Yield formats that texts may be written by and their words, the likelier first, a few.

    Args: dated: whether a date is asked for; else a time of day alone.
    """
    if not texts or any("%" in text for text in texts):
        return
    spaced = any(_SPACED.search(text) for text in texts)
    texts = [_SPACED.sub(r" 0\1", text) for text in texts] if spaced else texts
    zero = zero_of(texts)
    if zero:
        texts = plain_digits(pa.array(texts, pa.large_string()), zero=zero).to_pylist()
    runs = [_RUN.findall(_ZONE.sub(_marked, text)) for text in texts]
    if len({len(run) for run in runs}) != 1:
        return
    places = [_place(column) for column in zip(*runs, strict=True)]
    if any(not place.marks for place in places):
        return
    literal = sum(1 for place in places if "%" not in place.marks[0])
    if literal > _MOST_LITERAL:
        return
    named = {what: listed for place in places for what, listed in place.words.items()}
    words = MomentWords(zero=zero, **named) if named or zero else None
    found = 0
    for format in _choices(places, before=""):
        if found == _MOST_FOUND:
            return
        if _whole(format, dated=dated) and len(format) <= _LONGEST:
            found += 1
            yield format.replace("%d", "%e") if spaced else format, words


def _marked(found: re.Match[str]) -> str:
    """Put a sign for an offset, of one form or the other."""
    return found[1] + (_OFFSET_COLON if ":" in found[2] else _OFFSET)


def _place(values: Sequence[str]) -> _Place:
    """Return what one place of all texts may be; no marks where they have nothing in common."""
    distinct = set(values)
    first = values[0]
    if all(value.isascii() and value.isdigit() for value in distinct):
        return _Place(marks=_of_digits(distinct))
    if first in (_OFFSET, _OFFSET_COLON):
        mark = "%z" if first == _OFFSET else "%:z"
        return _Place(marks=(mark,) if len(distinct) == 1 else ())
    lowered = {value.lower() for value in distinct}
    for mark, names in _NAMES:
        if lowered <= names:
            return _Place(marks=(_cased(mark, distinct),))
        if lowered <= {f"{name}." for name in names} and mark != "%p":
            bare = {value[:-1] for value in distinct}
            return _Place(marks=(f"{_cased(mark, bare)}.",))
    if len(distinct) == 1 and not months_of(distinct):
        return _Place(marks=(first,))
    return _of_words(distinct) or _Place(marks=(first,) if len(distinct) == 1 else ())


def _of_words(words: set[str]) -> _Place | None:
    """Return the place of names of months, days or halves of a day in some language."""
    for what, mark, find in (
        ("halves", "%p", halves_of),
        ("months", "%B", months_of),
        ("weekdays", "%A", weekdays_of),
    ):
        if (listed := find(words)) is not None:
            return _Place(marks=(mark,), words={what: listed})
    return None


def _cased(mark: str, names: set[str]) -> str:
    """Return the mark of names in the letters that they are written in."""
    if mark == "%p":
        return "%P" if all(name.islower() for name in names) else mark
    capital = all(name.isupper() for name in names)
    return mark.replace("%", "%^") if capital else mark


def _of_digits(values: set[str]) -> tuple[str, ...]:
    """Return the parts that digits may be, by how many there are and how large they get."""
    widths = {len(value) for value in values}
    numbers = [int(value) for value in values]
    if len(widths) == 1 and (width := widths.pop()) > 2:
        long = _LONG.get(width, ())
        years = 1800 <= int(str(min(numbers))[:4]) <= int(str(max(numbers))[:4]) <= 2200
        return tuple(m for m in long if years or not m.startswith(("%Y", "%G")))
    if max(len(value) for value in values) > 2:
        return ()
    filled = all(len(value) == 2 for value in values)
    if not filled and any(value.startswith("0") and len(value) > 1 for value in values):
        return ()
    flag = "" if filled else "-"
    fitting = [
        f"%{flag}{mark}"
        for mark, low, high in _SHORT
        if low <= min(numbers) and max(numbers) <= high and (filled or mark in "dmHI")
        if mark not in "Vq" or (mark == "V" and filled)
    ]
    quarters = ("%q",) if values == {"1", "2", "3", "4"} else ()
    return (*fitting, *quarters, *(("%y",) if filled else ()))


def _choices(places: Sequence[_Place], *, before: str) -> Iterator[str]:
    """Yield every way to take one mark for each place, leaving out what can be nothing whole."""
    if not places:
        yield before
        return
    for mark in places[0].marks:
        if _may_begin(before + mark):
            yield from _choices(places[1:], before=before + mark)


def _letters(format: str) -> str:
    """Return the letters of a format's marks, a month's name as m; without names of days."""
    marks = re.findall(r"%[-^:]?([79]N|.)", format)
    known = {"b": "m", "B": "m", "7N": "f", "9N": "f"}
    return "".join(known.get(mark, mark) for mark in marks)


def _split(format: str) -> tuple[str, str]:
    """Return the letters of the date and of the clock, in order."""
    letters = _letters(format)
    date = "".join(x for x in letters if x in "YymdjGVq")
    return date, "".join(x for x in letters if x in "HIMSf")


def _may_begin(format: str) -> bool:
    """Say whether some whole format begins so."""
    date, clock = _split(format)
    orders = (*_DATES, *_NAMED_DATES, *_YEARLESS)
    return any(order.startswith(date) for order in orders) and any(
        order.startswith(clock) for order in _CLOCKS
    )


def _whole(format: str, *, dated: bool) -> bool:
    """Say whether a format has a whole date, and a clock if any, or a clock alone."""
    date, clock = _split(format)
    letters = _letters(format)
    halves = ("p" in letters or "P" in letters) == ("I" in clock)
    once = all(letters.count(mark) <= 1 for mark in "aApPz")
    right = halves and once and (not clock or clock in _CLOCKS)
    if dated:
        # An hour alone, without am or pm, is no clock.
        named = re.search("%[-^]*[bB]", format) is not None
        known = (*_DATES, *_YEARLESS, *(_NAMED_DATES if named else ()))
        # Two runs of digits alone are a key, or a number.
        marked = date not in ("qy", "yq", *_NAMED_DATES) or re.search(r"%[^%]*[^\d%]+", format)
        right = right and date in known and bool(marked)
        return right and clock != "H" and ("z" not in letters or bool(clock))
    named = any(mark in letters for mark in "aAz")
    return right and not date and bool(clock) and clock != "H" and not named
