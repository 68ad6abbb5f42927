"""The words of a rule, each with its column in the line."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

KEYWORDS = frozenset(
    {"null", "iff", "if", "unless", "never", "keep", "one", "of", "together", "step", "unique"}
    | {"difference", "and", "or", "not", "in", "true", "false", "like", "lookup", "from"}
)
LARGEST = 1e18
"""Numbers of a rule lie within: no sum or product of a few of them and a column overflows."""
UNREVIEWED = re.compile(r"^\s*unreviewed:\s*")
"""What stands before a rule that was read off data, until a person has vouched for it."""
UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}
"""Units of time in microseconds; each may have an s at its end."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[^\W\d]\w*)"
    r"|`(?P<name>[^`]+)`|\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^'\\]|\\.)*)'"
    r"|(?P<sign><=|>=|!=|//|[-<>=+*/%(),:]))"
)


class RuleFault(ValueError):
    """A rule cannot be read: ``place`` is the column of the line, from 1."""

    def __init__(self, what: str, *, line: str, place: int) -> None:
        self.what, self.line, self.place = what, line, place
        super().__init__(f"rule {line!r}, column {place}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word: ``kind`` is number, word, name, text, sign or end."""

    kind: str
    text: str
    place: int


def split(line: str) -> tuple[Token, ...]:
    """Return the tokens of a line, the last of kind end."""
    tokens: list[Token] = []
    at = 0
    while line[at:].strip():
        found = _TOKEN.match(line, at)
        if found is None:
            start = at + len(line[at:]) - len(line[at:].lstrip())
            raise RuleFault(_odd(line[start]), line=line, place=start + 1)
        kind = str(found.lastgroup)
        text = found.group(kind)
        start = found.start(kind)
        if kind == "number" and not abs(float(text)) <= LARGEST:
            raise RuleFault(f"{text} is beyond {LARGEST:g}", line=line, place=start + 1)
        if kind in ("double", "single", "name"):
            start -= 1
        if kind in ("double", "single"):
            kind, text = "text", re.sub(r"\\([\\\"'])", r"\1", text)
        at = found.end()
        if kind == "word":
            at = _end_of_word(line, at)
            text = line[start:at]
        tokens.append(Token(kind=kind, text=text, place=start + 1))
    return (*tokens, Token(kind="end", text="", place=len(line.rstrip()) + 1))


def _end_of_word(line: str, at: int) -> int:
    """Return where a word ends; marks over and beside letters are part of it, as in Hindi."""
    while at < len(line) and (
        line[at].isalnum() or line[at] == "_" or unicodedata.category(line[at]).startswith("M")
    ):
        at += 1
    return at


def _odd(mark: str) -> str:
    if mark in "\"'`":
        return "this quote is never closed"
    return f"{mark!r} means nothing in a rule; put names with such marks into `backquotes`"


def spell_name(name: str) -> str:
    """Return a column's name as a rule writes it."""
    plain = re.fullmatch(r"[^\W\d]\w*", name) and name not in KEYWORDS
    return name if plain and name.rstrip("s") not in UNITS else f"`{name}`"


def spell_text(text: str) -> str:
    """Return a value as a rule writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spell_number(value: float) -> str:
    """Return a number without a sign as a rule writes it."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
