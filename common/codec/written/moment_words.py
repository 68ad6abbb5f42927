"""Dates and times whose words, digits or parts pandas does not read: brought to what it does."""

from __future__ import annotations

import re
from datetime import date, datetime

import pyarrow as pa

from silosynth.common.codec.written.affixes import join_texts, plain_digits
from silosynth.common.schema import MomentWords, reading_format

_MARK = re.compile(r"%[-_:^#0]*([1-9]N|.)", re.DOTALL)
_NAMED = {"b": "months", "B": "months", "a": "weekdays", "A": "weekdays", "p": "halves"}
_NAMED |= {"P": "halves"}
_SHAPES = {"V": r"\d{2}", "G": r"\d{4}", "z": r"(?:[+-]\d\d:?\d\d|Z)", "%": "%"}
_SHAPES |= dict.fromkeys("aAbBpPZ", r"[^\W\d_]{1,12}")
_DIGITS = {"Y": 4, "j": 3, "f": 9} | dict.fromkeys("dmyHIMSUuWwelk", 2)
_SHAPES |= {mark: rf" {{0,3}}+\d{{1,{most}}} {{0,3}}" for mark, most in _DIGITS.items()}
_SHAPES |= {f"{n}N": r"\d{1,9}" for n in range(1, 10)}
_PART = r"[\d:/ -]{1,20}?"
"""What any other mark may be, such as a whole date.

No part that stands often holds what stands between parts: a text of such signs alone would be tried
in a hundred thousand ways, and show in an answer's time.
"""
_YEARS = re.compile(r"%[-_0^#]*[YyGcxDF]")
LEAP_YEAR = 2000
"""Of dates that are written without a year."""


def is_yearless(format: str) -> bool:
    """Say whether a format writes a day or a month, and no year.

    >>> is_yearless("%d.%m."), is_yearless("%H:%M")
    (True, False)
    """
    dated = re.search(r"%[-_0^#]*[dmbBejq]", format)
    return dated is not None and not _YEARS.search(format)


def to_plain(texts: pa.Array, *, format: str, words: MomentWords | None) -> tuple[pa.Array, str]:
    """Return texts as pandas reads them, null for those that are none, and the format they have.

    Words become numbers or English halves of the day, quarters months, weeks their Mondays, and a
    day without a year one of the year 2000.
    """
    if words is not None and words.zero:
        texts = plain_digits(texts, zero=words.zero)
    marks = {mark[1] for mark in _MARK.finditer(format)}
    named = words is not None and any(getattr(words, _NAMED[m]) for m in marks & _NAMED.keys())
    weekly = "V" in marks and not marks & {"u", "a", "A", "w"}
    if named or weekly or "q" in marks:
        texts, format = _rewritten(texts, format=format, words=words or MomentWords())
        format += " %u" if weekly else ""
        texts = join_texts(texts, " 1") if weekly else texts
    if is_yearless(format):
        texts = join_texts(f"{LEAP_YEAR} ", texts)
        format = f"%Y {format}"
    return texts, format


def _rewritten(texts: pa.Array, *, format: str, words: MomentWords) -> tuple[pa.Array, str]:
    """Return texts with numbers for words and quarters, and the format that they have then."""
    shape, wanted, place = "", "", 0
    numbers: dict[str, dict[str, str]] = {}
    for mark in _MARK.finditer(format):
        literal = format[place : mark.start()]
        place = mark.end()
        name, group = mark[1], f"g{len(numbers)}"
        listed = getattr(words, _NAMED[name]) if name in _NAMED else ()
        shape += re.escape(literal)
        wanted += literal
        if listed or name == "q":
            known = {word: _plain(name, i) for i, word in enumerate(listed)}
            known = known or {str(q): f"{3 * q - 2:02}" for q in range(1, 5)}
            numbers[group] = {_fold(word): plain for word, plain in known.items()}
            shape += f"(?P<{group}>{'|'.join(map(re.escape, sorted(known, key=len)[::-1]))})"
            wanted += {"halves": "%p", "weekdays": ""}.get(_NAMED.get(name, ""), "%m")
        else:
            shape += _SHAPES.get(name, _PART)
            wanted += mark[0]
    shape += re.escape(format[place:])
    pattern = re.compile(shape, re.IGNORECASE | re.DOTALL)
    return _replaced(texts, pattern, numbers), wanted + format[place:]


def _fold(word: str) -> str:
    """Return a word without its case, as re.IGNORECASE takes it: i with a dot or none is one."""
    return word.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def _plain(name: str, place: int) -> str:
    """Return how pandas reads the word at a place: a month's number, no day of the week."""
    if _NAMED[name] == "weekdays":
        return ""
    return ("AM", "PM")[place] if _NAMED[name] == "halves" else f"{place + 1:02}"


def _replaced(
    texts: pa.Array, pattern: re.Pattern[str], numbers: dict[str, dict[str, str]]
) -> pa.Array:
    """Put numbers for words, null where a text is written in another way."""

    def one(text: str | None) -> str | None:
        found = None if text is None else pattern.fullmatch(text)
        if found is None:
            return None
        plain, place = "", 0
        for group, known in numbers.items():
            start, end = found.span(group)
            word = known.get(_fold(found[group]))
            if word is None:
                return None
            plain += found[0][place:start] + word
            place = end
        return plain + found[0][place:]

    return pa.array([one(text) for text in texts.to_pylist()], pa.large_string())


_WRITTEN = re.compile(r"%(\^?)([bBaAp]|P|q|[1-9]N)")


def spell_marks(moment: date, format: str, *, words: MomentWords | None) -> str:
    """Return a format with what Python's strftime does not write put in for its marks.

    Those are names in capitals (%^b), small halves of the day (%P), quarters (%q), fractions in
    other than six digits (%3N), and the words of another language.
    """

    def one(mark: re.Match[str]) -> str:
        name = mark[2]
        if name == "q":
            return str((moment.month + 2) // 3)
        if name.endswith("N"):
            micros = moment.microsecond if isinstance(moment, datetime) else 0
            return f"{micros:06}000"[: int(name[0])]
        listed = getattr(words, _NAMED[name]) if words is not None else ()
        text = listed[_place(moment, name)] if listed else ""
        if not listed:
            text = moment.strftime("%p" if name == "P" else f"%{name}")
            text = text.lower() if name == "P" else text
        return (text.upper() if mark[1] else text).replace("%", "%%")

    return _WRITTEN.sub(one, format)


def _place(moment: date, name: str) -> int:
    """Return which of the words stands for a moment."""
    if _NAMED[name] == "months":
        return moment.month - 1
    if _NAMED[name] == "weekdays":
        return moment.weekday()
    return int(isinstance(moment, datetime) and moment.hour >= 12)


def reads_fractions(format: str) -> bool:
    """Say whether a format has a fraction of a second."""
    return "%f" in reading_format(format)
