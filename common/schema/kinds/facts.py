"""What attributes have in common, and what rules see of them: bounds, what each code stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from silosynth.common.rules import Fact, Kind, Range, Reach
from silosynth.common.schema.kinds.attributes import (
    Attribute,
    BooleanAttribute,
    CodedAttribute,
    DatetimeAttribute,
    DurationAttribute,
    IdentifierAttribute,
    IntegerAttribute,
    ListedAttribute,
    NumericAttribute,
    OrdinalAttribute,
    RealAttribute,
    TimeAttribute,
)
from silosynth.common.schema.kinds.bases import UNEVEN, bounds_of, scale_of, scaled
from silosynth.common.schema.kinds.forms import Resolution

_LONGEST_STEP = 366 * 86_400e6
"""In microseconds: how far an instant that is worked out moves at most, to be one of its form."""

NumberAttribute = IntegerAttribute | RealAttribute
"""What is counted in a unit, which another table may have another of."""

WordedAttribute = ListedAttribute | BooleanAttribute
"""What has a word for each value, for which another table may have another."""


def has_unit(attribute: Attribute) -> TypeGuard[NumberAttribute]:
    """Say whether an attribute's values are numbers of a unit."""
    return isinstance(attribute, NumberAttribute)


def has_words(attribute: Attribute) -> TypeGuard[WordedAttribute]:
    """Say whether each value of an attribute has a word."""
    return isinstance(attribute, WordedAttribute)


def has_neighbours(attribute: Attribute) -> bool:
    """Say whether codes that lie side by side stand for values that are alike."""
    return isinstance(attribute, OrdinalAttribute | NumberAttribute | DatetimeAttribute)


def facts_of(attributes: Sequence[Attribute]) -> dict[str, Fact]:
    """Return what rules may know of each column."""
    return {a.name: _fact(a) for a in attributes}


def _fact(attribute: Attribute) -> Fact:
    missing = bool(getattr(attribute, "missing", False))
    name, kind, listed = attribute.name, Kind.OTHER, False
    words: tuple[str, ...] = ()
    if has_unit(attribute):
        kind = Kind.NUMBER
    elif isinstance(attribute, DatetimeAttribute):
        kind = Kind.INSTANT
    elif isinstance(attribute, DurationAttribute | TimeAttribute):
        kind = Kind.SPAN
    elif isinstance(attribute, BooleanAttribute):
        kind = Kind.TRUTH
    elif isinstance(attribute, IdentifierAttribute) or getattr(attribute, "differs", False):
        kind = Kind.KEY
    elif isinstance(attribute, ListedAttribute):
        kind, listed = Kind.WORD, True
        words = tuple(str(c) for c in attribute.categories)
        if all(isinstance(c, int) for c in attribute.categories):
            kind = Kind.NUMBER
    whole = isinstance(attribute, IntegerAttribute)
    return Fact(name=name, kind=kind, missing=missing, listed=listed, whole=whole, words=words)


def reach_of(attribute: Attribute) -> Reach | None:
    """Return how far a column's values can lie; None of what is no number, instant or length."""
    if isinstance(attribute, ListedAttribute) and all(
        isinstance(c, int) for c in attribute.categories
    ):
        listed = [float(c) for c in attribute.categories]
        sure = not (attribute.missing or attribute.has_other or attribute.missing_apart)
        return Reach(low=min(listed), high=max(listed), whole=True, sure=sure)
    # A time of day that is worked out is cut off at midnight.
    if not isinstance(attribute, NumericAttribute) or isinstance(attribute, TimeAttribute):
        return None
    low, high = bounds_of(attribute)
    step = float(attribute.grid or 0) * scale_of(attribute)
    whole = isinstance(attribute, IntegerAttribute)
    if isinstance(attribute, DatetimeAttribute) and attribute.resolution in UNEVEN:
        step = _LONGEST_STEP
    return Reach(
        low=low,
        high=high,
        whole=whole,
        sure=not (attribute.missing or attribute.missing_apart),
        rounded=0.5 if whole and step == 1 else step + whole,
    )


def range_of(attribute: CodedAttribute, fact: Fact) -> Range:
    """Return what each code of an attribute stands for."""
    size = attribute.size
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    null, value = np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    if isinstance(attribute, ListedAttribute):
        known = [float(w) if fact.kind is Kind.NUMBER else i for i, w in enumerate(fact.words)]
        low[: len(known)] = high[: len(known)] = known
        if attribute.other and fact.kind is Kind.NUMBER:
            null[len(known)] = True  # a number that is not listed comes back as null
        elif attribute.other:
            low[len(known)] = high[len(known)] = len(known)
    elif isinstance(attribute, BooleanAttribute):
        low[:2] = high[:2] = (0, 1)
    elif isinstance(attribute, NumericAttribute):
        edges = np.asarray(scaled(attribute, attribute.edges()), dtype=np.float64)
        low[: attribute.values] = edges[:-1]
        high[: attribute.values] = edges[1:] - isinstance(attribute, IntegerAttribute)
    gone = attribute.missing + len(attribute.missing_apart)
    null[size - gone :], value[size - gone :] = True, False
    return Range(low=low, high=high, null=null, value=value)


_SECOND = 1_000_000
_UNITS = {
    "seconds": _SECOND,
    "minutes": 60 * _SECOND,
    "hours": 3_600 * _SECOND,
    "days": 86_400 * _SECOND,
}
_STEPS = {
    None: 1,
    Resolution.MICROSECOND: 1,
    Resolution.MILLISECOND: 1_000,
    Resolution.SECOND: _UNITS["seconds"],
    Resolution.MINUTE: _UNITS["minutes"],
    Resolution.HOUR: _UNITS["hours"],
    Resolution.DAY: _UNITS["days"],
}


def whole_steps(attribute: Attribute, *, unit: str | None) -> tuple[int, int, int]:
    """Return the first value, the step from value to value, and a unit, all in a rule's units.

    Args: unit: seconds, minutes, hours or days; None for days where the resolution is one, seconds
        of other times, and 1 of whole numbers.

    Raises ValueError for what has no steps of one length, and for a unit that is no number of them.
    """
    name = attribute.name
    if isinstance(attribute, IntegerAttribute):
        if unit is not None:
            raise ValueError(f"{name!r} holds plain numbers, which have no unit")
        return attribute.minimum, attribute.step or 1, 1
    if not isinstance(attribute, DatetimeAttribute | DurationAttribute):
        raise ValueError(f"{name!r} is {attribute.kind}; take a column of whole numbers or times")
    if attribute.resolution not in _STEPS:
        raise ValueError(
            f"{name!r} is known to the {attribute.resolution} alone; declare resolution: day"
        )
    step, days = _STEPS[attribute.resolution], attribute.resolution is Resolution.DAY
    length = _UNITS[unit or ("days" if days else "seconds")]
    if length % step:
        raise ValueError(f"{name!r} is known to the {attribute.resolution}; take a longer unit")
    low = int(bounds_of(attribute)[0])
    if attribute.step is not None:
        return low, step * attribute.step, length
    return -(-low // step) * step, step, length
