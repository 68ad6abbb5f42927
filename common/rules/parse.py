"""One line of text to a rule, by descent; nothing is ever evaluated.

::

    a < b <= c + 3 days            a = b + c * 2                  a = difference(b, c)
    a null iff b null              a null if b = x and c > 3      a null unless b in (x, y)
    null together: a, b            never a = x and b = y          keep a > 3
    one of: a, b, c                a step 1000                    unique: a, b
    a like "[A-Z]{2}[0-9]{6}"      together: a, b from places     a = lookup(places, b)

Names with spaces or other marks stand in `backquotes`, one of a name itself twice, values in quotes
or, without marks, bare.
A bare word on the right of a comparison is a column where one has that name, else a value.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from silosynth.common.rules.pattern import PatternFault, parse_pattern
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
    Together,
    Unique,
)
from silosynth.common.rules.spell import KEYWORDS, UNITS, UNREVIEWED, RuleFault, Token, split

_ORDERS = ("<", "<=")
_COMPARED = ("=", "!=", "<", "<=", ">", ">=")
_MOST = 1000
_DEPTH = 40


def parse_rule(line: str, *, columns: Collection[str]) -> Rule:
    """Return the rule of a line; raise RuleFault with the column of the line where it stumbles.

    >>> parse_rule("start <= end", columns=["start", "end"])
    Order(terms=(Column(name='start'), Column(name='end')), signs=('<=',))
    """
    return _Reader(line, columns=frozenset(columns)).rule()


class _Reader:
    """Read the tokens of one line from left to right."""

    def __init__(self, line: str, *, columns: frozenset[str]) -> None:
        self._line, self._columns = line, columns
        if len(line) > _MOST:
            raise RuleFault(f"is longer than {_MOST} signs", line=line[:40], place=_MOST + 1)
        self._tokens = split(UNREVIEWED.sub(lambda mark: " " * len(mark.group()), line))
        self._at = self._depth = 0

    def rule(self) -> Rule:
        """Return the whole line as a rule."""
        rule = self._begin()
        if self._now.kind != "end":
            self._fail(f"did not expect {self._now.text!r} here")
        return rule

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _fail(self, what: str, *, place: int | None = None) -> NoReturn:
        raise RuleFault(what, line=self._line, place=place or self._now.place)

    def _take(self, *texts: str) -> str | None:
        """Step over a word or sign if it stands here."""
        token = self._now
        if token.kind in ("word", "sign") and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._fail(f"expected {text!r}")

    def _begin(self) -> Rule:
        if self._take("never"):
            return Never(self._either())
        if self._take("keep"):
            return Keep(self._either())
        if self._take("one"):
            self._need("of")
            return OneOf(self._list(least=2))
        if self._take("unique"):
            return Unique(self._list(least=1))
        if self._take("together"):
            columns = self._list(least=2)
            if not self._take("from"):
                self._fail("expected 'from' and a reference, a public table of the schema")
            return Together(columns, self._any_name())
        if self._take("null"):
            self._need("together")
            return NullTogether(self._list(least=2))
        return self._about_column()

    def _about_column(self) -> Rule:
        first = self._now
        left = self._sum()
        if self._now.text in _ORDERS and self._now.kind == "sign":
            return self._order(left)
        if self._now.kind == "sign" and self._now.text in (">", ">="):
            self._fail("write an order from small to large, with < or <=")
        if not isinstance(left, Column):
            self._fail("expected < or <=")
        if self._take("="):
            return self._derived(left.name)
        if self._take("null"):
            word = self._take("iff", "if", "unless")
            if word is None:
                self._fail("expected 'iff', 'if' or 'unless'")
            return NullWhen(left.name, word, self._either())
        if self._take("step"):
            return Step(left.name, self._positive())
        if self._take("like"):
            return Like(left.name, self._pattern())
        return self._fail(f"expected <, <=, =, 'null', 'step' or 'like' after {first.text!r}")

    def _order(self, left: Expression) -> Order:
        terms, signs = [left], []
        while (sign := self._take(*_ORDERS)) is not None:
            signs.append(sign)
            terms.append(self._sum())
        return Order(tuple(terms), tuple(signs))

    def _derived(self, column: str) -> Rule:
        if not self._take("difference"):
            return Derived(column, self._sum())
        self._need("(")
        high = self._column()
        self._need(",")
        low = self._column()
        self._need(")")
        return Difference(column, high, low)

    def _positive(self) -> float:
        token = self._now
        if token.kind != "number" or float(token.text) <= 0:
            self._fail("expected a number above 0")
        self._at += 1
        return float(token.text)

    def _pattern(self) -> str:
        token = self._now
        if token.kind != "text":
            self._fail('expected a pattern in quotes, such as "[A-Z]{2}[0-9]{6}"')
        self._at += 1
        try:
            parse_pattern(token.text)
        except PatternFault as err:
            self._fail(str(err), place=token.place)
        return token.text

    def _list(self, *, least: int) -> tuple[str, ...]:
        self._need(":")
        places, names = [self._now.place], [self._column()]
        while self._take(","):
            places.append(self._now.place)
            names.append(self._column())
        for i, name in enumerate(names):
            if name in names[:i]:
                self._fail(f"column {name!r} stands twice", place=places[i])
        if len(names) < least:
            self._fail(f"expected {least} columns at least")
        return tuple(names)

    def _column(self) -> str:
        token = self._now
        if token.kind == "name" or (token.kind == "word" and token.text not in KEYWORDS):
            if token.text not in self._columns:
                self._fail(f"there is no column {token.text!r}")
            self._at += 1
            return token.text
        return self._fail("expected a column" + (f", not {token.text!r}" if token.text else ""))

    def _sum(self) -> Expression:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = Arithmetic(sign, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._factor()
        while (sign := self._take("*", "/", "//", "%")) is not None:
            left = Arithmetic(sign, left, self._factor())
        return left

    def _factor(self) -> Expression:
        if self._take("("):
            with_brackets = self._deeper(self._sum)
            self._need(")")
            return with_brackets
        if self._take("-"):
            return Arithmetic("-", Number(0.0), self._deeper(self._factor))
        token = self._now
        if token.kind == "number":
            self._at += 1
            unit = self._now.text.removesuffix("s")
            if self._now.kind == "word" and unit in UNITS:
                self._at += 1
                return Span(float(token.text), unit)
            return Number(float(token.text))
        if token.text == "lookup" and token.kind == "word":
            return self._lookup()
        return Column(self._column())

    def _lookup(self) -> Lookup:
        self._at += 1
        self._need("(")
        reference = self._any_name()
        self._need(",")
        column = self._column()
        field = self._any_name() if self._take(",") else ""
        self._need(")")
        return Lookup(reference, column, field)

    def _any_name(self) -> str:
        token = self._now
        if token.kind not in ("word", "name"):
            self._fail("expected a name")
        self._at += 1
        return token.text

    def _deeper(self, read: object) -> Expression:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail("is nested too deeply")
        result: Expression = read()  # type: ignore[operator]
        self._depth -= 1
        return result

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._negated()]
        while self._take("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _negated(self) -> Condition:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail("is nested too deeply")
        part = Not(self._negated()) if self._take("not") else self._atom()
        self._depth -= 1
        return part

    def _atom(self) -> Condition:
        start = self._at
        if self._take("("):
            # Brackets hold a condition or part of an expression: which, the words inside say.
            try:
                part = self._either()
                self._need(")")
            except RuleFault as wrong:
                self._at = start
                try:
                    return self._compare()
                except RuleFault as other:
                    raise max(wrong, other, key=lambda f: f.place) from None
            if self._now.kind != "sign" or self._now.text == ")":
                return part
            self._at = start
        return self._compare()

    def _compare(self) -> Condition:
        left = self._sum()
        if isinstance(left, Column):
            if self._take("null"):
                return IsNull(left.name)
            if self._take("not"):
                self._need("null")
                return IsNull(left.name, null=False)
            if self._take("in"):
                return Among(left.name, self._values())
        sign = self._take(*_COMPARED)
        if sign is None:
            self._fail("expected a comparison, 'null', 'not null' or 'in'")
        return Compare(left, sign, self._right())

    def _right(self) -> Expression | str | bool:
        token = self._now
        if token.kind == "text":
            self._at += 1
            return token.text
        if token.kind == "word" and token.text not in self._columns:
            if token.text in ("true", "false"):
                self._at += 1
                return token.text == "true"
            if token.text not in KEYWORDS:
                self._at += 1
                return token.text
        return self._sum()

    def _values(self) -> tuple[Scalar, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _value(self) -> Scalar:
        token = self._now
        minus = token.kind == "sign" and token.text == "-"
        if minus:
            self._at += 1
            token = self._now
        if token.kind == "number":
            self._at += 1
            return -float(token.text) if minus else float(token.text)
        if minus or token.kind not in ("word", "text"):
            self._fail("expected a value")
        self._at += 1
        if token.kind == "word" and token.text in ("true", "false"):
            return token.text == "true"
        return token.text
