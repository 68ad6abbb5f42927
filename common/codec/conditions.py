"""Conditions such as ``state=TX`` or ``age=30..39``, as the codes that meet them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from silosynth.common.codec.bins import bins_between, value_range
from silosynth.common.codec.kinds.table import kind_of, spell_edge
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import CodedAttribute, NumericAttribute, Schema, as_numeric
from silosynth.common.values import Spread, per_unit


def parse_conditions(texts: Iterable[str], *, option: str = "--where") -> dict[str, str]:
    """Split ``attribute=value`` texts; raise InvalidArgument when one is none, or a twin.

    ``option`` is what they were given by.

    >>> parse_conditions(["state=TX", "age=30..39"])
    {'state': 'TX', 'age': '30..39'}
    """
    conditions: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not (equals and name):
            raise InvalidArgument(
                f"{option} {text!r} is not a condition", hint="write it as 'attribute=value'"
            )
        if name in conditions:
            raise InvalidArgument(f"attribute {name!r} has two conditions", hint="keep one of them")
        conditions[name] = value.strip()
    return conditions


def allowed_codes(
    schema: Schema, where: Mapping[str, str], *, spreads: Mapping[str, Spread] | None = None
) -> dict[str, np.ndarray]:
    """Return, per attribute of ``where``, (codes,) float64: the share of each that meets it.

    That is 1 or 0, but for a number with a spread, whose range may begin and end inside a bin.

    A listed attribute takes one value as the schema spells it, a number or an instant a range
    ``low..high`` (either end may be left out; whole numbers include both ends, the others exclude
    the high one), and every attribute the empty text for a missing value.

    Errors: InvalidArgument for an attribute without codes, a value that is not listed, and, of a
    number without a spread, a range that does not begin and end where bins do: rows are uniform
    inside a bin, so half of one could not be drawn as the model has it.
    """
    coded = {a.name: a for a in schema.coded}
    allowed = {}
    for name, value in where.items():
        if name not in coded and name in schema.ruled.replaced:
            raise InvalidArgument(
                f"{name!r} follows from a rule, and is not counted as it is",
                hint=f"set conditions on {', '.join(list(coded)[:8])}, or pick rows afterwards",
            )
        if name not in coded:
            raise InvalidArgument(
                f"there is no attribute {name!r} to set a condition on",
                hint="'silosynth inspect' lists the attributes",
            )
        allowed[name] = _shares(coded[name], value, spread=(spreads or {}).get(name))
    return allowed


def narrow_spreads(
    schema: Schema, where: Mapping[str, str], *, spreads: Mapping[str, Spread]
) -> dict[str, Spread]:
    """Return the spreads of the values that meet every range of ``where``."""
    numbers = {a.name: a for a in schema.numbers}
    narrowed = dict(spreads)
    for name, value in where.items():
        number = numbers.get(name)
        if name in narrowed and number is not None and _is_range(number, value):
            low, high = _points(number, value, spread=narrowed[name])
            narrowed[name] = narrowed[name].between(low, high)
    return narrowed


def _shares(attribute: CodedAttribute, value: str, *, spread: Spread | None) -> np.ndarray:
    """Return (codes,) float64, the share of each code that meets a condition."""
    number = as_numeric(attribute)
    if spread is None or number is None or not _is_range(number, value):
        return codes_meeting(attribute, value).astype(np.float64)
    shares = spread.share_between(*_points(number, value, spread=spread))
    return np.append(shares, np.zeros(number.size - number.values))


def _is_range(attribute: NumericAttribute, value: str) -> bool:
    """Say whether a condition is no word for a missing value."""
    return value != "" and value not in attribute.missing_apart


def _points(attribute: NumericAttribute, value: str, *, spread: Spread) -> tuple[int, int]:
    """Return the first point of a range, and the one after its last."""
    start, stop = range_of(attribute, value)
    scale = per_unit(attribute)
    low, high = (spread.grid.at_or_above(number * scale) for number in (start, stop))
    if stop >= attribute.edges()[-1]:
        high = spread.grid.points
    return low, high


def codes_meeting(attribute: CodedAttribute, condition: str) -> np.ndarray:
    """Return (codes,) bool: which codes meet a condition; the empty text is a missing value.

    Raises InvalidArgument for a condition that no code can meet.
    """
    codes = np.arange(attribute.size)
    if condition == "":
        if not attribute.missing:
            raise InvalidArgument(f"{attribute.name!r} is never missing", hint="give a value")
        return np.equal(codes, attribute.size - 1)
    if condition in attribute.missing_apart:
        return np.isin(codes, attribute.codes_of(condition))
    if (number := as_numeric(attribute)) is not None:
        spell = partial(spell_edge, number)
        return bins_between(number, range_of(number, condition), spell=spell)
    meets = kind_of(attribute).allowed
    assert meets is not None
    return meets(attribute, condition)


def range_of(attribute: NumericAttribute, condition: str) -> tuple[float, float]:
    """Return the ends of a range of numbers in the units of its bounds, the upper one excluded."""
    read = kind_of(attribute).read_edge
    assert read is not None
    return value_range(attribute, condition, read=read, spell=partial(spell_edge, attribute))
