"""Numbers to bins, bins to the points that values lie on, and fine bins to quantile groups.

And what kinds share whose codes are bins: conditions on ranges, names of bins, bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd

import numpy as np

from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import (
    DatetimeAttribute,
    DurationAttribute,
    NumericAttribute,
    Resolution,
    TimeAttribute,
)

UNITS = {
    Resolution.DAY: 86_400_000_000,
    Resolution.HOUR: 3_600_000_000,
    Resolution.MINUTE: 60_000_000,
    Resolution.SECOND: 1_000_000,
    Resolution.MILLISECOND: 1_000,
    Resolution.MICROSECOND: 1,
}
"""Resolutions in microseconds, but for those of the calendar."""
_CALENDAR = {Resolution.YEAR: ("Y", 1), Resolution.QUARTER: ("M", 3), Resolution.MONTH: ("M", 1)}
_MONDAY = -3 * 86_400_000_000
_EVEN_TOLERANCE = 1e-6
_BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinEdges:
    """Rising edges: bin i holds ``edges[i] <= x < edges[i + 1]``.

    ``even`` says that all bins have nearly one width, so that a division finds the bin.
    """

    edges: np.ndarray
    even: bool

    @property
    def count(self) -> int:
        """Return the number of bins."""
        return len(self.edges) - 1


def bin_edges(edges: tuple[float, ...]) -> BinEdges:
    """Build bins from rising edges, and find out whether they are even."""
    array = np.asarray(edges, dtype=np.float64)
    count = len(array) - 1
    line = array[0] + (array[-1] - array[0]) * np.arange(count + 1) / count
    width = (array[-1] - array[0]) / count
    resolution = np.spacing(np.abs(array).max())
    even = bool(np.abs(array - line).max() < 0.9 * width and resolution < _EVEN_TOLERANCE * width)
    return BinEdges(edges=array, even=even)


def find_bins(values: np.ndarray, *, bins: BinEdges) -> np.ndarray:
    """Return the bin of each number, clipping to the first and the last bin.

    Guarantees: the same bin as a binary search over the edges finds.

    Args:    values: (rows,) float64 without NaN; infinities are clipped.
    Returns: (rows,) uint16 in [0, bins.count).
    """
    found = np.empty(len(values), dtype=np.uint16)
    find = _divide if bins.even else _search
    # In blocks, so that what is worked out on the way stays in the processor's cache.
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values[start : start + _BLOCK_ROWS]
        found[start : start + _BLOCK_ROWS] = find(block, bins)
    return found


def _search(values: np.ndarray, bins: BinEdges) -> np.ndarray:
    """Find bins of any width by binary search."""
    found: np.ndarray = np.searchsorted(bins.edges[1:-1], values, side="right")
    return found


def _divide(values: np.ndarray, bins: BinEdges) -> np.ndarray:
    """Find bins of nearly one width by a division, and step to the neighbour where it is off."""
    edges, last = bins.edges, bins.count - 1
    inside = np.clip(values, edges[0], edges[-1])
    scale = bins.count / (edges[-1] - edges[0])
    found: np.ndarray = np.minimum((inside - edges[0]) * scale, last).astype(np.intp)
    found -= inside < edges[found]
    found += inside >= edges[found + 1]
    np.minimum(found, last, out=found)
    return found


def quantile_groups(counts: np.ndarray, *, count: int) -> tuple[int, ...]:
    """Merge neighbouring bins into at most ``count`` groups of about equal mass.

    Bins that hold a whole group's mass stand alone; the runs between them share what is left.
    Noised counts below zero weigh nothing. Without any mass the groups are equally wide.

    Guarantees: groups are 0..n-1 without gaps, never fall, and ``n <= count``.

    Args:    counts: (bins,) noised counts, at least one.
    Returns: the group of each bin.
    """
    if len(counts) == 0 or count < 1:
        raise InvalidArgument(f"cannot make {count} groups of {len(counts)} bins")
    mass = np.clip(np.asarray(counts, dtype=np.float64), 0.0, None)
    if mass.sum() <= 0.0:
        mass = np.ones(len(mass))
    alone, share = heavy_bins(mass, count=count)
    starts = np.zeros(len(mass), dtype=bool)
    for first, end in _runs(alone):
        starts[first] = True
        if not alone[first]:
            starts[first:end] |= _split_run(mass[first:end], share=share)
    _close_light_gaps(starts, mass=mass, count=count)
    return tuple(int(group) for group in np.cumsum(starts) - 1)


def heavy_bins(mass: np.ndarray, *, count: int) -> tuple[np.ndarray, float]:
    """Return which bins stand alone, and the mass that each other group should hold.

    Args: mass: (bins,) of each, none below zero. count: of groups.
    """
    alone = np.zeros(len(mass), dtype=bool)
    share = mass.sum() / count
    while (heavy := ~alone & (mass >= share) & (mass > 0)).any():
        alone |= heavy
        share = mass[~alone].sum() / max(count - int(alone.sum()), 1)
    return alone, float(share)


def _runs(alone: np.ndarray) -> list[tuple[int, int]]:
    """Return [first, end) of each heavy bin and of each run of light bins."""
    cuts = np.flatnonzero(alone[1:] | alone[:-1]) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(alone)], strict=True))


def _split_run(mass: np.ndarray, *, share: float) -> np.ndarray:
    """Mark the first bin of each group within a run of light bins."""
    total = mass.sum()
    groups = max(1, round(total / share)) if share > 0.0 else 1
    middle = np.cumsum(mass) - mass / 2
    group = np.zeros(len(mass)) if groups == 1 else np.floor(middle * groups / total)
    starts: np.ndarray = np.diff(group, prepend=-1.0) > 0
    return starts


def _close_light_gaps(starts: np.ndarray, *, mass: np.ndarray, count: int) -> None:
    """Join the lightest pair of neighbours, in place, until ``count`` groups are left."""
    while (firsts := np.flatnonzero(starts)).size > count:
        load = np.add.reduceat(mass, firsts)
        starts[firsts[int(np.argmin(load[:-1] + load[1:])) + 1]] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Point k is ``(base + k * stride) / denominator``, or the start of a month or year.

    ``calendar`` is ``M`` or ``Y``: points are ``stride`` of them apart then, in microseconds
    since 1970.
    """

    base: int = 0
    stride: int = 1
    denominator: int = 1
    calendar: str = ""

    def points(self, numbers: np.ndarray) -> np.ndarray:
        """Return (points,) float64 for (points,) int64."""
        if self.calendar:
            starts = (
                (numbers * self.stride)
                .astype(f"datetime64[{self.calendar}]")
                .astype("datetime64[us]")
            )
            whole: np.ndarray = starts.astype(np.int64).astype(np.float64)
            return whole
        exact: np.ndarray = (self.base + numbers * self.stride) / self.denominator
        return exact

    def near(self, values: np.ndarray) -> np.ndarray:
        """Return (values,) int64, the points that are nearest, off by one at the most."""
        if self.calendar:
            moments = np.floor(values).astype(np.int64).astype("datetime64[us]")
            months: np.ndarray = moments.astype(f"datetime64[{self.calendar}]").astype(np.int64)
            return months // self.stride
        found: np.ndarray = np.rint((values * self.denominator - self.base) / self.stride)
        return found.astype(np.int64)


def grid_of(step: Fraction, *, start: Fraction = Fraction(0)) -> Grid:
    """Return the grid of ``start + k * step``."""
    shared = gcd(step.denominator, start.denominator)
    denominator = step.denominator * start.denominator // shared
    return Grid(
        base=int(start * denominator), stride=int(step * denominator), denominator=denominator
    )


def bin_points(grid: Grid, *, edges: np.ndarray, closed: bool) -> np.ndarray:
    """Return (bins, 2) int64: the first point of each bin, and how many there are.

    A bin without any has the one after its lower edge. ``closed`` bounds include the last edge.
    """
    first = _at_or_after(grid, edges)
    count = np.diff(first)
    if closed and float(grid.points(first[-1:])[0]) == edges[-1]:
        count[-1] += 1
    starts = np.where(count > 0, first[:-1], np.minimum(first[:-1], first[-1] - (not closed)))
    return np.stack([starts, np.maximum(count, 1)], axis=1)


def _at_or_after(grid: Grid, values: np.ndarray) -> np.ndarray:
    """Return the first point that is not below each value."""
    found = grid.near(values) - 1
    while (low := grid.points(found) < values).any():
        found = found + low
    return found


def resolution_grid(resolution: Resolution | None) -> Grid | None:
    """Return the points of a resolution, in microseconds."""
    if resolution is None or resolution is Resolution.MICROSECOND:
        return None
    if resolution in _CALENDAR:
        calendar, stride = _CALENDAR[resolution]
        return Grid(calendar=calendar, stride=stride)
    if resolution is Resolution.WEEK:
        return Grid(base=_MONDAY, stride=7 * UNITS[Resolution.DAY])
    return Grid(stride=UNITS[resolution])


def temporal_grid(attribute: DatetimeAttribute | TimeAttribute | DurationAttribute) -> Grid | None:
    """Return the points of a declared step or resolution, in microseconds."""
    if attribute.step is None or attribute.grid is None:
        return resolution_grid(attribute.resolution)
    return Grid(base=attribute.first_tick, stride=int(attribute.grid * 1_000_000))


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


def stepped_bounds(value: float, low: float, high: float, *, step: Fraction) -> tuple[float, float]:
    """Widen bounds so that both are a whole number of steps from a value between them.

    >>> stepped_bounds(8, 3, 100, step=Fraction(5))
    (3.0, 103.0)
    """
    near = Fraction(repr(value))
    below = math.ceil((near - Fraction(repr(low))) / step)
    above = math.ceil((Fraction(repr(high)) - near) / step)
    return float(near - below * step), float(near + above * step)
