"""Which rows keep a rule, for rows whose every value is a number.

A listed value is its place in the list (one that is not listed comes after the last), true is 1,
an instant is microseconds since 1970, and null is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from silosynth.common.rules.facts import Facts, Kind, instant, spelled
from silosynth.common.rules.rule import (
    Among,
    Arithmetic,
    Both,
    Column,
    Compare,
    Condition,
    Derived,
    Difference,
    Expression,
    IsNull,
    Keep,
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
)
from silosynth.common.rules.spell import UNITS

Rows = Mapping[str, np.ndarray]

_NEAR = 1e-9


def holds(rule: Rule, *, rows: Rows, facts: Facts) -> np.ndarray:
    """Return (rows,) bool: which rows keep the rule; what is null breaks no order and no sum.

    A rule about several rows, ``unique``, is kept by each alone.
    """
    if isinstance(rule, Order):
        return _ordered(rule, rows=rows)
    if isinstance(rule, Derived | Difference):
        value = worked_out(rule)
        whole = facts[rule.column].whole
        return _same(rows[rule.column], evaluate(value, rows=rows), whole=whole)
    if isinstance(rule, NullWhen):
        null, meets = np.isnan(rows[rule.column]), _meets(rule.condition, rows=rows, facts=facts)
        if rule.word == "iff":
            return np.asarray(null == meets)
        return np.asarray(null | ~meets if rule.word == "if" else null | meets)
    if isinstance(rule, NullTogether):
        nulls = [np.isnan(rows[c]) for c in rule.columns]
        return np.asarray(np.logical_and.reduce([n == nulls[0] for n in nulls]))
    if isinstance(rule, Never):
        return ~_meets(rule.condition, rows=rows, facts=facts)
    if isinstance(rule, Keep):
        return _meets(rule.condition, rows=rows, facts=facts)
    if isinstance(rule, OneOf):
        true: np.ndarray = sum(rows[c] == 1 for c in rule.columns) == 1
        return true
    if isinstance(rule, Together):
        return _listed(rule, rows=rows)
    if isinstance(rule, Step):
        return _on_grid(rows[rule.column], size=rule.size)
    return np.ones(_length(rows), dtype=bool)


def worked_out(rule: Derived | Difference) -> Expression:
    """Return what the rule's column is."""
    if isinstance(rule, Derived):
        return rule.value
    return Arithmetic("-", Column(rule.high), Column(rule.low))


def evaluate(part: Expression, *, rows: Rows) -> np.ndarray:
    """Return (rows,) float64, NaN where an operand is null or a divisor is 0."""
    if isinstance(part, Column):
        return rows[part.name]
    if isinstance(part, Number):
        return np.full(_length(rows), part.value)
    if isinstance(part, Lookup):
        return _looked_up(part, rows[part.column])
    if isinstance(part, Span):
        return np.full(_length(rows), part.count * UNITS[part.unit])
    left, right = evaluate(part.left, rows=rows), evaluate(part.right, rows=rows)
    if part.sign in ("/", "//", "%"):
        right = np.where(right == 0, np.nan, right)
    with np.errstate(over="ignore", invalid="ignore"):
        result: np.ndarray = _OPERATIONS[part.sign](left, right)
    return np.where(np.isfinite(result), result, np.nan)


def _looked_up(part: Lookup, keys: np.ndarray) -> np.ndarray:
    """Return what a public table has for each key, NaN where it has nothing."""
    pairs = np.asarray(part.pairs, dtype=np.float64).reshape(-1, 2)
    at = np.minimum(np.searchsorted(pairs[:, 0], keys), max(len(pairs) - 1, 0))
    if not len(pairs):
        return np.full(len(keys), np.nan)
    return np.where(pairs[at, 0] == keys, pairs[at, 1], np.nan)


def _listed(rule: Together, *, rows: Rows) -> np.ndarray:
    """Say which rows hold a combination of the list, or a null."""
    values = np.stack([rows[c] for c in rule.columns], axis=1)
    allowed = np.asarray(rule.allowed, dtype=np.float64).reshape(-1, len(rule.columns))
    place, listed = np.zeros(len(values), dtype=np.int64), np.zeros(len(allowed), dtype=np.int64)
    known = np.ones(len(values), dtype=bool)
    for i in range(len(rule.columns)):
        words, at = np.unique(allowed[:, i], return_inverse=True)
        mine = np.minimum(np.searchsorted(words, values[:, i]), len(words) - 1)
        known &= words[mine] == values[:, i]
        place, listed = place * len(words) + mine, listed * len(words) + at
    null = np.isnan(values).any(axis=1)
    return np.asarray(null | known & np.isin(place, listed))


_OPERATIONS = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
}
COMPARED = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def as_number(column: str, value: Scalar, *, facts: Facts) -> float:
    """Return a value of a column as the number that stands for it."""
    fact = facts[column]
    if fact.kind is Kind.WORD:
        return float(fact.words.index(spelled(value)))
    if fact.kind is Kind.INSTANT and isinstance(value, str):
        return instant(value)
    return float(value)


def _length(rows: Rows) -> int:
    return len(next(iter(rows.values()))) if rows else 0


def _ordered(rule: Order, *, rows: Rows) -> np.ndarray:
    values = [evaluate(term, rows=rows) for term in rule.terms]
    kept = np.ones(len(values[0]), dtype=bool)
    for sign, left, right in zip(rule.signs, values, values[1:], strict=False):
        kept &= ~((left > right) if sign == "<=" else (left >= right))
    return kept


def _same(column: np.ndarray, value: np.ndarray, *, whole: bool) -> np.ndarray:
    """Say where two numbers agree up to the rounding of sums; null agrees with null."""
    if whole:
        value = np.round(value)
    near = np.abs(column - value) <= _NEAR * np.maximum(1, np.abs(value))
    return np.asarray(near | np.isnan(column) & np.isnan(value))


def _on_grid(column: np.ndarray, *, size: float) -> np.ndarray:
    steps = column / size
    near: np.ndarray = np.abs(steps - np.round(steps)) <= _NEAR * np.maximum(1, np.abs(steps))
    return np.asarray(near | np.isnan(column))


def _meets(part: Condition, *, rows: Rows, facts: Facts) -> np.ndarray:
    """Return (rows,) bool: where the condition is met; a comparison with null is not."""
    if isinstance(part, IsNull):
        return np.asarray(np.isnan(rows[part.column]) == part.null)
    if isinstance(part, Not):
        return ~_meets(part.part, rows=rows, facts=facts)
    if isinstance(part, Among):
        values = [as_number(part.column, v, facts=facts) for v in part.values]
        return np.isin(rows[part.column], values)
    if isinstance(part, Compare):
        left = evaluate(part.left, rows=rows)
        right = np.asarray(_right(part, facts=facts)) if _is_value(part) else None
        if right is None:
            right = evaluate(part.right, rows=rows)  # type: ignore[arg-type]
        met = COMPARED[part.sign](left, right) & ~np.isnan(left) & ~np.isnan(right)
        return np.asarray(met)
    parts = [_meets(p, rows=rows, facts=facts) for p in part.parts]
    joined = np.logical_and if isinstance(part, Both) else np.logical_or
    return np.asarray(joined.reduce(parts))


def _is_value(part: Compare) -> bool:
    return isinstance(part.right, str | bool) or value_of(part) is not None


def value_of(part: Compare) -> Scalar | None:
    """Return the plain value that a column is compared with, if it is one."""
    if isinstance(part.right, str | bool):
        return part.right
    return part.right.value if isinstance(part.right, Number) else None


def _right(part: Compare, *, facts: Facts) -> float:
    value = value_of(part)
    if isinstance(part.left, Column) and value is not None:
        return as_number(part.left.name, value, facts=facts)
    return float(value)  # type: ignore[arg-type]
