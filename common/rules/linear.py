"""Sums of columns and what is known of the rest, and the limits that rules set them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from silosynth.common.rules.rule import Rule

MOST_WAYS = 256
_NEAR = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Columns, each times a number, and a rest between ``low`` and ``high``.

    It is a ``whole`` number, ``sure`` to be there in each row, or ``gone``; ``rules`` made it.
    """

    terms: Mapping[str, float]
    low: float = 0.0
    high: float = 0.0
    whole: bool = True
    sure: bool = True
    gone: bool = False
    rules: frozenset[Rule] = frozenset()

    def times(self, factor: float) -> Sum:
        """Return the sum times a number."""
        ends = sorted((scale_end(self.low, factor), scale_end(self.high, factor)))
        terms = {n: c * factor for n, c in self.terms.items() if c * factor}
        whole = self.whole and float(factor).is_integer()
        return replace(self, terms=terms, low=ends[0], high=ends[1], whole=whole)

    def plus(self, other: Sum) -> Sum:
        """Return the sum of two."""
        terms = dict(self.terms)
        for name, factor in other.terms.items():
            terms[name] = terms.get(name, 0.0) + factor
        return Sum(
            terms={n: c for n, c in terms.items() if c},
            low=self.low + other.low,
            high=self.high + other.high,
            whole=self.whole and other.whole,
            sure=self.sure and other.sure,
            gone=self.gone or other.gone,
            rules=self.rules | other.rules,
        )


Limit: TypeAlias = "tuple[Sum, bool]"
"""A sum that may not exceed 0, or with True not reach it either."""
Ways: TypeAlias = "list[tuple[Limit, ...]]"
"""One of these must hold, all of its limits together; () is always so."""
ALWAYS: Ways = [()]


def scale_end(end: float, factor: float) -> float:
    """Return an end of a range times a number; 0 times anything is 0."""
    return 0.0 if not factor or not end else end * factor


def number(value: float) -> Sum:
    """Return a number as a sum."""
    return replace(between(value, value), whole=float(value).is_integer())


def between(low: float, high: float) -> Sum:
    """Return what is known to lie in a range alone."""
    return Sum(terms={}, low=low, high=high, whole=False)


def anything() -> Sum:
    """Return what nothing is known of."""
    return replace(between(-math.inf, math.inf), sure=False)


def made_by(part: Sum, rule: Rule) -> Sum:
    """Return a sum that a rule worked out."""
    return replace(part, rules=part.rules | {rule})


def compared(left: Sum, sign: str, right: Sum) -> tuple[Limit, ...]:
    """Return the limits that a comparison sets."""
    above, below = left.plus(right.times(-1)), right.plus(left.times(-1))
    limits: dict[str, tuple[Limit, ...]] = {
        "=": ((above, False), (below, False)),
        "<": ((above, True),),
        "<=": ((above, False),),
        ">": ((below, True),),
        ">=": ((below, False),),
    }
    return limits[sign]


def all_of(parts: Sequence[Ways]) -> Ways:
    """Return the ways in which all parts hold; of too many nothing is said."""
    if math.prod(map(len, parts)) > MOST_WAYS:
        return ALWAYS
    return [tuple(limit for way in ways for limit in way) for ways in product(*parts)]


def rested(limit: Limit) -> Limit:
    """Return a limit of whole numbers that may not reach 0 as one that may not exceed it."""
    part, strict = limit
    return (part.plus(number(1.0)), False) if strict and part.whole else limit


def without_one(one: Limit, other: Limit) -> list[Limit]:
    """Return what two limits ask together, without a column that they pull either way."""
    (left, strict), (right, too) = rested(one), rested(other)
    made = []
    for name, factor in left.terms.items():
        against = right.terms.get(name, 0.0)
        if factor * against < 0:
            both = left.times(1 / abs(factor)).plus(right.times(1 / abs(against)))
            terms = {n: c for n, c in both.terms.items() if abs(c) > _NEAR}
            made.append((replace(both, terms=terms, whole=False), strict or too))
    return made
