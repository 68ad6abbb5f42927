"""Whether rules leave a row, by how far the values of columns that follow from others can reach.

Each such column is written as a sum of columns that are not worked out, and each rule as sums that
may not exceed 0; what bounds leave of every sum is then narrowed until it rests. That is done for
each way in which values may be missing, since a sum with a missing part is missing. So what is
found is so; what contradicts itself in ways that bounds do not show is found when rows are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

from silosynth.common.rules.facts import Facts, Kind
from silosynth.common.rules.hold import as_number
from silosynth.common.rules.linear import (
    ALWAYS,
    Limit,
    Sum,
    Ways,
    all_of,
    anything,
    between,
    compared,
    made_by,
    number,
    rested,
    scale_end,
    without_one,
)
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
    Lookup,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Number,
    Order,
    Rule,
    Span,
    columns_of,
)
from silosynth.common.rules.spell import UNITS, spell

_ROUNDS = 16
_MOST_NULLABLE = 8
_MOST_LIMITS = 64
_NEAR = 1e-9
_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a column's values can lie: ``rounded`` says how far a sum is moved to be one.

    ``sure`` says that no row lacks a value.
    """

    low: float
    high: float
    whole: bool = False
    sure: bool = True
    rounded: float = 0.0


def check_reach(
    rules: Sequence[Rule],
    *,
    follows: Mapping[str, tuple[Expression, Rule]],
    reaches: Mapping[str, Reach],
    facts: Facts,
) -> None:
    """Raise ValueError where rules leave no row, naming those that leave none.

    Args:
        follows: what each column that is worked out is, and by which rule; without circles.
        reaches: how far each number, instant and length of time can lie.
    """
    broken: dict[Rule, None] = {}
    for null in _nulls(rules, follows=follows, reaches=reaches, facts=facts):
        found = _Checker(follows, reaches, facts, null).check(rules)
        if not found:
            return
        broken |= dict.fromkeys(found)
    if broken:
        raise ValueError(_said(list(broken)))


def _nulls(
    rules: Sequence[Rule],
    *,
    follows: Mapping[str, tuple[Expression, Rule]],
    reaches: Mapping[str, Reach],
    facts: Facts,
) -> Iterator[frozenset[str]]:
    """Yield which columns are missing in a row, few first; nothing where they are too many."""
    named = dict.fromkeys(n for rule in rules for n in columns_of(rule) if n not in follows)
    free = [n for n in named if facts[n].missing or (n in reaches and not reaches[n].sure)]
    if len(free) <= _MOST_NULLABLE:
        for count in range(len(free) + 1):
            yield from map(frozenset, combinations(free, count))


class _Checker:
    """Own what is left of each column while rules take from it."""

    def __init__(
        self,
        follows: Mapping[str, tuple[Expression, Rule]],
        reaches: Mapping[str, Reach],
        facts: Facts,
        null: frozenset[str],
    ) -> None:
        self._follows, self._reaches, self._facts, self._null = follows, reaches, facts, null
        self._sums: dict[str, Sum] = {}
        self._box = {n: (r.low, r.high) for n, r in reaches.items() if n not in follows}
        self._why: dict[str, frozenset[Rule]] = {n: frozenset() for n in self._box}

    def check(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        """Return rules that together leave no row; none where bounds leave one."""
        for name, (_, rule) in self._follows.items():
            if not all(self._can(limit) for limit in self._own(name)):
                return (rule,)
        asked = [(rule, w) for rule in rules for w in self._ways_of(rule)]
        for _ in range(_ROUNDS):
            before, left = dict(self._box), []
            for rule, ways in asked:
                kept = [way for way in ways if all(self._can(limit) for limit in way)]
                if not kept:
                    parts = [part for way in ways for part, _ in way]
                    return (*self._behind(rule), *(r for p in parts for r in self._reasons(p)))
                left.append((rule, kept))
                for limit in kept[0] if len(kept) == 1 else ():
                    self._narrow(limit, by=rule)
            if before == self._box:
                break
            asked = left
        return self._check_pairs([(r, limit) for r, w in asked if len(w) == 1 for limit in w[0]])

    def _check_pairs(self, limits: Sequence[tuple[Rule, Limit]]) -> tuple[Rule, ...]:
        """Return two rules that leave nothing together, as of which of two columns is more."""
        for (rule, one), (by, other) in combinations(limits[:_MOST_LIMITS], 2):
            if not all(self._can(limit) for limit in without_one(one, other)):
                reasons = self._reasons(one[0]) | self._reasons(other[0])
                return (*self._behind(rule), *self._behind(by), *reasons)
        return ()

    def _behind(self, rule: Rule) -> Iterable[Rule]:
        """Return a rule with those that work out what it names."""
        made = (self._column(n).rules for n in columns_of(rule))
        return (rule, *frozenset[Rule]().union(*made))

    def _own(self, name: str) -> Iterator[Limit]:
        """Yield that something of what is worked out lies within the bounds of its column.

        A column that follows is not held to its bounds; one that never meets them is a mistake.
        """
        own, reach = self._column(name), self._reaches.get(name)
        if own.sure and not own.gone and reach is not None:
            above = own.plus(number(-reach.high))
            below = own.times(-1).plus(number(reach.low))
            yield from ((above, False), (below, False))

    def _ways_of(self, rule: Rule) -> Iterator[Ways]:
        """Yield what a rule asks: each must hold."""
        if isinstance(rule, Order):
            terms = [self._sum(t) for t in rule.terms]
            for sign, (left, right) in zip(rule.signs, pairwise(terms), strict=True):
                both = left.plus(right.times(-1))
                if both.sure and not both.gone:
                    yield [((both, sign == "<"),)]
        elif isinstance(rule, Keep | Never):
            yield self._ways(rule.condition, met=isinstance(rule, Keep))
        elif isinstance(rule, NullWhen):
            null = self._is_null(rule.column)
            if null is not None and (rule.word == "iff" or not null):
                met = null if rule.word == "iff" else rule.word == "unless"
                yield self._ways(rule.condition, met=met)
        elif isinstance(rule, NullTogether):
            nulls = {self._is_null(c) for c in rule.columns}
            if nulls >= {True, False}:
                yield []

    def _is_null(self, name: str) -> bool | None:
        """Say whether a column is missing; None where that is not known."""
        if name in self._null:
            return True
        if name not in self._follows:
            return False
        own = self._column(name)
        return True if own.gone else False if own.sure else None

    def _column(self, name: str) -> Sum:
        """Return a column as a sum of those that are not worked out."""
        if name in self._sums:
            return self._sums[name]
        reach = self._reaches.get(name)
        if name in self._null:
            made = replace(anything(), gone=True)
        elif reach is None:
            made = anything()
        elif name not in self._follows:
            made = Sum(terms={name: 1.0}, whole=reach.whole)
        else:
            value, rule = self._follows[name]
            made = made_by(self._sum(value), rule)
            if not (reach.whole and made.whole):
                apart = reach.rounded
                made = replace(made, low=made.low - apart, high=made.high + apart)
                made = replace(made, whole=reach.whole)
        self._sums[name] = made
        return made

    def _sum(self, part: Expression) -> Sum:
        if isinstance(part, Column):
            return self._column(part.name)
        if isinstance(part, Number):
            return number(part.value)
        if isinstance(part, Span):
            return number(part.count * UNITS[part.unit])
        if isinstance(part, Lookup):
            values = [v for _, v in part.pairs] or [-math.inf, math.inf]
            gone = part.column in self._null
            return replace(between(min(values), max(values)), sure=False, gone=gone)
        left, right = self._sum(part.left), self._sum(part.right)
        if part.sign in ("+", "-"):
            return left.plus(right if part.sign == "+" else right.times(-1))
        return self._joined(part, left, right)

    def _joined(self, part: Arithmetic, left: Sum, right: Sum) -> Sum:
        """Return a product, quotient or rest: a sum where one side is a number, else its ends."""
        if part.sign == "*" and not left.terms and left.low == left.high:
            left, right = right, left
        point = right.low if not right.terms and right.low == right.high else None
        if part.sign == "*" and point is not None:
            return left.times(point)
        if part.sign == "/" and point:
            return replace(left.times(1 / point), whole=False)
        ends, others = self._ends(left), self._ends(right)
        joined = replace(left.plus(right), terms={}, low=0.0, high=0.0, whole=True)
        if part.sign == "*":
            found = [scale_end(a, b) for a, b in product(ends, others)]
            whole = left.whole and right.whole
            return replace(joined, low=min(found), high=max(found), whole=whole)
        if point is not None and point > 0 and part.sign == "//":
            low, high = (math.floor(e / point) if math.isfinite(e) else e for e in ends)
            return replace(joined, low=low, high=high)
        if point is not None and point > 0 and part.sign == "%":
            whole = left.whole and right.whole
            return replace(joined, low=0.0, high=point - whole, whole=whole)
        return replace(anything(), gone=joined.gone, rules=joined.rules)

    def _ways(self, part: Condition, *, met: bool) -> Ways:
        """Return in which ways a condition is met, or is not."""
        if isinstance(part, Not):
            return self._ways(part.part, met=not met)
        if isinstance(part, Both | Either):
            parts = [self._ways(p, met=met) for p in part.parts]
            either = [way for ways in parts for way in ways]
            return all_of(parts) if isinstance(part, Both) == met else either
        if isinstance(part, IsNull):
            null = self._is_null(part.column)
            return ALWAYS if null is None or (null == part.null) == met else []
        if isinstance(part, Among):
            if met and part.column in self._null:
                return []
            if not met or self._facts[part.column].kind is Kind.WORD:
                return ALWAYS
            values = [as_number(part.column, v, facts=self._facts) for v in part.values]
            own = self._column(part.column)
            return [compared(own, "=", number(v)) for v in values]
        return self._ways_to_compare(part, met=met)

    def _ways_to_compare(self, part: Compare, *, met: bool) -> Ways:
        left = self._sum(part.left)
        right: Sum | None
        if not isinstance(part.right, str | bool):
            right = self._sum(part.right)
        elif isinstance(part.left, Column) and self._facts[part.left.name].kind is Kind.INSTANT:
            right = number(as_number(part.left.name, part.right, facts=self._facts))
        else:
            right = None
        if left.gone or (right is not None and right.gone):
            return [] if met else ALWAYS
        # A comparison with null is not met, so that nothing follows from its not being met.
        if right is None or (not met and not (left.sure and right.sure)):
            return ALWAYS
        sign = part.sign if met else _OPPOSITE[part.sign]
        if sign == "!=":
            return [compared(left, s, right) for s in ("<", ">")]
        return [compared(left, sign, right)]

    def _ends(self, part: Sum, *, but: str = "") -> tuple[float, float]:
        """Return how far a sum can lie, without one of its columns."""
        low, high = part.low, part.high
        for name, factor in part.terms.items():
            if name != but:
                ends = sorted(scale_end(e, factor) for e in self._box[name])
                low, high = low + ends[0], high + ends[1]
        return low, high

    def _can(self, limit: Limit) -> bool:
        part, strict = rested(limit)
        low, _ = self._ends(part)
        near = _NEAR * max(1.0, *(abs(e) for e in (part.low, part.high) if math.isfinite(e)), 1.0)
        return low < 0 if strict else low <= near

    def _reasons(self, part: Sum) -> frozenset[Rule]:
        return part.rules.union(*(self._why[n] for n in part.terms))

    def _narrow(self, limit: Limit, *, by: Rule) -> None:
        """Take from each column what would let a sum exceed 0."""
        part, _ = rested(limit)
        for name, factor in part.terms.items():
            low, high = self._box[name]
            rest = self._ends(part, but=name)[0]
            if not math.isfinite(rest):
                continue
            most = -rest / factor
            near = _NEAR * max(1.0, abs(most))
            if self._reaches[name].whole:
                most = math.floor(most + near) if factor > 0 else math.ceil(most - near)
                near = 0.0
            if factor > 0 and most + near < high:
                self._box[name] = (low, max(most + near, low))
            elif factor < 0 and most - near > low:
                self._box[name] = (min(most - near, high), high)
            else:
                continue
            self._why[name] |= self._reasons(part) | {by}


def _said(rules: Sequence[Rule]) -> str:
    """Say which rules leave nothing, those first that work a column out."""
    named = sorted(dict.fromkeys(rules), key=spell)
    order = sorted(named, key=lambda r: not isinstance(r, Derived | Difference))
    told = [f"rule {spell(rule)!r}" for rule in order]
    if len(told) == 1:
        return f"{told[0]} leaves nothing within the bounds of its columns"
    return f"{', '.join(told[:-1])} and {told[-1]} contradict one another: no row is left"
