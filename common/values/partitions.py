"""What is counted of a number: partitions of its points, each a histogram of sensitivity one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from silosynth.common.errors import InvalidPlan
from silosynth.common.values.clocks import ClockCells
from silosynth.common.values.grid import DAY, MICROSECONDS, ValueGrid

FANOUT = 16
MOST_TOP_NODES = 16
MOST_DIGIT = 1_000
"""Most values of one digit of the place in a leaf."""

_FEWEST_WITH_ENDINGS = 1_000
_NUMBER_ENDINGS = (5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000)
_TIME_ENDINGS = (60, 300, 900, 1_800, 3_600, 43_200, 86_400)
_TIME_JOINS = (1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """The leaves of a tree: runs of ``join`` points, each cut into its first point and the rest.

    Leaves begin at multiples of ``join`` strides from zero, where round numbers are. Without
    joining, a leaf is one point and one cell.

    Guarantees: every point lies in one cell, so a row changes one cell by one.

    >>> Leaves(grid=ValueGrid(first=0, stride=1, decimals=0, points=25), join=10).find(
    ...     np.array([0, 9, 10, 24])).tolist()
    [0, 1, 2, 5]
    """

    grid: ValueGrid
    join: int

    def __post_init__(self) -> None:
        if self.join < 1 or self.cells > 2**31:
            raise InvalidPlan("the leaves of a tree are out of range")

    @property
    def offset(self) -> int:
        """Return how many points before the first one its leaf would begin."""
        return self.grid.phase % self.join

    @property
    def count(self) -> int:
        """Return the number of leaves."""
        return -(-(self.grid.points + self.offset) // self.join)

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return self.count if self.join == 1 else 2 * self.count

    def find(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the cell of each point."""
        if self.join == 1:
            return points
        leaf, place = np.divmod(points + self.offset, self.join)
        cells: np.ndarray = 2 * leaf + (place > 0)
        return cells

    def starts(self) -> np.ndarray:
        """Return (cells + 1,) int64, the first point of each cell; an empty one starts at its end.

        Cell i holds the points from ``starts[i]`` up to below ``starts[i + 1]``.
        """
        if self.join == 1:
            return np.arange(self.grid.points + 1)
        first = np.arange(self.count) * self.join - self.offset
        both = np.stack((first, first + 1), axis=1).ravel()
        starts: np.ndarray = np.clip(np.append(both, self.grid.points), 0, self.grid.points)
        return starts

    @property
    def levels(self) -> tuple[int, ...]:
        """Return the nodes of each level of the tree: the cells first, at most 64 at the top."""
        nodes = [self.cells]
        while nodes[-1] > MOST_TOP_NODES:
            nodes.append(-(-nodes[-1] // FANOUT))
        return tuple(nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Points by the roundest number that they are a multiple of: cell 0 is none of ``moduli``.

    Guarantees: as of :class:`Leaves`.
    """

    grid: ValueGrid
    moduli: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return len(self.moduli) + 1

    def find(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the cell of each point."""
        place = points + self.grid.phase
        cells = np.zeros(len(points), dtype=np.int64)
        for i, modulus in enumerate(self.moduli):
            cells[place % modulus == 0] = i + 1
        return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Closer:
    """The points of some leaves of a tree by one digit of their place in the leaf.

    The places 0..join-1 are written with a digit for each of :func:`factors`, the finest first.
    A leaf of at most 1,000 points has one digit, which is the place itself.

    Guarantees: leaves are disjoint, so a row changes at most one cell, by one.
    """

    leaves: Leaves
    chosen: tuple[int, ...]
    digit: int = 0

    def __post_init__(self) -> None:
        if not self.chosen or any(b <= a for a, b in pairwise((-1, *self.chosen))):
            raise InvalidPlan("the leaves to look into must rise")
        if self.chosen[-1] >= self.leaves.count or self.digit >= len(factors(self.leaves)):
            raise InvalidPlan("a leaf to look into is not there")

    @property
    def grid(self) -> ValueGrid:
        """Return the points."""
        return self.leaves.grid

    @property
    def width(self) -> int:
        """Return the cells of one leaf."""
        return factors(self.leaves)[self.digit]

    @property
    def below(self) -> int:
        """Return what one unit of the digit is worth, in points."""
        return math.prod(factors(self.leaves)[: self.digit])

    @property
    def cells(self) -> int:
        """Return the number of cells."""
        return len(self.chosen) * self.width

    def find(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the cell of each point; -1 outside of the chosen leaves."""
        leaf, place = np.divmod(points + self.leaves.offset, self.leaves.join)
        chosen = np.asarray(self.chosen)
        rank = np.minimum(np.searchsorted(chosen, leaf), len(chosen) - 1)
        cell = rank * self.width + place // self.below % self.width
        return np.where(chosen[rank] == leaf, cell, -1)

    def begin(self, rank: int) -> int:
        """Return the first point of the ``rank``-th chosen leaf, below 0 where it is cut off."""
        return self.chosen[rank] * self.leaves.join - self.leaves.offset


Partition = Leaves | Endings | Closer | ClockCells


def factors(leaves: Leaves) -> tuple[int, ...]:
    """Return the sizes of the digits of a place in a leaf, at most 1,000 each; none of one point.

    >>> factors(Leaves(grid=ValueGrid(first=0, stride=1, decimals=0, points=10**9), join=5_000_000))
    (1000, 1000, 5)
    """
    found, left = [], leaves.join
    while left > 1:
        size = next(n for n in range(min(left, MOST_DIGIT), 0, -1) if left % n == 0)
        found.append(size)
        left //= size
    return tuple(found)


def leaves_within(grid: ValueGrid, *, most_cells: int) -> Leaves:
    """Return the finest leaves of at most ``most_cells`` cells."""
    for join in _joins(grid):
        leaves = Leaves(grid=grid, join=join) if grid.points // join < most_cells else None
        if leaves is not None and leaves.cells <= most_cells:
            return leaves
    raise InvalidPlan(f"a number has too many points for {most_cells} cells")


def endings_of(grid: ValueGrid) -> Endings | None:
    """Return the partition by round numbers, where there are enough points for it to matter."""
    known: tuple[int, ...] = _NUMBER_ENDINGS
    if grid.months:
        known = ()
    elif not grid.real and grid.stride in (MICROSECONDS, DAY):
        known = _TIME_ENDINGS if grid.stride == MICROSECONDS else ()
    moduli = tuple(m for m in known if m * 32 <= grid.points)
    if grid.points < _FEWEST_WITH_ENDINGS or not moduli:
        return None
    return Endings(grid=grid, moduli=moduli)


def sum_levels(cells: np.ndarray, *, leaves: Leaves) -> list[np.ndarray]:
    """Return the counts of every level of the tree from those of its cells; exact integers."""
    levels = [cells]
    for nodes in leaves.levels[1:]:
        padded = np.zeros(nodes * FANOUT, dtype=cells.dtype)
        padded[: len(levels[-1])] = levels[-1]
        levels.append(padded.reshape(nodes, FANOUT).sum(axis=1))
    return levels


def _joins(grid: ValueGrid) -> Sequence[int]:
    """Return how many points leaves may hold: 1, 2, 5, 10, ..., of times round spans."""
    by_tens: list[int] = [m * 10**power for power in range(16) for m in (1, 2, 5)]
    if not grid.real and grid.stride == MICROSECONDS:
        days = [86_400 * n for n in by_tens if 86_400 * n > _TIME_JOINS[-1]]
        return (*_TIME_JOINS, *days)
    return by_tens
