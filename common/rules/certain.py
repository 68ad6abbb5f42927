"""Which cells certainly break a rule, when each code of a column is a range of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from silosynth.common.rules.facts import Facts
from silosynth.common.rules.hold import as_number, value_of
from silosynth.common.rules.rule import (
    Among,
    Both,
    Column,
    Compare,
    Condition,
    Expression,
    IsNull,
    Keep,
    Never,
    Not,
    NullWhen,
    Number,
)

Truth = tuple[np.ndarray, np.ndarray]
"""Where a condition can be true, and where it can be false."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Range:
    """What each code of a column stands for: least and most value, and whether it can be null."""

    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    value: np.ndarray

    def on_axis(self, axis: int, *, axes: int) -> Range:
        """Return the range along one axis of a table."""
        shape = tuple(-1 if i == axis else 1 for i in range(axes))
        parts = (self.low, self.high, self.null, self.value)
        low, high, null, value = (part.reshape(shape) for part in parts)
        return Range(low=low, high=high, null=null, value=value)


def certainly_broken(
    rule: NullWhen | Never | Keep, *, ranges: Mapping[str, Range], facts: Facts
) -> np.ndarray:
    """Return a mask over the table of the ranges, in order: cells of which no row keeps the rule.

    What cannot be told of a whole cell is not in the mask: such rows are looked at one by one.
    """
    axes = {n: r.on_axis(i, axes=len(ranges)) for i, (n, r) in enumerate(ranges.items())}
    met, unmet = _truth(rule.condition, ranges=axes, facts=facts)
    if isinstance(rule, Never):
        possible = unmet
    elif isinstance(rule, Keep):
        possible = met
    else:
        null, value = axes[rule.column].null, axes[rule.column].value
        if rule.word == "iff":
            possible = (null & met) | (value & unmet)
        else:
            possible = null | (unmet if rule.word == "if" else met)
    shape = tuple(len(r.low) for r in ranges.values())
    return ~np.broadcast_to(possible, shape)


def _truth(part: Condition, *, ranges: Mapping[str, Range], facts: Facts) -> Truth:
    if isinstance(part, IsNull):
        known = ranges[part.column]
        return (known.null, known.value) if part.null else (known.value, known.null)
    if isinstance(part, Not):
        met, unmet = _truth(part.part, ranges=ranges, facts=facts)
        return unmet, met
    if isinstance(part, Among):
        equal = [Compare(Column(part.column), "=", v) for v in part.values]  # type: ignore[arg-type]
        truths = [
            _compared(c, value=v, ranges=ranges, facts=facts)
            for c, v in zip(equal, part.values, strict=True)
        ]
        return _any([t for t, _ in truths]), _all([f for _, f in truths])
    if isinstance(part, Compare):
        return _compared(part, value=value_of(part), ranges=ranges, facts=facts)
    parts = [_truth(p, ranges=ranges, facts=facts) for p in part.parts]
    can, cannot = [t for t, _ in parts], [f for _, f in parts]
    return (_all(can), _any(cannot)) if isinstance(part, Both) else (_any(can), _all(cannot))


def _all(masks: list[np.ndarray]) -> np.ndarray:
    result = masks[0]
    for mask in masks[1:]:
        result = result & mask
    return result


def _any(masks: list[np.ndarray]) -> np.ndarray:
    return ~_all([~mask for mask in masks])


def _compared(part: Compare, *, value: object, ranges: Mapping[str, Range], facts: Facts) -> Truth:
    """Return the truth of a comparison; anything but plain columns and numbers can be either."""
    left = _operand(part.left, ranges=ranges)
    if value is not None and isinstance(part.left, Column):
        number = np.asarray(as_number(part.left.name, value, facts=facts))  # type: ignore[arg-type]
        none = np.asarray(False)
        right: Range | None = Range(low=number, high=number, null=none, value=~none)
    elif isinstance(part.right, str | bool):
        right = None
    else:
        right = _operand(part.right, ranges=ranges)
    if left is None or right is None:
        either = np.asarray(True)
        return either, either
    null, both = left.null | right.null, left.value & right.value
    less, equal = left.low < right.high, (left.low <= right.high) & (right.low <= left.high)
    more = left.high > right.low
    sure = (left.low == left.high) & (right.low == right.high) & equal
    can: dict[str, Truth] = {
        "=": (equal, ~sure),
        "!=": (~sure, equal),
        "<": (less, more | equal),
        "<=": (less | equal, more),
        ">": (more, less | equal),
        ">=": (more | equal, less),
    }
    met, unmet = can[part.sign]
    return met & both, (unmet & both) | null


def _operand(part: Expression, *, ranges: Mapping[str, Range]) -> Range | None:
    if isinstance(part, Column):
        return ranges[part.name]
    if isinstance(part, Number):
        number, none = np.asarray(part.value), np.asarray(False)
        return Range(low=number, high=number, null=none, value=~none)
    return None
