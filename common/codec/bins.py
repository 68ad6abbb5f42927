"""What kinds share whose codes are bins: conditions on ranges, names of bins, bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import NumericAttribute

RANGE = ".."


def value_range(
    attribute: NumericAttribute,
    value: str,
    *,
    read: Callable[[str], float],
    spell: Callable[[float], str],
) -> tuple[float, float]:
    """Return the ends of a range ``low..high``, the upper one excluded; either may be left out.

    Whole numbers include both ends, the others exclude the high one.
    """
    low, dots, high = value.partition(RANGE)
    if not dots and attribute.unit:
        high = low
    elif not dots:
        raise InvalidArgument(
            f"{attribute.name!r} needs a range, not {value!r}", hint="write it as 'low..high'"
        )
    edges = attribute.edges()
    start = edges[0] if not low.strip() else _number(attribute, low, read=read)
    stop = edges[-1] if not high.strip() else _number(attribute, high, read=read)
    stop += attribute.unit if high.strip() else 0
    if not edges[0] <= start < stop <= edges[-1]:
        raise InvalidArgument(
            f"{value!r} is no range inside the bounds of {attribute.name!r}",
            hint=f"they are {spell(edges[0])} and {spell(edges[-1])}",
        )
    return start, stop


def bins_between(
    attribute: NumericAttribute, bounds: tuple[float, float], *, spell: Callable[[float], str]
) -> np.ndarray:
    """Return (codes,) bool: the bins of a range.

    Raises InvalidArgument for one that does not begin and end where bins do: rows are uniform
    inside a bin, so half of one could not be drawn as the model has it.
    """
    edges = attribute.edges()
    first, last = (_place(attribute, edges, n, spell=spell) for n in bounds)
    codes = np.arange(attribute.size)
    return np.logical_and(first <= codes, codes < last)


def _place(
    attribute: NumericAttribute,
    edges: Sequence[float],
    number: float,
    *,
    spell: Callable[[float], str],
) -> int:
    """Return the position of an edge; raise InvalidArgument naming its neighbours when none."""
    after = int(np.searchsorted(edges, number))
    if edges[after] == number:
        return after
    near = " and ".join(spell(edge) for edge in edges[after - 1 : after + 1])
    raise InvalidArgument(
        f"{spell(number)} lies inside a bin of {attribute.name!r}",
        hint=f"begin a range at {near}, or end it just before",
    )


def _number(attribute: NumericAttribute, text: str, *, read: Callable[[str], float]) -> float:
    """Read one end of a range."""
    try:
        number = read(text.strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgument(f"{text!r} is not a value of {attribute.name!r}")
    return number


def bin_words(attribute: NumericAttribute, *, spell: Callable[[float], str]) -> list[str]:
    """Name each bin by its first value and the edge, for whole numbers the value, where it ends."""
    edges, unit = attribute.edges(), attribute.unit
    return [f"{spell(low)} to {spell(high - unit)}" for low, high in pairwise(edges)]


def two_digits(low: float, high: float, *, step: float = 0.0) -> tuple[float, float]:
    """Round bounds outward to two digits of their span, at least to ``step``; keep equal ones."""
    size = max(abs(low), abs(high))
    if low == high:
        return low, high
    span = max(high - low, size * 1e-9, 1e-290)
    unit = max(step, 10.0 ** (math.floor(math.log10(span)) - 1))
    bottom, top = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    bottom, top = min(float(f"{bottom:.12g}"), low), max(float(f"{top:.12g}"), high)
    return bottom, top
