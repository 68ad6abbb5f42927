"""Attributes as rules see them: facts, bounds, and what each code stands for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from silosynth.common.rules.certain import Range
from silosynth.common.rules.facts import Fact, Kind
from silosynth.common.schema.attributes import (
    Attribute,
    BooleanAttribute,
    CategoricalAttribute,
    CodedAttribute,
    DatetimeAttribute,
    DurationAttribute,
    IdentifierAttribute,
    IntegerAttribute,
    NumericAttribute,
    OrdinalAttribute,
    RealAttribute,
    TimeAttribute,
)
from silosynth.common.schema.bases import BaseTemporal
from silosynth.common.schema.forms import Resolution


def facts_of(attributes: Sequence[Attribute]) -> dict[str, Fact]:
    """Return what rules may know of each column."""
    return {a.name: _fact(a) for a in attributes}


def _fact(attribute: Attribute) -> Fact:
    missing = bool(getattr(attribute, "missing", False))
    name, kind, listed = attribute.name, Kind.OTHER, False
    words: tuple[str, ...] = ()
    if isinstance(attribute, IntegerAttribute | RealAttribute):
        kind = Kind.NUMBER
    elif isinstance(attribute, DatetimeAttribute):
        kind = Kind.INSTANT
    elif isinstance(attribute, DurationAttribute | TimeAttribute):
        kind = Kind.SPAN
    elif isinstance(attribute, BooleanAttribute):
        kind = Kind.TRUTH
    elif isinstance(attribute, IdentifierAttribute):
        kind = Kind.KEY
    elif isinstance(attribute, CategoricalAttribute | OrdinalAttribute):
        kind, listed = Kind.WORD, True
        words = tuple(str(c) for c in attribute.categories)
        if all(isinstance(c, int) for c in attribute.categories):
            kind = Kind.NUMBER
    whole = isinstance(attribute, IntegerAttribute)
    return Fact(name=name, kind=kind, missing=missing, listed=listed, whole=whole, words=words)


def scale_of(attribute: NumericAttribute) -> float:
    """Return how many of a rule's units one unit of the bounds is: times are microseconds."""
    return 1.0 if isinstance(attribute, IntegerAttribute | RealAttribute) else 1e6


def common_step(left: NumericAttribute, right: NumericAttribute) -> float | None:
    """Return what the values of both are apart at least, in a rule's units; None if that varies.

    Whole numbers are one apart at least, even where their steps differ.
    """
    grids = (left.grid, right.grid)
    whole = isinstance(left, IntegerAttribute) and isinstance(right, IntegerAttribute)
    same = type(left) is type(right) and grids[0] is not None and grids[0] == grids[1]
    if same and isinstance(left, BaseTemporal):
        same = left.resolution not in (Resolution.YEAR, Resolution.MONTH)
    elif same and isinstance(left, IntegerAttribute | RealAttribute):
        lows = [Fraction(repr(a.limits()[0])) for a in (left, right)]
        same = (lows[0] - lows[1]) % (grids[0] or 1) == 0
    if same:
        return float(grids[0] or 1) * scale_of(left)
    return 1.0 if whole else None


def bounds_of(attribute: NumericAttribute) -> tuple[float, float]:
    """Return the least and the most value, both included, in a rule's units."""
    low, high = attribute.limits()
    scale = scale_of(attribute)
    return low * scale, high * scale - isinstance(attribute, IntegerAttribute)


def range_of(attribute: CodedAttribute, fact: Fact) -> Range:
    """Return what each code of an attribute stands for."""
    size = attribute.size
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    null, value = np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    if isinstance(attribute, CategoricalAttribute | OrdinalAttribute):
        known = [float(w) if fact.kind is Kind.NUMBER else i for i, w in enumerate(fact.words)]
        low[: len(known)] = high[: len(known)] = known
        if attribute.other and fact.kind is Kind.NUMBER:
            null[len(known)] = True  # a number that is not listed comes back as null
        elif attribute.other:
            low[len(known)] = high[len(known)] = len(known)
    elif isinstance(attribute, BooleanAttribute):
        low[:2] = high[:2] = (0, 1)
    elif isinstance(attribute, NumericAttribute):
        edges = np.asarray(attribute.edges(), dtype=np.float64) * scale_of(attribute)
        low[: attribute.values] = edges[:-1]
        high[: attribute.values] = edges[1:] - isinstance(attribute, IntegerAttribute)
    gone = attribute.missing + len(attribute.missing_apart)
    null[size - gone :], value[size - gone :] = True, False
    return Range(low=low, high=high, null=null, value=value)
