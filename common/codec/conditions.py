"""Conditions such as ``state=TX`` or ``age=30..39``, as the codes that meet them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from silosynth.common.codec.listed import ListedCodec
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema.attributes import (
    CodedAttribute,
    DatetimeAttribute,
    IntegerAttribute,
    NumericAttribute,
)
from silosynth.common.schema.bins import epoch_seconds
from silosynth.common.schema.schema import Schema

_RANGE = ".."
_SHOWN = 5


def parse_conditions(texts: Iterable[str]) -> dict[str, str]:
    """Split ``attribute=value`` texts; raise InvalidArgument when one is none, or a twin.

    >>> parse_conditions(["state=TX", "age=30..39"])
    {'state': 'TX', 'age': '30..39'}
    """
    conditions: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not (equals and name):
            raise InvalidArgument(
                f"--where {text!r} is not a condition", hint="write it as 'attribute=value'"
            )
        if name in conditions:
            raise InvalidArgument(f"attribute {name!r} has two conditions", hint="keep one of them")
        conditions[name] = value.strip()
    return conditions


def allowed_codes(schema: Schema, where: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return, per attribute of ``where``, (codes,) bool: which fine codes meet its condition.

    A listed attribute takes one value as the schema spells it, a number or an instant a range
    ``low..high`` (either end may be left out; whole numbers include both ends, the others exclude
    the high one), and every attribute the empty text for a missing value.

    Errors: InvalidArgument for an attribute without codes, a value that is not listed, and a range
    that does not begin and end where bins do: rows are uniform inside a bin, so half of one could
    not be drawn as the model has it.
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
        allowed[name] = _allowed(coded[name], value)
    return allowed


def _allowed(attribute: CodedAttribute, value: str) -> np.ndarray:
    """Return which codes of one attribute meet its condition."""
    codes = np.arange(attribute.size)
    if value == "":
        if not attribute.missing:
            raise InvalidArgument(f"{attribute.name!r} is never missing", hint="give a value")
        return np.equal(codes, attribute.size - 1)
    if isinstance(attribute, NumericAttribute):
        first, last = _bins(attribute, value)
        return np.logical_and(first <= codes, codes < last)
    return np.equal(codes, _listed(ListedCodec(attribute=attribute), value))


def _listed(codec: ListedCodec, value: str) -> int:
    """Return the code of one listed value, or of ``other`` by the name that it is drawn under."""
    attribute = codec.attribute
    codes, note = codec.encode(pa.array([value], pa.large_string()))
    if not note.unseen:
        return int(codes[0])
    drawn = codec.decode(np.arange(attribute.size, dtype=np.uint16), uniform=np.zeros)
    spelled = [None if label is None else str(label) for label in drawn.to_pylist()]
    if value in spelled:
        return spelled.index(value)
    shown = ", ".join(repr(label) for label in spelled[:_SHOWN] if label is not None)
    more = "" if len(spelled) <= _SHOWN else ", ..."
    raise InvalidArgument(
        f"{attribute.name!r} has no value {value!r}", hint=f"its values are {shown}{more}"
    )


def _bins(attribute: NumericAttribute, value: str) -> tuple[int, int]:
    """Return the first bin of a range, and the one after its last."""
    low, dots, high = value.partition(_RANGE)
    if not dots and isinstance(attribute, IntegerAttribute):
        high = low
    elif not dots:
        raise InvalidArgument(
            f"{attribute.name!r} needs a range, not {value!r}", hint="write it as 'low..high'"
        )
    edges = attribute.edges()
    start = edges[0] if not low.strip() else _number(attribute, low)
    stop = edges[-1] if not high.strip() else _number(attribute, high)
    if isinstance(attribute, IntegerAttribute) and high.strip():
        stop += 1
    if not edges[0] <= start < stop <= edges[-1]:
        raise InvalidArgument(
            f"{value!r} is no range inside the bounds of {attribute.name!r}",
            hint=f"they are {spell_edge(attribute, edges[0])} and "
            f"{spell_edge(attribute, edges[-1])}",
        )
    first, last = (_edge(attribute, edges, number) for number in (start, stop))
    return first, last


def _edge(attribute: NumericAttribute, edges: Sequence[float], number: float) -> int:
    """Return the position of an edge; raise InvalidArgument naming its neighbours when none."""
    after = int(np.searchsorted(edges, number))
    if edges[after] == number:
        return after
    near = " and ".join(spell_edge(attribute, edge) for edge in edges[after - 1 : after + 1])
    raise InvalidArgument(
        f"{spell_edge(attribute, number)} lies inside a bin of {attribute.name!r}",
        hint=f"begin a range at {near}, or end it just before",
    )


def _number(attribute: NumericAttribute, text: str) -> float:
    """Read one end of a range."""
    try:
        if isinstance(attribute, DatetimeAttribute):
            return epoch_seconds(datetime.fromisoformat(text.strip()))
        number = int(text) if isinstance(attribute, IntegerAttribute) else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgument(f"{text!r} is not a value of {attribute.name!r}")
    return number


def spell_edge(attribute: NumericAttribute, number: float) -> str:
    """Spell one end of a range as it is read."""
    if isinstance(attribute, DatetimeAttribute):
        return datetime.fromtimestamp(number, tz=UTC).isoformat()
    return str(int(number)) if isinstance(attribute, IntegerAttribute) else f"{number:.12g}"
