"""Patterns of keys: how many words one has, and the classes and choices that it is made of.

::

    [A-Z]{2}[0-9]{6}      \\d{3}-\\d{2}      (F|M)[0-9]{4,6}      P-[0-9a-f]{8}

A pattern writes finitely many words, each in one way: ``*``, ``+`` and ``.`` are refused.
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass
from functools import cache
from typing import NoReturn, TypeAlias

LONGEST = 128
_MOST_STATES = 4_000
_DEPTH = 20
_CLASSES = {"d": string.digits, "w": string.digits + string.ascii_letters + "_"}
_SPECIAL = "[](){}|?*+.^$\\"


class PatternFault(ValueError):
    """A pattern cannot be read: the message says what to write."""


@dataclass(frozen=True, slots=True)
class Signs:
    """One sign of several."""

    signs: str


@dataclass(frozen=True, slots=True)
class Series:
    """One part after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One part of several."""

    parts: tuple[Part, ...]


Part: TypeAlias = Signs | Series | Choice


@cache
def words_of(part: Part) -> int:
    """Return how many words a part writes."""
    if isinstance(part, Signs):
        return len(part.signs)
    counts = [words_of(p) for p in part.parts]
    return math.prod(counts) if isinstance(part, Series) else sum(counts)


@cache
def longest(part: Part) -> int:
    """Return the length of the longest word."""
    if isinstance(part, Signs):
        return 1
    lengths = [longest(p) for p in part.parts]
    return sum(lengths) if isinstance(part, Series) else max(lengths)


@cache
def _shortest(part: Part) -> int:
    """Return the length of the shortest word."""
    if isinstance(part, Signs):
        return 1
    lengths = [_shortest(p) for p in part.parts]
    return sum(lengths) if isinstance(part, Series) else min(lengths)


@cache
def parse_pattern(text: str) -> Part:
    """Return what a pattern writes; raise PatternFault for what cannot be made.

    >>> words_of(parse_pattern("[A-C][0-9]{2}"))
    300
    """
    part = _Reader(text).pattern()
    if longest(part) > LONGEST:
        raise _too_long(text)
    if words_of(part) != _distinct(part, text=text):
        raise PatternFault(f"pattern {text!r} can write one word in two ways; write it in one")
    return part


def regular(part: Part) -> str:
    """Return a regular expression for just the words of a pattern, without its ends."""
    if isinstance(part, Signs):
        signs = "".join(f"\\x{{{ord(s):x}}}" for s in part.signs)
        return f"[{signs}]"
    inner = [regular(p) for p in part.parts]
    return "".join(inner) if isinstance(part, Series) else f"(?:{'|'.join(inner)})"


class _Reader:
    """Read a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def pattern(self) -> Part:
        """Return the whole pattern; its ends may be marked."""
        self._text = self._text.removeprefix("^")
        if self._text.endswith("$") and not self._text.endswith("\\$"):
            self._text = self._text[:-1]
        if not self._text:
            self._fail("is empty")
        part = self._choice()
        if self._at < len(self._text):
            self._fail(f"has a {self._text[self._at]!r} too many")
        return part

    def _fail(self, what: str) -> NoReturn:
        raise PatternFault(f"pattern {self._text!r} {what}")

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> Part:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail("is nested too deeply")
        parts = [self._series()]
        while self._next() == "|":
            self._at += 1
            parts.append(self._series())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _series(self) -> Part:
        parts: list[Part] = []
        while (sign := self._next()) and sign not in "|)":
            parts.append(self._often(self._one()))
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def _one(self) -> Part:
        sign = self._next()
        self._at += 1
        if sign == "(":
            self._at += 2 if self._text.startswith("?:", self._at) else 0
            part = self._choice()
            if self._next() != ")":
                self._fail("has a bracket that is never closed")
            self._at += 1
            return part
        if sign == "[":
            return self._class()
        if sign == "\\":
            return Signs(self._escaped())
        if sign in "*+.":
            self._fail(f"holds {sign!r}; say which signs, and how often, as in [A-Z0-9]{{8}}")
        if sign in _SPECIAL:
            self._fail(f"holds {sign!r}; write it as \\{sign}")
        return Signs(sign)

    def _escaped(self) -> str:
        sign = self._next()
        self._at += 1
        if sign in _CLASSES:
            return _CLASSES[sign]
        if not sign or sign.isalnum():
            self._fail(f"holds \\{sign}, which is not known; \\d and \\w are")
        return sign

    def _class(self) -> Signs:
        """Read the inside of square brackets."""
        found: list[str] = []
        if self._next() == "^":
            self._fail("holds [^; list the signs that there are")
        while (sign := self._next()) and sign != "]":
            self._at += 1
            signs = self._escaped() if sign == "\\" else sign
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                last = self._text[self._at + 1]
                self._at += 2
                if len(signs) > 1 or ord(last) < ord(sign) or ord(last) - ord(sign) > 1000:
                    self._fail(f"holds {sign}-{last}, which is no range")
                signs = "".join(map(chr, range(ord(sign), ord(last) + 1)))
            found += signs
        if sign != "]" or not found:
            self._fail("has square brackets that are empty or never closed")
        self._at += 1
        return Signs("".join(dict.fromkeys(found)))

    def _often(self, part: Part) -> Part:
        sign = self._next()
        if sign == "?":
            self._at += 1
            return Choice((Series(()), part))
        if sign in ("*", "+") and sign:
            self._fail(f"holds {sign!r}; say how often, as in [0-9]{{1,8}}")
        if sign != "{":
            return part
        found = re.compile(r"\{(\d{1,4})(,(\d{1,4}))?\}").match(self._text, self._at)
        if found is None:
            self._fail("holds '{' without how often, as in {8} or {4,6}")
        least, most = int(found[1]), int(found[3] or found[1])
        self._at = found.end()
        if most * longest(part) > LONGEST:
            raise _too_long(self._text)
        if most > 1 and _shortest(part) == 0:
            self._fail(f"repeats what can be nothing: {found[0]}")
        if most < least or most > LONGEST:
            self._fail(f"holds {found[0]}; repeat at most {LONGEST} times, the smaller first")
        several = tuple(Series((part,) * count) for count in range(least, most + 1))
        return several[0] if len(several) == 1 else Choice(several)


def _too_long(text: str) -> PatternFault:
    return PatternFault(f"pattern {text!r} writes words of more than {LONGEST} signs")


def _distinct(part: Part, *, text: str) -> int:
    """Return how many different words there are: of sets of places, by what can come next."""
    signs: list[str] = []
    follows: list[set[int]] = []

    def join(part: Part) -> tuple[bool, set[int], set[int]]:
        """Return whether a part writes nothing, and where it begins and ends (Glushkov 1961)."""
        if isinstance(part, Signs):
            signs.append(part.signs)
            follows.append(set())
            return False, {len(signs) - 1}, {len(signs) - 1}
        if isinstance(part, Choice):
            each = [join(p) for p in part.parts]
            return (
                any(e for e, _, _ in each),
                set().union(*(f for _, f, _ in each)),
                set().union(*(e for _, _, e in each)),
            )
        empty, first, last = True, set[int](), set[int]()
        for inner in part.parts:
            nothing, begins, ends = join(inner)
            for place in last:
                follows[place] |= begins
            first |= begins if empty else set()
            last = last | ends if nothing else ends
            empty = empty and nothing
        return empty, first, last

    empty, first, last = join(part)
    if len(signs) > _MOST_STATES:
        raise PatternFault(f"pattern {text!r} is too long")
    counted: dict[frozenset[int], int] = {}

    def count(places: frozenset[int]) -> int:
        """Return how many ways there are to go on and to end from a set of places."""
        if places not in counted:
            if len(counted) > _MOST_STATES:
                raise PatternFault(f"pattern {text!r} has too many choices")
            after = set().union(*(follows[p] for p in places))
            counted[places] = bool(places & last) + branch(after)
        return counted[places]

    def branch(places: set[int]) -> int:
        found: dict[str, list[int]] = {}
        for place in places:
            for sign in signs[place]:
                found.setdefault(sign, []).append(place)
        alike: dict[frozenset[int], int] = {}
        for at in found.values():
            alike[frozenset(at)] = alike.get(frozenset(at), 0) + 1
        return sum(times * count(at) for at, times in alike.items())

    return empty + branch(first)
