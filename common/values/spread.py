"""How values lie inside the codes of a number: what a sampler carries, and how it draws from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from silosynth.common.errors import InvalidSampler
from silosynth.common.schema import PlainModel
from silosynth.common.values.clocks import Clocks, DayLaw, LaidOut
from silosynth.common.values.grid import ValueGrid

Uniform = Callable[[int], np.ndarray]

WHOLE = 2**31
"""What the integer masses of all pieces add up to at most, and a whole chance in ``heaps``."""

_MOST_PIECES = 2**20
_Point = Annotated[int, Field(ge=0, le=2**48)]
_Share = Annotated[int, Field(ge=0, le=WHOLE)]


class LawData(PlainModel):
    """The plain data of a :class:`DayLaw`."""

    turns: tuple[_Point, ...] = Field(default=(), max_length=1_000)
    ahead: tuple[int, ...] = Field(max_length=1_001)
    hours: tuple[_Share, ...] = ()
    weekdays: tuple[_Share, ...] = ()


class SpreadData(PlainModel):
    """The plain data of a :class:`Spread`, as a sampler file has it."""

    first: int = Field(ge=-(2**62), le=2**62)
    stride: int = Field(ge=1, le=2**62)
    decimals: int = Field(ge=-400, le=20)
    points: int = Field(ge=1, le=2**48)
    real: bool
    edges: tuple[_Point, ...]
    start: tuple[_Point, ...] = Field(max_length=_MOST_PIECES)
    stop: tuple[_Point, ...] = Field(max_length=_MOST_PIECES)
    mass: tuple[_Share, ...] = Field(max_length=_MOST_PIECES)
    moduli: tuple[Annotated[int, Field(ge=1, le=2**48)], ...] = ()
    heaps: tuple[_Share, ...] = ()
    months: bool = False
    day: LawData | None = None


@dataclass(frozen=True, eq=False)
class Spread:
    """Pieces of points with integer masses, each inside one code.

    ``edges`` are the points at which the second and later codes begin; piece i holds the points
    from ``start[i]`` up to below ``stop[i]``, all alike but for ``heaps``: with the chance
    ``heaps[j]`` of 2^31, asked from the last to the first, a value of a piece of several points is
    a multiple of ``moduli[j]`` strides where the piece has one. Of moments, ``day``
    weighs points of a piece by the hour and the weekday that clocks show at them.

    Guarantees: what can be built can be drawn from; every value drawn lies in its code's points.
    """

    grid: ValueGrid
    edges: tuple[int, ...]
    start: np.ndarray = field(repr=False)
    stop: np.ndarray = field(repr=False)
    mass: np.ndarray = field(repr=False)
    moduli: tuple[int, ...] = ()
    heaps: tuple[int, ...] = ()
    day: DayLaw | None = None

    def __post_init__(self) -> None:
        bounds = (0, *self.edges, self.grid.points)
        sizes = {len(self.start), len(self.stop), len(self.mass)}
        if any(b <= a for a, b in pairwise(bounds)) or len(sizes) != 1:
            raise InvalidSampler("the codes of a number do not rise")
        if len(self.start) and not (
            (self.start >= 0).all()
            and (self.start < self.stop).all()
            and (self.stop[:-1] <= self.start[1:]).all()
            and self.stop[-1] <= self.grid.points
            and (self._code_of(self.start) == self._code_of(self.stop - 1)).all()
            and (self.mass > 0).all()
            and int(self.mass.sum()) <= 4 * WHOLE
        ):
            raise InvalidSampler("the pieces of a number overlap, or cross its codes")
        if len(self.moduli) != len(self.heaps):
            raise InvalidSampler("a number has other heaps than moduli")
        if self.day and (fault := self.day.fault(self.grid)):
            raise InvalidSampler(fault)

    def draw(self, codes: np.ndarray, *, uniform: Uniform) -> np.ndarray:
        """Return (rows,) int64, a point for each code.

        The rows of one code are spread over its pieces evenly, not one by one, so that a small
        table has the shares of a large one; which row gets which is random.

        Args:
            codes: (rows,) each below the number of codes.
            uniform: returns ``count`` float64 in [0, 1); called three times.
        """
        order = np.argsort(codes + uniform(len(codes)), kind="stable")
        counts = np.bincount(codes, minlength=len(self.edges) + 1)
        before = np.cumsum(counts) - counts
        number = np.repeat(np.arange(len(counts)), counts)
        quantile = (np.arange(len(codes)) - before[number] + uniform(len(codes))) / counts[number]
        begins, masses = self._cumulative
        # In rising order, so that pieces are found by where they end and not row by row.
        target = begins[number] + np.minimum(quantile, _BELOW_ONE) * masses[number]
        stops = np.searchsorted(target, self._ends)
        piece = np.searchsorted(stops, np.arange(len(codes)), side="right")
        piece = np.clip(piece, self._piece_of_code[number], self._piece_of_code[number + 1] - 1)
        held = self._held[piece]
        inner = np.clip((target - (self._ends[piece] - held)) / held, 0.0, _BELOW_ONE)
        points = np.empty(len(codes), dtype=np.int64)
        points[order] = self._heaped(piece, inner, uniform=uniform)
        return points

    def share_between(self, low: int, high: int) -> np.ndarray:
        """Return (codes,) float64, the share of each code's values that lie in [low, high)."""
        held = self._held * self._portion(low, high)
        code = self._code_of(self._starts)
        shares: np.ndarray = np.bincount(code, weights=held) / np.bincount(code, weights=self._held)
        return shares

    def between(self, low: int, high: int) -> Spread:
        """Return the spread of the values in [low, high); codes without any keep theirs."""
        lost = self.share_between(low, high) == 0
        free = lost[self._code_of(self._starts)]
        start = np.where(free, self._starts, np.maximum(self._starts, low))
        stop = np.where(free, self._stops, np.minimum(self._stops, high))
        portion = np.where(free, 1.0, self._portion(low, high))
        # Finer masses, so that what is left of a small one is not lost in rounding.
        scale = WHOLE / max(float(self._held.sum()), 1.0)
        mass = np.ceil(self._held * scale * portion).astype(np.int64)
        there = mass > 0
        return replace(self, start=start[there], stop=stop[there], mass=mass[there])

    def dump(self) -> dict[str, Any]:
        """Return the spread as plain data."""
        grid = self.grid
        # Files of other numbers stay what they were.
        left_out = {n for n, of in (("months", grid.months), ("day", self.day)) if not of}
        return SpreadData(
            first=grid.first,
            stride=grid.stride,
            decimals=grid.decimals,
            points=grid.points,
            real=grid.real,
            edges=self.edges,
            start=tuple(self.start.tolist()),
            stop=tuple(self.stop.tolist()),
            mass=tuple(self.mass.tolist()),
            moduli=self.moduli,
            heaps=self.heaps,
            months=grid.months,
            day=None if self.day is None else _dump_law(self.day),
        ).model_dump(mode="json", exclude=left_out)

    def _portion(self, low: int, high: int) -> np.ndarray:
        """Return (pieces,) float64, the share of each piece's values that lie in [low, high)."""
        begin = np.clip(self._starts, low, None)
        end = np.maximum(np.clip(self._stops, None, high), begin)
        even: np.ndarray = (end - begin) / (self._stops - self._starts)
        if self._laid is None:
            return even
        whole, part = (
            self._laid.between(*ends) for ends in ((self._starts, self._stops), (begin, end))
        )
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), even)

    def _heaped(self, piece: np.ndarray, inner: np.ndarray, *, uniform: Uniform) -> np.ndarray:
        """Return a point of each piece, round numbers as often as heaps say."""
        start, stop = self._starts[piece], self._stops[piece]
        width = stop - start
        if self._laid is None:
            points: np.ndarray = start + np.minimum((inner * width).astype(np.int64), width - 1)
        else:
            points = self._laid.draw(start, stop, inner=inner)
        left = uniform(len(piece))
        rows = np.flatnonzero(width > 1) if self.moduli else np.zeros(0, dtype=np.int64)
        for modulus, heap in zip(self.moduli[::-1], self.heaps[::-1], strict=True):
            begin = start[rows] + self.grid.phase
            first = -(-begin // modulus)
            count = (begin + width[rows] - 1) // modulus - first + 1
            chance = heap / WHOLE
            there = count > 0
            chosen = there & (left[rows] < chance)
            kept = rows[chosen]
            if self._laid is None:
                part = (inner[kept] * count[chosen]).astype(np.int64)
                place = first[chosen] + np.minimum(part, count[chosen] - 1)
                points[kept] = place * modulus - self.grid.phase
            else:
                bounds = start[kept], stop[kept]
                points[kept] = self._rounded(points[kept], *bounds, modulus=modulus)
            missed = rows[there & ~chosen]
            left[missed] = (left[missed] - chance) / max(1.0 - chance, 1e-12)
            rows = rows[~chosen]
        return points

    def _rounded(
        self, points: np.ndarray, start: np.ndarray, stop: np.ndarray, *, modulus: int
    ) -> np.ndarray:
        """Return the multiple of a modulus below each point of a piece, or else the one above.

        A point stays where neither lies in its piece at an hour that has any.
        """
        low = points - (points + self.grid.phase) % modulus
        found = points.copy()
        open_ = np.ones(len(points), dtype=bool)
        for near in (low, low + modulus):
            there = open_ & (near >= start) & (near < stop)
            there[there] = self._laid is None or self._laid.weigh(near[there]) > 0
            found[there] = near[there]
            open_ &= ~there
        return found

    @cached_property
    def _laid(self) -> LaidOut | None:
        return None if self.day is None else LaidOut(self.day, self.grid)

    @cached_property
    def _filled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return start, stop and mass with one even piece for each code that has none."""
        bounds = np.asarray((0, *self.edges, self.grid.points), dtype=np.int64)
        empty = np.flatnonzero(
            np.bincount(self._code_of(self.start), minlength=len(bounds) - 1) == 0
        )
        start = np.concatenate((self.start, bounds[empty]))
        stop = np.concatenate((self.stop, bounds[empty + 1]))
        mass = np.concatenate((self.mass, np.ones(len(empty), dtype=np.int64)))
        order = np.argsort(start, kind="stable")
        return start[order], stop[order], mass[order]

    @property
    def _starts(self) -> np.ndarray:
        return self._filled[0]

    @property
    def _stops(self) -> np.ndarray:
        return self._filled[1]

    @cached_property
    def _held(self) -> np.ndarray:
        """Return (pieces,) float64 masses."""
        return self._filled[2].astype(np.float64)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self._held)

    @cached_property
    def _piece_of_code(self) -> np.ndarray:
        """Return (codes + 1,) the first piece of each code."""
        codes = np.arange(len(self.edges) + 2)
        return np.searchsorted(self._code_of(self._starts), codes)

    @cached_property
    def _cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes,) the mass before each code, and of each code."""
        before = np.concatenate(([0.0], self._ends))[self._piece_of_code]
        return before[:-1], np.diff(before)

    def _code_of(self, points: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.searchsorted(np.asarray(self.edges), points, side="right")
        return found


_BELOW_ONE = float(np.nextafter(1.0, 0.0))


def parse_spread(data: object) -> Spread:
    """Build a spread from plain data; raise InvalidSampler on anything that cannot be."""
    try:
        plain = SpreadData.model_validate(data)
    except ValidationError as err:
        raise InvalidSampler("the values of a number are not as a sampler has them") from err
    grid = ValueGrid(
        first=plain.first,
        stride=plain.stride,
        decimals=plain.decimals,
        points=plain.points,
        real=plain.real,
        months=plain.months,
    )
    return Spread(
        grid=grid,
        edges=plain.edges,
        start=np.asarray(plain.start, dtype=np.int64),
        stop=np.asarray(plain.stop, dtype=np.int64),
        mass=np.asarray(plain.mass, dtype=np.int64),
        moduli=plain.moduli,
        heaps=plain.heaps,
        day=None if plain.day is None else _parse_law(plain.day),
    )


def _dump_law(law: DayLaw) -> LawData:
    """Return a law as plain data."""
    clocks = law.clocks
    return LawData(turns=clocks.turns, ahead=clocks.ahead, hours=law.hours, weekdays=law.weekdays)


def _parse_law(plain: LawData) -> DayLaw:
    """Build a law; whether it is one of a grid is for the spread to say."""
    clocks = Clocks(turns=plain.turns, ahead=plain.ahead)
    return DayLaw(clocks=clocks, hours=plain.hours, weekdays=plain.weekdays)
