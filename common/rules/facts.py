"""What a rule may know of a column, and whether the rule makes sense of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NoReturn

from silosynth.common.rules.rule import (
    Among,
    Arithmetic,
    Both,
    Column,
    Compare,
    Condition,
    Derived,
    Difference,
    Either,
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
    Unique,
    columns_of,
)
from silosynth.common.rules.spell import RuleFault, split


class Kind(StrEnum):
    """What can be worked out with a column's values."""

    NUMBER = "a number"
    INSTANT = "an instant"
    SPAN = "a length of time"
    WORD = "a listed value"
    TRUTH = "true or false"
    KEY = "an identifier"
    OTHER = "nothing to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A column as rules see it: ``words`` are its listed values, in order."""

    name: str
    kind: Kind
    missing: bool = False
    listed: bool = False
    whole: bool = False
    words: tuple[str, ...] = ()


Facts = Mapping[str, Fact]

_ARITHMETIC = {
    ("+", Kind.INSTANT, Kind.SPAN): Kind.INSTANT,
    ("+", Kind.SPAN, Kind.INSTANT): Kind.INSTANT,
    ("-", Kind.INSTANT, Kind.SPAN): Kind.INSTANT,
    ("-", Kind.INSTANT, Kind.INSTANT): Kind.SPAN,
    ("+", Kind.SPAN, Kind.SPAN): Kind.SPAN,
    ("-", Kind.SPAN, Kind.SPAN): Kind.SPAN,
    ("%", Kind.SPAN, Kind.SPAN): Kind.SPAN,
    ("/", Kind.SPAN, Kind.SPAN): Kind.NUMBER,
    ("//", Kind.SPAN, Kind.SPAN): Kind.NUMBER,
    ("*", Kind.SPAN, Kind.NUMBER): Kind.SPAN,
    ("*", Kind.NUMBER, Kind.SPAN): Kind.SPAN,
    **{(sign, Kind.NUMBER, Kind.NUMBER): Kind.NUMBER for sign in ("+", "-", "*", "/", "//", "%")},
}


def check_rule(rule: Rule, *, line: str, facts: Facts) -> None:
    """Raise RuleFault unless the rule's columns have the kinds that it needs."""
    _Check(line, facts).rule(rule)


def instant(text: str) -> float:
    """Return microseconds since 1970 in UTC; raise ValueError for what is no date."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


@dataclass(frozen=True, slots=True)
class _Check:
    line: str
    facts: Facts

    def fail(self, what: str, *, name: str = "") -> NoReturn:
        places = [t.place for t in split(self.line) if name and t.text == name]
        raise RuleFault(what, line=self.line, place=places[0] if places else 1)

    def rule(self, rule: Rule) -> None:
        if not columns_of(rule):
            self.fail("names no column")
        for name in columns_of(rule):
            if self.facts[name].kind is Kind.OTHER:
                self.fail(f"column {name!r} has no values that a rule can use", name=name)
        if isinstance(rule, Order):
            self.order(rule)
        elif isinstance(rule, Derived):
            found = self.expression(rule.value)
            if not (isinstance(rule.value, Lookup) and rule.column not in columns_of(rule.value)):
                self.derived(rule.column, found, of=columns_of(rule.value))
        elif isinstance(rule, Difference):
            sides = (self.facts[rule.high].kind, self.facts[rule.low].kind)
            kind = _ARITHMETIC.get(("-", *sides))
            if kind is not Kind.NUMBER:
                self.fail(f"{rule.high!r} and {rule.low!r} are not numbers", name=rule.high)
            self.derived(rule.column, kind, of=(rule.high, rule.low))
        elif isinstance(rule, NullWhen):
            self.nullable(rule.column)
            self.condition(rule.condition)
        elif isinstance(rule, NullTogether):
            for name in rule.columns:
                self.nullable(name)
        elif isinstance(rule, Never | Keep):
            self.condition(rule.condition)
        elif isinstance(rule, OneOf):
            self.one_of(rule.columns)
        elif isinstance(rule, Step):
            self.number(rule.column)
        elif isinstance(rule, Unique):
            self.unique(rule.columns)
        elif isinstance(rule, Like) and self.facts[rule.column].kind is not Kind.KEY:
            self.fail(f"column {rule.column!r} is no identifier", name=rule.column)

    def order(self, rule: Order) -> None:
        kinds = {self.expression(term) for term in rule.terms}
        if len(kinds) > 1 or kinds & {Kind.KEY, Kind.TRUTH}:
            self.fail(f"cannot order {' and '.join(sorted(kinds))}", name=columns_of(rule)[0])
        if kinds == {Kind.WORD}:
            self.fail("order listed values by 'never'", name=columns_of(rule)[0])

    def derived(self, column: str, kind: Kind, *, of: tuple[str, ...]) -> None:
        if column in of:
            self.fail(f"column {column!r} follows from itself", name=column)
        fact = self.facts[column]
        if fact.listed or fact.kind not in (Kind.NUMBER, Kind.INSTANT, Kind.SPAN):
            self.fail(f"column {column!r} is {fact.kind}, and cannot be worked out", name=column)
        if kind is Kind.SPAN and fact.kind is not kind:
            self.fail("is a length of time; divide it, by 1 day for one", name=column)
        if kind is not fact.kind:
            self.fail(f"column {column!r} is {fact.kind}, and not {kind}", name=column)

    def nullable(self, name: str) -> None:
        if self.facts[name].kind is Kind.KEY:
            self.fail(f"column {name!r} is an identifier", name=name)
        if not self.facts[name].missing:
            self.fail(f"column {name!r} is never missing; declare missing: true", name=name)

    def number(self, name: str) -> None:
        fact = self.facts[name]
        if fact.kind is not Kind.NUMBER or fact.listed:
            self.fail(f"column {name!r} is {fact.kind}, and a number is needed", name=name)

    def one_of(self, columns: tuple[str, ...]) -> None:
        for name in columns:
            if self.facts[name].kind is not Kind.TRUTH or self.facts[name].missing:
                self.fail(f"column {name!r} is not true or false in every row", name=name)

    def unique(self, columns: tuple[str, ...]) -> None:
        if not any(self.facts[name].kind is Kind.KEY for name in columns):
            self.fail("none of the columns is an identifier; declare one as such", name=columns[0])

    def expression(self, part: Expression) -> Kind:
        if isinstance(part, Column):
            return self.facts[part.name].kind
        if isinstance(part, Lookup):
            return Kind(part.gives)
        if isinstance(part, Span):
            return Kind.SPAN
        if not isinstance(part, Arithmetic):
            return Kind.NUMBER
        sides = (self.expression(part.left), self.expression(part.right))
        if part.sign in ("/", "//", "%") and part.right == Number(0.0):
            self.fail("divides by 0, which leaves null in every row", name=part.sign)
        kind = _ARITHMETIC.get((part.sign, *sides))
        if kind is None:
            named = columns_of(part)
            what = f"cannot work out {sides[0]} {part.sign} {sides[1]}"
            self.fail(what, name=named[0] if named else "")
        return kind

    def condition(self, part: Condition) -> None:
        if isinstance(part, Both | Either):
            for inner in part.parts:
                self.condition(inner)
        elif isinstance(part, Not):
            self.condition(part.part)
        elif isinstance(part, Among):
            for value in part.values:
                self.value(part.column, value)
        elif isinstance(part, IsNull):
            if self.facts[part.column].kind is Kind.KEY:
                self.fail(f"column {part.column!r} is an identifier", name=part.column)
        else:
            self.compare(part)

    def compare(self, part: Compare) -> None:
        left = self.expression(part.left)
        first = columns_of(part.left)
        if left is Kind.KEY:
            self.fail("an identifier cannot be compared", name=first[0])
        if not isinstance(part.right, str | bool):
            right = self.expression(part.right)
            if Kind.INSTANT in (left, right) and Kind.NUMBER in (left, right):
                self.fail(
                    "cannot compare an instant with a number; write a date in quotes, as "
                    "'2020-01-31'",
                    name=first[0] if first else "",
                )
            if right is not left or left is Kind.WORD:
                self.fail(f"cannot compare {left} with {right}", name=first[0] if first else "")
        elif isinstance(part.left, Column):
            self.value(part.left.name, part.right)
        else:
            self.fail(f"cannot compare {left} with {part.right!r}", name=str(part.right))

    def value(self, column: str, value: Scalar) -> None:
        """Raise unless the column can hold the value."""
        fact, shown = self.facts[column], spelled(value)
        if fact.kind is Kind.INSTANT and isinstance(value, str):
            try:
                instant(value)
            except ValueError:
                self.fail(f"{shown!r} is not a date such as 2020-01-31", name=shown)
        elif fact.kind is Kind.TRUTH and isinstance(value, bool):
            return
        elif fact.listed:
            if shown not in fact.words:
                self.fail(f"{shown!r} is not a value of column {column!r}", name=shown)
        elif fact.kind is not Kind.NUMBER or isinstance(value, str | bool):
            self.fail(f"column {column!r} is {fact.kind}, and never {shown!r}", name=shown)


def spelled(value: Scalar) -> str:
    """Return a value as a listed value spells it."""
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
