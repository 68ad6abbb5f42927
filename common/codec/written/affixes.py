"""What stands around numbers as text: flags, ways to be below zero, and other scripts' digits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.schema import NumberText

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_OUT_OF = re.compile(r"( ?/ ?| (?:out of|of|von|sur|de|van|di|af|av) )\d{1,4}$")
"""What all scores end in: 49/100, 3 of 10."""
_AFFIXES = re.compile(r"^(?P<p>\D*?)(?P<n>[.,]?\d.*?)(?P<s>\D*)$", re.DOTALL)
_SIGNS = (
    "\u2013",
    "\u2014",
    "\u25b2",
    "\u25b3",
    "\u25bc",
    "- ",
    "\u2212 ",
    "\u2013 ",
    "\ufe63",
    "\uff0d",
)
"""Before numbers below zero."""
_BRACKETS = (("[", "]"), ("<", ">"), ("{", "}"))
_WORDS = (("cr", "dr"), ("c", "d"), ("h", "s"), ("n", "s"), ("e", "w"), ("e", "o"), ("+", "-"))
"""Beside numbers above and below zero: credit and debit, Haben and Soll, north and south."""
_FLAG = re.compile(
    r"[*\u2020\u2021#!^?~\u2248\u2243<>\u2264\u2265=]{1,3}| ?\([a-z*]{1,3}\)| ?\[[a-z*]{1,3}\]"
    r"| [a-z]{1,2}| ?(?:ca\.?|c\.|approx\.?|about|est\.?|prov\.?|<=|>=)"
)
_MOST_FLAGS = 12
_STATUS, _SOME = frozenset("bcdefinprsuz"), 10
"""Letters that statistical offices put behind numbers, and numbers to one without them."""


def join_texts(*parts: pa.Array | str) -> pa.Array:
    """Join texts row by row; null where one is null."""
    large = [pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*large, pa.scalar("", pa.large_string()))


def plain_digits(texts: pa.Array, *, zero: str) -> pa.Array:
    """Return texts with the digits from 0 to 9 for those of another script."""
    for digit in range(10):
        texts = pc.replace_substring(texts, chr(ord(zero) + digit), str(digit))
    return texts


def other_digits(texts: pa.Array, *, zero: str) -> pa.Array:
    """Return texts with the digits of another script for those from 0 to 9."""
    for digit in range(10):
        texts = pc.replace_substring(texts, str(digit), chr(ord(zero) + digit))
    return texts


def zero_of(texts: Sequence[str]) -> str:
    """Return the zero of the one other script whose digits stand in texts; nothing without one."""
    found = {c for text in texts for c in text if c.isdecimal() and not c.isascii()}
    zeros = {chr(ord(c) - int(c)) for c in found}
    return zeros.pop() if len(zeros) == 1 else ""


def are_plain(trimmed: pa.Array) -> bool:
    """Say whether all texts are plain numbers."""
    right = pc.match_substring_regex(trimmed, _PLAIN)
    return bool(pc.all(right).as_py()) and len(trimmed) > 0


def common_end(texts: Sequence[str]) -> str | None:
    """Return what all scores are out of, as it stands behind them; None for other texts."""
    ends = {found[0] if (found := _OUT_OF.search(text)) else None for text in texts}
    return ends.pop() if len(ends) == 1 else None


def below_zero(texts: Sequence[str]) -> NumberText | None:
    """Return what stands around numbers above and below zero, where words or brackets tell them.

    None where texts have anything but two ways, of which one is known to be below zero.
    """
    ways = Counter((f["p"], f["s"]) for text in texts if (f := _AFFIXES.match(text)))
    if len(ways) != 2 or sum(ways.values()) != len(texts):
        return None
    (one, other) = ways
    for above, below in ((one, other), (other, one)):
        if _is_below(above, below):
            return NumberText(prefix=above[0], suffix=above[1], below=below)
    return None


def _is_below(above: tuple[str, str], below: tuple[str, str]) -> bool:
    """Say whether one way to write a number is known to say that it is below zero."""
    for left, right in _BRACKETS:
        if below == (f"{left}{above[0]}", f"{above[1]}{right}"):
            return True
    if any(below == (f"{sign}{above[0]}", above[1]) for sign in _SIGNS):
        return True
    same = 0 if above[1] == below[1] else 1
    if above[1 - same] != below[1 - same]:
        return False
    words = tuple(way[same].strip(" .\u00b0").lower() for way in (above, below))
    signs = same == 0 and words == ("+", "-")
    return words in _WORDS and above[1 - same] == "" and not signs


def above_zero(trimmed: pa.Array, spelled: NumberText) -> pa.Array:
    """Return numbers bare of what stands around them, those below zero with a minus."""
    assert spelled.below is not None
    for (left, right), sign in (((spelled.prefix, spelled.suffix), ""), (spelled.below, "-")):
        shape = rf"^{re.escape(left.strip())}\s*([.,]?\d.*?)\s*{re.escape(right.strip())}$"
        trimmed = pc.replace_substring_regex(trimmed, shape, rf"{sign}\1")
    return trimmed


def flags_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the few marks that stand beside some of many numbers; none of other texts."""
    found: set[str] = set()
    plain = 0
    for text in texts:
        shape = _AFFIXES.match(text)
        if shape is None:
            return ()
        beside = [x for x in (shape["p"].rstrip(" +-"), shape["s"].rstrip()) if x]
        if len(beside) > 1 or not all(map(_FLAG.fullmatch, beside)):
            return ()
        plain += not beside
        found |= {x.strip() for x in beside}
    status = all(set(flag.strip("()[]")) <= _STATUS for flag in found)
    few = 0 < len(found) <= _MOST_FLAGS and (_SOME if status else 2) * plain >= len(texts)
    return tuple(sorted(found)) if few else ()


def without_flags(trimmed: pa.Array, flags: Sequence[str]) -> pa.Array:
    """Return texts without a mark that stands before or behind a number."""
    marks = "|".join(re.escape(flag) for flag in sorted(flags, key=len, reverse=True))
    bare = pc.replace_substring_regex(trimmed, rf"^(?:{marks})\s*(.*\d.*)$", r"\1")
    return pc.replace_substring_regex(bare, rf"^(.*\d.*?)\s*(?:{marks})$", r"\1")
