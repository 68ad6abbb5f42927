"""The points that a number may take, by the schema alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from fractions import Fraction

import numpy as np

from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import (
    DatetimeAttribute,
    Edges,
    NumericAttribute,
    RealAttribute,
    Resolution,
    Schema,
    as_numeric,
    reading_format,
)

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS
_MOST_POINTS = 2**48
_MOST_TICK = 2**52
"""Ticks up to here are told apart as float64."""

_EON = 10_000 * 12
"""Months from 1970 on, or before it, that no instant is beyond."""

_CALENDAR = {Resolution.YEAR: 12, Resolution.QUARTER: 3, Resolution.MONTH: 1}
"""Resolutions whose points are not one length apart, in months."""

_DIGITS = 12
"""A real without ``decimals`` is told apart to so many digits of its span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueGrid:
    """The points ``(first + k * stride) / 10^decimals`` for ``0 <= k < points``.

    A tick is 10^-decimals; of instants, a microsecond. Of ``months`` it is a month since 1970, and
    numbers are microseconds still: a point is the start of its month. A number belongs to the
    nearest point where it is ``real``, else to the point at or below it; beyond the bounds, to the
    first or the last.

    >>> ValueGrid(first=0, stride=1, decimals=2, points=101, real=True).find(np.array([0.29, 7.0]))
    array([ 29, 100])
    """

    first: int
    stride: int
    decimals: int
    points: int
    real: bool = False
    months: bool = False

    def __post_init__(self) -> None:
        last = self.first + self.stride * (self.points - 1)
        if not (
            self.stride >= 1
            and 1 <= self.points <= _MOST_POINTS
            and -400 <= self.decimals <= 20
            and max(abs(self.first), abs(last)) <= 2**62
            and not (self.months and (self.real or self.decimals or max(-self.first, last) > _EON))
        ):
            raise InvalidSchema("the points of a number are out of range")

    def find(self, numbers: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the point of each number; none of them may be NaN.

        Args: numbers: as the codec reads them; instants in microseconds.
        """
        if self.real:
            with np.errstate(over="ignore"):
                scaled = self._scaled(numbers)
                # The first tick is taken off last where it can be, as it is in SQL.
                apart = np.floor(scaled + 0.5) - self.first
            place = (
                apart if self.stride == 1 else np.floor((scaled - self.first) / self.stride + 0.5)
            )
        elif self.months:
            place = np.floor((_months(numbers) - self.first) / self.stride)
        else:
            place = np.floor((numbers - self.first) / self.stride)
        points: np.ndarray = np.clip(place, 0, self.points - 1).astype(np.int64)
        return points

    def values(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) the numbers at ``points``: float64 of a real, else int64."""
        ticks = self.first + points.astype(np.int64) * self.stride
        if self.months:
            return ticks.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
        if not self.real:
            return ticks
        whole = ticks.astype(np.float64)
        power = float(10 ** abs(self.decimals))
        # A quotient of whole numbers below 2^53 is the double that its decimal spells.
        numbers: np.ndarray = whole / power if self.decimals >= 0 else whole * power
        return numbers

    def at_or_above(self, number: float) -> int:
        """Return the first point whose value is ``number`` or more; ``points`` when none is."""
        tick = number
        if self.real:
            power = float(10 ** abs(self.decimals))
            tick = number * power if self.decimals >= 0 else number / power
        elif self.months:
            # A microsecond into a month, the next one is the first that is not below.
            tick = float(_months(np.array([math.ceil(number) - 1]))[0] + 1)
        place = math.ceil((tick - self.first) / self.stride - 1e-6)
        return min(max(place, 0), self.points)

    def edge(self, point: int) -> float:
        """Return the number from which on numbers belong to ``point`` or a later one."""
        tick = self.first + point * self.stride
        if not self.real:
            return float(self.values(np.array([point]))[0] if self.months else tick)
        power = float(10 ** abs(self.decimals))
        low = tick - self.stride / 2
        return low / power if self.decimals >= 0 else low * power

    @property
    def phase(self) -> int:
        """Return the number of strides between zero and the first point, rounded down."""
        return self.first // self.stride

    def _scaled(self, numbers: np.ndarray) -> np.ndarray:
        power = float(10 ** abs(self.decimals))
        scaled: np.ndarray = numbers * power if self.decimals >= 0 else numbers / power
        return scaled


def _months(numbers: np.ndarray) -> np.ndarray:
    """Return (rows,) int64, the months since 1970 that microseconds lie in."""
    # Whole numbers stay whole: those before 1685 are no floats of their own.
    inside = np.clip(numbers, -_EON * 28 * DAY, _EON * 28 * DAY)
    moments = np.floor(inside).astype(np.int64).astype("datetime64[us]")
    months: np.ndarray = moments.astype("datetime64[M]").astype(np.int64)
    return months


MONDAY = -3 * DAY
"""The Monday before 1970, in microseconds."""
_TIMES = ("datetime", "time", "duration")
"""Kinds whose points are microseconds; those of a kind that is not known here are its bins'."""


def grid_of(attribute: NumericAttribute) -> ValueGrid | None:
    """Return the points of a numeric attribute; None where they cannot be told apart."""
    match attribute.kind:
        case "integer":
            step = attribute.step or 1
            points = (attribute.maximum - attribute.minimum) // step + 1
            return _grid(first=attribute.minimum, stride=step, decimals=0, points=points)
        case "real":
            return _real_grid(attribute) if attribute.step is None else _stepped_grid(attribute)
        case "datetime" if attribute.resolution is None:
            return _instant_grid(attribute, stride=DAY if _whole_days(attribute) else MICROSECONDS)
        case "datetime" | "time" | "duration":
            if attribute.resolution in _CALENDAR:
                return _month_grid(attribute, stride=_CALENDAR[attribute.resolution])
            week = attribute.resolution is Resolution.WEEK
            start = MONDAY if week else attribute.first_tick
            return _instant_grid(attribute, stride=_ticks(attribute), start=start)
        case _:
            return None


def per_unit(attribute: NumericAttribute) -> int:
    """Return how many of a grid's numbers make one unit of the attribute's bounds."""
    return MICROSECONDS if attribute.kind in _TIMES else 1


def _ticks(attribute: NumericAttribute) -> int:
    """Return the declared resolution or step in microseconds, a second without one."""
    grid = attribute.grid
    return MICROSECONDS if grid is None else int(grid * MICROSECONDS)


def refined_attributes(schema: Schema) -> dict[str, ValueGrid]:
    """Return the grids of the attributes whose bins hold several points, in the schema's order.

    Pixels of a picture are left out: they are modelled as they are.
    """
    kept = keeps_bins(schema)
    pixels = {name for image in schema.images for name in image.attributes}
    grids: dict[str, ValueGrid] = {}
    for attribute in schema.numbers:
        if attribute.name not in pixels:
            grid = grid_of(attribute)
            if grid is None or grid.points <= attribute.values:
                continue
            if attribute.name not in kept or declared_edges(attribute, grid) is not None:
                grids[attribute.name] = grid
    return grids


def keeps_bins(schema: Schema) -> frozenset[str]:
    """Return the attributes whose bins stay: their edges, or what cannot be, are declared."""
    fixed = {name for zeros in schema.structural_zeros for name in zeros.attributes}
    fixed |= {name for zeros in schema.ruled.zeros for name in zeros.clique}
    return frozenset(a.name for a in schema.numbers if a.name in fixed or isinstance(a.bins, Edges))


def declared_edges(attribute: NumericAttribute, grid: ValueGrid) -> tuple[int, ...] | None:
    """Return the points at which declared bins begin; None where a bin has no point."""
    scale = per_unit(attribute)
    points = tuple(grid.at_or_above(edge * scale) for edge in attribute.edges()[1:-1])
    if any(b <= a for a, b in zip((0, *points), (*points, grid.points), strict=True)):
        return None
    return points


def edges_schema(schema: Schema, edges: Mapping[str, tuple[int, ...]]) -> Schema:
    """Return :func:`refine` of the edges of those numbers whose bins do not stay."""
    kept = keeps_bins(schema)
    return refine(schema, edges={n: points for n, points in edges.items() if n not in kept})


def refine(schema: Schema, *, edges: Mapping[str, tuple[int, ...]]) -> Schema:
    """Return the schema with the bins that begin at points: its codes are as many as before.

    Args: edges: per attribute, the points at which its second and later bins begin.
    """
    grids = refined_attributes(schema)
    counted = tuple(
        _refined(number, grid=grids[a.name], edges=edges[a.name])
        if a.name in edges and (number := as_numeric(a)) is not None
        else a
        for a in schema.ruled.attributes
    )
    return schema.counting(counted)


def check_edges(schema: Schema, *, edges: Mapping[str, tuple[int, ...]]) -> str | None:
    """Say what is wrong with the edges of :func:`refine`; None where they can be."""
    grids, by_name = refined_attributes(schema), {a.name: a for a in schema.numbers}
    kept = keeps_bins(schema)
    for name, points in edges.items():
        if name not in grids or name in kept:
            return f"the bins of {name!r} are fixed"
        attribute = by_name[name]
        if len(points) != attribute.values - 1:
            return f"{name!r} has {attribute.values} bins, not {len(points) + 1}"
        if any(b <= a for a, b in zip((0, *points), (*points, grids[name].points), strict=True)):
            return f"the bins of {name!r} do not rise inside its bounds"
    return None


def _refined(
    attribute: NumericAttribute, *, grid: ValueGrid, edges: tuple[int, ...]
) -> NumericAttribute:
    """Return an attribute with bins that begin at points."""
    if not edges:
        return attribute
    scale = per_unit(attribute)
    bins = Edges.model_construct(edges=tuple(grid.edge(k) / scale for k in edges))
    return attribute.model_copy(update={"bins": bins})


def _real_grid(attribute: RealAttribute) -> ValueGrid | None:
    """Return the points of a real: multiples of a power of ten inside its bounds."""
    low, high = attribute.minimum, attribute.maximum
    decimals = attribute.decimals
    if decimals is None:
        decimals = _DIGITS - math.ceil(math.log10(high - low))
    most = max(abs(low), abs(high))
    if most > 0:
        decimals = min(decimals, math.floor(math.log10(_MOST_TICK) - math.log10(most)))
    decimals = min(decimals, 20)
    if decimals < -300:
        return None
    power = 10.0 ** abs(decimals)
    ticks = [x * power if decimals >= 0 else x / power for x in (low, high)]
    first, last = math.ceil(ticks[0] - 1e-6), math.floor(ticks[1] + 1e-6)
    return _grid(first=first, stride=1, decimals=decimals, points=last - first + 1, real=True)


def _stepped_grid(attribute: RealAttribute) -> ValueGrid | None:
    """Return the points of a real with a step: ``minimum + k * step``, in exact decimals."""
    low, high = (Decimal(repr(float(x))) for x in (attribute.minimum, attribute.maximum))
    step = Decimal(repr(attribute.step))
    decimals = max(-int(x.normalize().as_tuple().exponent) for x in (low, step) if x)
    # Larger powers of ten are no floats.
    if not -22 <= decimals <= 20 or max(abs(low), abs(high)).scaleb(decimals) > _MOST_TICK:
        return None
    first, stride = int(low.scaleb(decimals)), int(step.scaleb(decimals))
    # A bound that is on a point but for rounding is one.
    points = math.floor(Fraction(high - low) / Fraction(step) + Fraction(1, 10**6)) + 1
    return _grid(first=first, stride=stride, decimals=decimals, points=points, real=True)


def _month_grid(attribute: NumericAttribute, *, stride: int) -> ValueGrid | None:
    """Return the starts of months that are ``stride`` apart, inside the bounds."""
    low, high = (round(x * MICROSECONDS) for x in attribute.limits())
    # From the first start that is not before the lower bound, to the last that is not after.
    ends = _months(np.array([low - 1, high])) // stride
    first, last = int(ends[0]) + 1, int(ends[1])
    points = last - first + 1
    return _grid(first=first * stride, stride=stride, decimals=0, points=points, months=True)


def _instant_grid(attribute: NumericAttribute, *, stride: int, start: int = 0) -> ValueGrid | None:
    """Return the points of instants, times or spans from the lower bound on.

    Args: start: one of the points, in microseconds since 1970.
    """
    low, high = (round(x * MICROSECONDS) for x in attribute.limits())
    first = start - (start - low) // stride * stride
    return _grid(first=first, stride=stride, decimals=0, points=(high - first) // stride + 1)


def _whole_days(attribute: DatetimeAttribute) -> bool:
    """Say whether nothing in the schema speaks of a time of day."""
    midnight = all(x.time() == time(0) for x in (attribute.minimum, attribute.maximum))
    marks = "" if attribute.format is None else reading_format(attribute.format)
    return midnight and not any(f"%{letter}" in marks for letter in "HIMSfpXcr")


def _grid(
    *,
    first: int,
    stride: int,
    decimals: int,
    points: int,
    real: bool = False,
    months: bool = False,
) -> ValueGrid | None:
    """Return a grid of at least two points that are not too many."""
    if not 2 <= points <= _MOST_POINTS:
        return None
    return ValueGrid(
        first=first, stride=stride, decimals=decimals, points=points, real=real, months=months
    )
