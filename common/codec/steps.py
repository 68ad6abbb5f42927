"""The step that a column's moments or spans lie apart, where a draft can be sure of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from silosynth.common.codec.bins import UNITS
from silosynth.common.codec.facts import FEW
from silosynth.common.schema import Resolution

_WORDS = tuple((UNITS[unit], unit.value) for unit in UNITS)
_DAY = UNITS[Resolution.DAY]
_MANY_MOMENTS, _LONG, _FEW_HOURS = 200, 32, 0.7
"""Moments of which some would lie in each hour, days beyond which bins are longer than one, and
the share of hours up to which they are told."""
_HOURS = (
    "all lie in some hours of the day, which runs over one table count and keep; of several "
    "tables, part the column into a day and a time of day to keep them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``count`` of a resolution lie between points, the first and the last of which are ends.

    ``first``, ``last`` and ``stride`` are in microseconds, as the values that it was found in are.
    """

    count: int
    first: int
    last: int
    stride: int
    why: str

    @property
    def moments(self) -> dict[str, str]:
        """Return the ends as facts of moments: microseconds are counted from 1970 on."""
        ends = (np.datetime64(tick, "us") for tick in (self.first, self.last))
        spelled = (str(end.astype(datetime).isoformat()) for end in ends)
        return dict(zip(("minimum", "maximum"), spelled, strict=True))

    def in_hours(self, resolution: str) -> dict[str, Any]:
        """Return the facts of the step, in minutes or hours where all points are whole ones.

        Fractions of a second keep their unit, which says how many digits are written.
        """
        units = [Resolution.HOUR, Resolution.MINUTE, Resolution.SECOND]
        if resolution not in units:
            return {"resolution": resolution, "step": self.count}
        whole = int(np.gcd(self.stride, self.first))
        unit = next(r for r in units if whole % UNITS[r] == 0)
        return {"resolution": unit.value, "step": self.stride // UNITS[unit]}


def find_step(
    numbers: np.ndarray, *, unit: int, bounds: tuple[float, float], daily: bool
) -> Step | None:
    """Return the step between distinct values; None where they are few, or lie any unit apart.

    Of more than twenty values none lies off the points: each would by chance in one of two at the
    least. Steps of a day's part are parts of the day, so that quarters of an hour stay such.

    Args:
        numbers: (values,) microseconds, NaN for what has none.
        unit: microseconds of the resolution; all values are multiples of it.
        bounds: in seconds; the ends lie inside of them.
        daily: whether the values are moments, and no lengths.
    """
    ticks = np.unique(numbers[~np.isnan(numbers)].astype(np.int64))
    if len(ticks) <= FEW:
        return None
    stride = int(np.gcd.reduce(ticks - ticks[0]))
    if daily and stride % _DAY:
        stride = int(np.gcd(stride, _DAY))
    if stride <= unit or stride % unit:
        return None
    low, high = (round(bound * 1e6) for bound in bounds)
    first = low + (int(ticks[0]) - low) % stride
    return Step(
        count=stride // unit,
        first=first,
        last=first + (high - first) // stride * stride,
        stride=stride,
        why=f"all lie a multiple of {_spell(stride)} apart; take step out if others may not",
    )


def told_hours(numbers: np.ndarray, *, stride: int) -> tuple[str, ...]:
    """Say so where moments of a long time lie in part of the day alone, which families do not keep.

    Args:
        numbers: (values,) microseconds since 1970, each once, NaN for what has none.
        stride: microseconds between points.
    """
    ticks = numbers[~np.isnan(numbers)].astype(np.int64)
    if len(ticks) < _MANY_MOMENTS or np.ptp(ticks) < _LONG * _DAY or stride % _DAY == 0:
        return ()
    hour = UNITS[Resolution.HOUR]
    there = len(np.unique(ticks % _DAY // hour))
    could = _DAY // max(hour, int(np.gcd(stride, _DAY)))
    return (_HOURS,) if there <= _FEW_HOURS * could else ()


def _spell(stride: int) -> str:
    """Write a length in its largest unit.

    >>> _spell(900_000_000)
    '15 minutes'
    """
    size, word = next((size, word) for size, word in _WORDS if stride % size == 0)
    count = stride // size
    return f"{count} {word}{'s' * (count > 1)}"
