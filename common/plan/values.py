"""The trees over numbers' values in a plan: which points there are, and what is counted of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.plan.fields import PlanModel
from silosynth.common.schema import Schema
from silosynth.common.values import (
    ClockCells,
    Clocks,
    Closer,
    Endings,
    Leaves,
    Partition,
    ValueGrid,
    clocks_of,
    endings_of,
    factors,
    has_clocks,
    leaves_within,
    refined_attributes,
    told_by,
)

MOST_TREE_CELLS = 2**20
"""Cells of all trees of a plan: 8 MiB that a silo sends."""

MOST_CLOSER_CELLS = 2**17
"""Cells of the second look into all numbers of a plan."""

_LEVEL, _DIGIT, ENDINGS = "level-", "digit-", "endings"


class PlannedClocks(PlanModel):
    """Clocks by which moments' hours of the day and days of the week are counted.

    They are ``ahead`` so many seconds of the points' microseconds, the second and later from the
    points of ``turns`` on.
    """

    turns: tuple[Annotated[int, Field(ge=1, le=2**48)], ...] = Field(default=(), max_length=1_000)
    ahead: tuple[Annotated[int, Field(ge=-86_400, le=86_400)], ...] = Field(
        min_length=1, max_length=1_001
    )

    @property
    def clocks(self) -> Clocks:
        """Return the clocks."""
        return Clocks(turns=self.turns, ahead=self.ahead)


class PlannedTree(PlanModel):
    """The points ``(first + k * stride) / 10^decimals`` of a number, ``join`` of them a leaf.

    Of ``months`` they are months since 1970. With ``clocks``, what those show is counted too.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"months", "clocks"})

    first: int = Field(ge=-(2**62), le=2**62)
    stride: int = Field(ge=1, le=2**62)
    decimals: int = Field(ge=-400, le=20)
    points: int = Field(ge=2, le=2**48)
    real: bool
    join: int = Field(ge=1, le=2**48)
    months: Literal[True] | None = None
    clocks: PlannedClocks | None = None

    @model_validator(mode="after")
    def _counts(self) -> Self:
        try:
            count = self.leaves.levels
        except (InvalidPlan, InvalidSchema) as err:
            raise ValueError(err.message) from err
        if count[0] > 2**26:
            raise ValueError("a tree has too many leaves")
        if self.clocks and (fault := self.clocks.clocks.fault(self.grid)):
            raise ValueError(fault)
        return self

    @property
    def grid(self) -> ValueGrid:
        """Return the points."""
        return ValueGrid(
            first=self.first,
            stride=self.stride,
            decimals=self.decimals,
            points=self.points,
            real=self.real,
            months=bool(self.months),
        )

    @cached_property
    def leaves(self) -> Leaves:
        """Return the leaves of the tree."""
        return Leaves(grid=self.grid, join=self.join)

    @property
    def endings(self) -> Endings | None:
        """Return the partition by round numbers, where it is counted."""
        return endings_of(self.grid)

    @property
    def shown(self) -> dict[str, ClockCells]:
        """Return the partitions by what clocks show, by level; none where they are not counted."""
        if self.clocks is None:
            return {}
        clocks = self.clocks.clocks
        units = told_by(self.grid)
        return {unit: ClockCells(grid=self.grid, clocks=clocks, unit=unit) for unit in units}

    def asked(self) -> dict[str, int]:
        """Return the cells of everything that the phase ``values`` asks of the number, by level."""
        levels = {f"{_LEVEL}{i}": nodes for i, nodes in enumerate(self.leaves.levels)}
        levels |= {ENDINGS: self.endings.cells} if self.endings else {}
        return levels | {unit: part.cells for unit, part in self.shown.items()}

    def digits(self) -> tuple[str, ...]:
        """Return the levels that the phase ``closer`` asks of the number."""
        return tuple(f"{_DIGIT}{i}" for i in range(len(factors(self.leaves))))

    def closer(self, chosen: tuple[int, ...], *, level: str) -> Closer:
        """Return one digit of the places in some leaves; raise InvalidPlan where there is none."""
        if level not in self.digits():
            raise InvalidPlan(f"unknown level {level!r}")
        return Closer(leaves=self.leaves, chosen=chosen, digit=self.digits().index(level))


def level_number(level: str) -> int | None:
    """Return the number of a level of the tree; None of what is counted beside it."""
    return int(level.removeprefix(_LEVEL)) if level.startswith(_LEVEL) else None


def plan_trees(schema: Schema) -> dict[str, PlannedTree]:
    """Return a tree for every attribute whose bins hold several points.

    Small ones get their points as leaves; the others share the cells that are left.
    """
    grids = refined_attributes(schema)
    clocks = _clocks(schema, grids)
    trees: dict[str, PlannedTree] = {}
    left, waiting = MOST_TREE_CELLS, len(grids)
    for name in sorted(grids, key=lambda n: grids[n].points):
        grid = grids[name]
        # The levels above the cells are a fifteenth of them, and up to 64 nodes.
        leaves = leaves_within(grid, most_cells=max((left // waiting - 64) * 14 // 15, 64))
        left, waiting = left - sum(leaves.levels), waiting - 1
        trees[name] = PlannedTree(
            first=grid.first,
            stride=grid.stride,
            decimals=grid.decimals,
            points=grid.points,
            real=grid.real,
            months=grid.months or None,
            join=leaves.join,
            clocks=clocks.get(name),
        )
    return {name: trees[name] for name in grids}


def _clocks(schema: Schema, grids: Mapping[str, ValueGrid]) -> dict[str, PlannedClocks]:
    """Return the clocks of all moments."""
    found = {a.name: clocks_of(a, grids[a.name]) for a in schema.numbers if a.name in grids}
    return {
        name: PlannedClocks(turns=clocks.turns, ahead=clocks.ahead)
        for name, clocks in found.items()
        if clocks is not None
    }


def check_trees(trees: Mapping[str, PlannedTree], schema: Schema) -> None:
    """Raise InvalidPlan unless the trees are over the points that the schema gives."""
    grids, attributes = refined_attributes(schema), {a.name: a for a in schema.numbers}
    for name, tree in trees.items():
        if grids.get(name) != tree.grid:
            raise InvalidPlan(
                f"the tree of {name!r} is not over the points that the schema gives",
                hint="make the plan again with 'silosynth plan new'",
            )
        if tree.clocks is not None and not has_clocks(attributes[name], tree.grid):
            raise InvalidPlan(
                f"{name!r} holds no moments, whose hours and weekdays are counted",
                hint="make the plan again with 'silosynth plan new'",
            )


def partition(tree: PlannedTree, *, level: str) -> Partition:
    """Return what is counted for a level: of every level of the tree, its cells."""
    if (shown := tree.shown.get(level)) is not None:
        return shown
    if level == ENDINGS and tree.endings is not None:
        return tree.endings
    return tree.leaves
