"""Which column of a derivation follows from the others: the widest of a sum, else the named one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from silosynth.common.rules import (
    Arithmetic,
    Column,
    Derived,
    Difference,
    Expression,
    Number,
    columns_of,
    worked_out,
)
from silosynth.common.schema.compiled.nulls import Patterns
from silosynth.common.schema.kinds.attributes import (
    IntegerAttribute,
    NumericAttribute,
    RealAttribute,
)


@dataclass(frozen=True, slots=True)
class Follows:
    """``column`` is worked out from the others."""

    column: str
    value: Expression


def choices(
    rule: Derived | Difference,
    *,
    numbers: Mapping[str, NumericAttribute],
    patterns: Sequence[Patterns],
) -> tuple[Follows, ...]:
    """Return what may follow, best first; the named column can always.

    In a sum the column of the widest bins is best: its own value blurs the least.
    """
    named = Follows(rule.column, worked_out(rule))
    if isinstance(rule, Difference):
        high = Arithmetic("+", Column(rule.low), Column(rule.column))
        return (
            (Follows(rule.high, high),) if _known(rule.high, rule, numbers, patterns) else (named,)
        )
    signs = _signs(named.value)
    kinds = {type(numbers.get(n)) for n in columns_of(rule)}
    if signs is None or not kinds <= {IntegerAttribute, RealAttribute} or len(kinds) > 1:
        return (named,)
    names = [rule.column, *signs[0]]
    wide = sorted(names, key=lambda n: -_width(numbers[n]))
    others = [_solved(rule.column, n, *signs) for n in wide if n != rule.column]
    good = [o for o in others if _known(o.column, rule, numbers, patterns)]
    better = [o for o in good if _width(numbers[o.column]) > _width(numbers[rule.column])]
    return (*better, named, *(o for o in good if o not in better))


def _width(attribute: NumericAttribute) -> float:
    low, high = attribute.limits()
    return (high - low) / attribute.values


def _known(
    column: str,
    rule: Derived | Difference,
    numbers: Mapping[str, NumericAttribute],
    patterns: Sequence[Patterns],
) -> bool:
    """Say whether the column is null just where another of the rule is, so that nothing is lost."""
    others = [c for c in columns_of(rule) if c != column]
    if any(p.follows(column, others) for p in patterns):
        return True
    known = (numbers[c] for c in (column, *others) if c in numbers)
    return not any(a.missing or a.missing_apart for a in known)


def _signs(part: Expression) -> tuple[dict[str, int], float] | None:
    """Return the sign of each column of a sum, and what is added; None for anything else."""
    if isinstance(part, Column):
        return {part.name: 1}, 0.0
    if isinstance(part, Number):
        return {}, part.value
    if not isinstance(part, Arithmetic) or part.sign not in ("+", "-"):
        return None
    left, right = _signs(part.left), _signs(part.right)
    if left is None or right is None or set(left[0]) & set(right[0]):
        return None
    turn = 1 if part.sign == "+" else -1
    return left[0] | {n: turn * s for n, s in right[0].items()}, left[1] + turn * right[1]


def _solved(named: str, column: str, signs: Mapping[str, int], constant: float) -> Follows:
    """Return ``named = sum`` solved for another of its columns."""
    turn = signs[column]
    terms = [(named, turn), *((n, -s * turn) for n, s in signs.items() if n != column)]
    terms.sort(key=lambda t: -t[1])
    value: Expression = Column(terms[0][0])
    if terms[0][1] < 0:
        value = Arithmetic("-", Number(0.0), value)
    for name, sign in terms[1:]:
        value = Arithmetic("+" if sign > 0 else "-", value, Column(name))
    if constant:
        value = Arithmetic("-" if constant * turn > 0 else "+", value, Number(abs(constant)))
    return Follows(column, value)
