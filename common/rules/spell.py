"""The words of a rule, each with its column in the line; and rules back to text.

Reading what is printed gives the same rule.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from silosynth.common.rules.rule import (
    Among,
    Both,
    Column,
    Compare,
    Condition,
    Derived,
    Difference,
    Expression,
    IsNull,
    Keep,
    Like,
    Lookup,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Number,
    OneOf,
    Order,
    Rule,
    Scalar,
    Span,
    Step,
    Together,
    Unique,
)

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
    r"|`(?P<name>(?:[^`]|``)+)`(?!`)|\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^'\\]|\\.)*)'"
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
        if kind == "name":
            text = text.replace("``", "`")
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
    """Return a column's name as a rule writes it: a backquote in it stands twice."""
    plain = re.fullmatch(r"[^\W\d]\w*", name) and name not in KEYWORDS
    return name if plain and name.rstrip("s") not in UNITS else f"`{name.replace('`', '``')}`"


def spell_text(text: str) -> str:
    """Return a value as a rule writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spell_number(value: float) -> str:
    """Return a number without a sign as a rule writes it."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def spell(rule: Rule) -> str:
    """Return a rule as one line.

    >>> spell(Order((Column("start"), Column("end")), ("<=",)))
    'start <= end'
    """
    if isinstance(rule, Order):
        words = [_expression(rule.terms[0])]
        for sign, term in zip(rule.signs, rule.terms[1:], strict=True):
            words += [sign, _expression(term)]
        return " ".join(words)
    if isinstance(rule, Derived):
        return f"{spell_name(rule.column)} = {_expression(rule.value)}"
    if isinstance(rule, Difference):
        high, low = spell_name(rule.high), spell_name(rule.low)
        return f"{spell_name(rule.column)} = difference({high}, {low})"
    if isinstance(rule, NullWhen):
        return f"{spell_name(rule.column)} null {rule.word} {_condition(rule.condition)}"
    if isinstance(rule, Step):
        return f"{spell_name(rule.column)} step {spell_number(rule.size)}"
    if isinstance(rule, Like):
        return f"{spell_name(rule.column)} like {spell_text(rule.pattern)}"
    if isinstance(rule, Never | Keep):
        return f"{type(rule).__name__.lower()} {_condition(rule.condition)}"
    if isinstance(rule, Together):
        columns = ", ".join(spell_name(c) for c in rule.columns)
        return f"together: {columns} from {spell_name(rule.reference)}"
    begin = {NullTogether: "null together", OneOf: "one of", Unique: "unique"}[type(rule)]
    return f"{begin}: {', '.join(spell_name(c) for c in rule.columns)}"


def _expression(part: Expression, *, inside: bool = False) -> str:
    if isinstance(part, Column):
        return spell_name(part.name)
    if isinstance(part, Number):
        return spell_number(part.value)
    if isinstance(part, Span):
        return f"{spell_number(part.count)} {part.unit}s"
    if isinstance(part, Lookup):
        named = [part.reference, part.column, *([part.field] if part.field else [])]
        return f"lookup({', '.join(spell_name(n) for n in named)})"
    left, right = _expression(part.left, inside=True), _expression(part.right, inside=True)
    text = f"{left} {part.sign} {right}"
    return f"({text})" if inside else text


def _condition(part: Condition, *, inside: bool = False) -> str:
    if isinstance(part, Compare):
        right = part.right
        shown = _scalar(right) if isinstance(right, str | bool) else _expression(right)
        return f"{_expression(part.left, inside=True)} {part.sign} {shown}"
    if isinstance(part, Among):
        return f"{spell_name(part.column)} in ({', '.join(_scalar(v) for v in part.values)})"
    if isinstance(part, IsNull):
        return f"{spell_name(part.column)} {'null' if part.null else 'not null'}"
    if isinstance(part, Not):
        return f"not {_condition(part.part, inside=True)}"
    word = " and " if isinstance(part, Both) else " or "
    text = word.join(_condition(p, inside=True) for p in part.parts)
    return f"({text})" if inside else text


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return spell_text(value) if isinstance(value, str) else spell_number(value)
