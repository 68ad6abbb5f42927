"""What clocks show at the points of moments: hours of the day and days of the week, as counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.schema import NumericAttribute
from silosynth.common.values.grid import DAY, MICROSECONDS, MONDAY, ValueGrid

HOUR = 3_600 * MICROSECONDS
WEEK = 7 * DAY
HOURS, WEEKDAYS = "hours", "weekdays"
CELLS = {HOURS: 24, WEEKDAYS: 7}
"""Cells of what is counted; a week begins on Monday."""

_LENGTH = {HOURS: HOUR, WEEKDAYS: DAY}
_FEWEST_DAYS = {HOURS: 2, WEEKDAYS: 28}
"""Shorter than so many days, a tree says it all."""

_MOST_PLACES = 2**20
_MOST_TURNS = 1_000
_KNOWN = (-100 * 366 * DAY, 130 * 365 * DAY)
"""Turns of clocks are looked for from about 1870 to 2100."""
_QUARTER = HOUR // 4
_ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""Of what lies below it, what a range of points may seem to weigh whose points weigh nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How far clocks are ahead of a grid's microseconds: ``ahead[i]`` seconds from a turn on.

    ``turns`` are the points at which the second and later of ``ahead`` begin. Both are public: they
    follow from the zone that the schema names, and stand where they are used, so that no party's
    database of zones matters.
    """

    turns: tuple[int, ...] = ()
    ahead: tuple[int, ...] = (0,)

    def fault(self, grid: ValueGrid) -> str | None:
        """Say why clocks cannot be those of a grid; None where they can."""
        if len(self.ahead) != len(self.turns) + 1 or len(self.turns) > _MOST_TURNS:
            return "clocks have one offset before each turn and one after the last"
        if any(b <= a for a, b in pairwise((0, *self.turns, grid.points))):
            return "the turns of clocks do not rise inside the points"
        if any(abs(seconds) > 86_400 for seconds in self.ahead):
            return "clocks are a day ahead of UTC at most"
        return None if told_by(grid) else "hours and weekdays are counted of moments alone"

    def shown(self, points: np.ndarray, *, grid: ValueGrid) -> np.ndarray:
        """Return (rows,) int64, microseconds since Monday began on the clocks at each point."""
        part = np.searchsorted(np.asarray(self.turns, dtype=np.int64), points, side="right")
        # A whole period is taken off first, so that no product is above an int64.
        place = points % self.period(grid)
        shown: np.ndarray = (self.begins(grid)[part] + place * grid.stride) % WEEK
        return shown

    def begins(self, grid: ValueGrid) -> np.ndarray:
        """Return (offsets,) int64, what clocks show at the first point, were each offset its."""
        ahead = np.asarray(self.ahead, dtype=np.int64) * MICROSECONDS
        begins: np.ndarray = (grid.first % WEEK + ahead - MONDAY) % WEEK
        return begins

    def period(self, grid: ValueGrid) -> int:
        """Return after how many points clocks show the same again."""
        return WEEK // math.gcd(grid.stride, WEEK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCells:
    """Points by the hour of the day or the day of the week that clocks show at them.

    Guarantees: every point lies in one cell, so a row changes one cell by one.

    >>> grid = ValueGrid(first=0, stride=HOUR, decimals=0, points=100)
    >>> ClockCells(grid=grid, clocks=Clocks(), unit=WEEKDAYS).find(np.array([0, 23, 24])).tolist()
    [3, 3, 4]
    """

    grid: ValueGrid
    clocks: Clocks
    unit: str

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return CELLS[self.unit]

    @property
    def length(self) -> int:
        """Return the microseconds of a cell."""
        return _LENGTH[self.unit]

    def find(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the cell of each point."""
        cells: np.ndarray = self.clocks.shown(points, grid=self.grid) // self.length % self.cells
        return cells


def told_by(grid: ValueGrid) -> tuple[str, ...]:
    """Return what is counted of clocks at the points of moments; nothing that a tree says itself.

    Moments an hour or less apart have hours, and any have weekdays where several of them come up.
    """
    if grid.real or grid.months or grid.decimals or _places(grid) > _MOST_PLACES:
        return ()
    days = grid.points * grid.stride / DAY
    found = [HOURS] if grid.stride < DAY and days >= _FEWEST_DAYS[HOURS] else []
    several = WEEK // math.gcd(grid.stride, WEEK) > 1
    return (*found, *([WEEKDAYS] if several and days >= _FEWEST_DAYS[WEEKDAYS] else []))


def has_clocks(attribute: NumericAttribute, grid: ValueGrid) -> bool:
    """Say whether an attribute holds moments that are counted by clocks, whichever those are."""
    return attribute.kind == "datetime" and bool(told_by(grid))


def clocks_of(attribute: NumericAttribute, grid: ValueGrid) -> Clocks | None:
    """Return the clocks by which moments are counted; None for what is no moment.

    Those of the zone, where the points are of UTC.
    """
    match attribute.kind:
        case "datetime" if has_clocks(attribute, grid):
            utc = attribute.zone is not None and not attribute.local
            return _turns(attribute.zone, grid) if attribute.zone and utc else Clocks()
        case _:
            return None


def _turns(zone: str, grid: ValueGrid) -> Clocks:
    """Return when the clocks of a zone are put forward or back, to a quarter of an hour."""
    low = max(grid.first, _KNOWN[0]) // DAY * DAY
    high = min(grid.first + grid.stride * grid.points, _KNOWN[1])
    days = np.arange(low, max(high, low) + 2 * DAY, DAY, dtype=np.int64)
    changed = np.flatnonzero(np.diff(_ahead(days, zone)))
    quarters = (days[changed][:, None] + np.arange(0, DAY + 1, _QUARTER)[None, :]).ravel()
    moments = np.unique(np.concatenate((days[:1], quarters)))
    ahead = _ahead(moments, zone)
    at = np.flatnonzero(np.diff(ahead)) + 1
    points = [-(-(int(m) - grid.first) // grid.stride) for m in moments[at]]
    known = [(p, int(a)) for p, a in zip(points, ahead[at], strict=True) if p < grid.points]
    first = [a for p, a in known if p <= 0]
    later = {p: a for p, a in known if p > 0}
    kept = list(later.items())[-_MOST_TURNS:]
    begin = first[-1] if first else int(ahead[0])
    return Clocks(turns=tuple(p for p, _ in kept), ahead=(begin, *(a for _, a in kept)))


def _ahead(moments: np.ndarray, zone: str) -> np.ndarray:
    """Return (moments,) int64, the seconds that clocks of a zone are ahead of UTC."""
    there = pc.local_timestamp(pa.array(moments).cast(pa.timestamp("us", tz=zone)))
    ahead: np.ndarray = (there.cast(pa.int64()).to_numpy() - moments) // MICROSECONDS
    return ahead


def _block(grid: ValueGrid) -> int:
    """Return the points of a second, where several are in one; else 1."""
    whole = grid.stride < MICROSECONDS and MICROSECONDS % grid.stride == 0
    return MICROSECONDS // grid.stride if whole else 1


def _places(grid: ValueGrid) -> int:
    """Return after how many blocks of points clocks show the same again."""
    return WEEK // math.gcd(_block(grid) * grid.stride, WEEK)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLaw:
    """How often moments lie in each hour of the day and on each day of the week, beside evenly.

    ``hours`` (24) and ``weekdays`` (7) are weights of one point, both by ``clocks``, and multiply;
    an empty one says nothing.
    """

    clocks: Clocks
    hours: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()

    def fault(self, grid: ValueGrid) -> str | None:
        """Say why the law cannot be drawn from over a grid; None where it can."""
        sizes = (len(self.hours) in (0, 24), len(self.weekdays) in (0, 7))
        if not all(sizes) or any(w and not any(w) for w in (self.hours, self.weekdays)):
            return "hours are 24 weights and weekdays 7, not all of them 0"
        return self.clocks.fault(grid)

    def weigh(self, shown: np.ndarray) -> np.ndarray:
        """Return (rows,) float64 weights of what clocks show, in microseconds since Monday."""
        weights = np.ones(len(shown))
        if self.hours:
            weights *= np.asarray(self.hours, dtype=np.float64)[shown // HOUR % 24]
        if self.weekdays:
            weights *= np.asarray(self.weekdays, dtype=np.float64)[shown // DAY]
        return weights


class LaidOut:
    """A law over the points of a grid: the weight below every point, and the point of a weight.

    Points of one second weigh alike.
    """

    def __init__(self, law: DayLaw, grid: ValueGrid) -> None:
        """Lay a law out, once: a period of every offset of the clocks, and what turns part."""
        self._law, self._grid = law, grid
        self._block, self._many = _block(grid), _places(grid)
        self._turns = np.asarray(law.clocks.turns, dtype=np.int64)
        weeks = {seconds: self._week(seconds) for seconds in set(law.clocks.ahead)}
        self._weeks = [weeks[seconds] for seconds in law.clocks.ahead]
        begins = np.concatenate(([0], self._turns))
        own = [self._since(begins[i : i + 1], i)[0] for i in range(len(begins))]
        ends = [self._since(begins[i + 1 : i + 2], i)[0] for i in range(len(begins) - 1)]
        held = [end - begin for begin, end in zip(own, ends, strict=False)]
        self._bases = np.concatenate(([0.0], np.cumsum(held)))
        self._own = np.asarray(own)

    def below(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) float64, what all points below each weigh together."""
        part = np.searchsorted(self._turns, points, side="left")
        found: np.ndarray = self._bases[part] - self._own[part]
        for i in np.unique(part):
            rows = part == i
            found[rows] += self._since(points[rows], int(i))
        return found

    def between(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Return (rows,) float64, what the points of [start, stop) weigh; 0 of what rounding is."""
        low, high = self.below(start), self.below(stop)
        weight: np.ndarray = np.where(high - low > _ROUNDING * high, high - low, 0.0)
        return weight

    def weigh(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) float64, the weight of each point."""
        return self._law.weigh(self._law.clocks.shown(points, grid=self._grid))

    def draw(self, start: np.ndarray, stop: np.ndarray, *, inner: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the point of [start, stop) below which the share ``inner`` weighs.

        Evenly, where no point of a row's weighs anything.
        """
        low, held = self.below(start), self.between(start, stop)
        target = low + inner * held
        part = np.searchsorted(self._bases[1:], target, side="right")
        points = np.empty(len(start), dtype=np.int64)
        for i in np.unique(part):
            rows = part == i
            points[rows] = self._at(target[rows] - self._bases[i] + self._own[i], int(i))
        even = start + (inner * (stop - start)).astype(np.int64)
        found: np.ndarray = np.clip(np.where(held > 0, points, even), start, stop - 1)
        return found

    def _week(self, seconds: int) -> np.ndarray:
        """Return (blocks + 1,) the weight below every block of a period, at one offset."""
        begin = (self._grid.first + seconds * MICROSECONDS - MONDAY) % WEEK
        shown = begin + np.arange(self._many) * (self._block * self._grid.stride % WEEK)
        return np.concatenate(([0.0], np.cumsum(self._law.weigh(shown % WEEK))))

    def _since(self, points: np.ndarray, part: int) -> np.ndarray:
        """Return the weight below points as if clocks had been those of one part for ever."""
        week = self._weeks[part]
        block, place = np.divmod(points, self._block)
        whole, inside = np.divmod(block, self._many)
        rest = (week[inside + 1] - week[inside]) * (place / self._block)
        since: np.ndarray = whole * week[-1] + week[inside] + rest
        return since

    def _at(self, weight: np.ndarray, part: int) -> np.ndarray:
        """Return the points below which so much weighs: :meth:`_since` the other way round."""
        week = self._weeks[part]
        # At one offset none of the hours that there are may have a point: then no row's is there.
        whole = np.floor(weight / week[-1]) if week[-1] > 0 else np.zeros(len(weight))
        left = weight - whole * week[-1]
        inside = np.clip(np.searchsorted(week, left, side="right") - 1, 0, self._many - 1)
        held = week[inside + 1] - week[inside]
        share = np.clip((left - week[inside]) / np.where(held > 0, held, 1.0), 0.0, 1.0)
        place = np.minimum((share * self._block).astype(np.int64), self._block - 1)
        points: np.ndarray = (whole.astype(np.int64) * self._many + inside) * self._block + place
        return points
