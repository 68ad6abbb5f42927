"""Attributes as rules see them: facts, bounds, and what each code stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from silosynth.common.rules.certain import Range
from silosynth.common.rules.facts import Fact, Kind
from silosynth.common.schema.attributes import (
    Attribute,
    BooleanAttribute,
    CategoricalAttribute,
    CodedAttribute,
    DatetimeAttribute,
    IdentifierAttribute,
    IntegerAttribute,
    NumericAttribute,
    OrdinalAttribute,
    RealAttribute,
)


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
    """Return how many of a rule's units one unit of the bounds is: instants are microseconds."""
    return 1e6 if isinstance(attribute, DatetimeAttribute) else 1.0


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
    else:
        edges = np.asarray(attribute.edges(), dtype=np.float64) * scale_of(attribute)
        low[: attribute.values] = edges[:-1]
        high[: attribute.values] = edges[1:] - isinstance(attribute, IntegerAttribute)
    if attribute.missing:
        null[-1], value[-1] = True, False
    return Range(low=low, high=high, null=null, value=value)
