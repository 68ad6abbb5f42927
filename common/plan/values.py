"""The trees over numbers' values in a plan: which points there are, and what is counted of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.plan.fields import PlanModel
from silosynth.common.schema import Schema
from silosynth.common.values import (
    Closer,
    Endings,
    Leaves,
    Partition,
    ValueGrid,
    endings_of,
    factors,
    leaves_within,
    refined_attributes,
)

MOST_TREE_CELLS = 2**20
"""Cells of all trees of a plan: 8 MiB that a silo sends."""

MOST_CLOSER_CELLS = 2**17
"""Cells of the second look into all numbers of a plan."""

_LEVEL, _DIGIT, ENDINGS = "level-", "digit-", "endings"


class PlannedTree(PlanModel):
    """The points ``(first + k * stride) / 10^decimals`` of a number, ``join`` of them a leaf.

    Of ``months`` they are months since 1970.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"months"})

    first: int = Field(ge=-(2**62), le=2**62)
    stride: int = Field(ge=1, le=2**62)
    decimals: int = Field(ge=-400, le=20)
    points: int = Field(ge=2, le=2**48)
    real: bool
    join: int = Field(ge=1, le=2**48)
    months: Literal[True] | None = None

    @model_validator(mode="after")
    def _counts(self) -> Self:
        try:
            count = self.leaves.levels
        except (InvalidPlan, InvalidSchema) as err:
            raise ValueError(err.message) from err
        if count[0] > 2**26:
            raise ValueError("a tree has too many leaves")
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

    def asked(self) -> dict[str, int]:
        """Return the cells of everything that the phase ``values`` asks of the number, by level."""
        levels = {f"{_LEVEL}{i}": nodes for i, nodes in enumerate(self.leaves.levels)}
        return levels | ({ENDINGS: self.endings.cells} if self.endings else {})

    def digits(self) -> tuple[str, ...]:
        """Return the levels that the phase ``closer`` asks of the number."""
        return tuple(f"{_DIGIT}{i}" for i in range(len(factors(self.leaves))))

    def closer(self, chosen: tuple[int, ...], *, level: str) -> Closer:
        """Return one digit of the places in some leaves; raise InvalidPlan where there is none."""
        if level not in self.digits():
            raise InvalidPlan(f"unknown level {level!r}")
        return Closer(leaves=self.leaves, chosen=chosen, digit=self.digits().index(level))


def level_number(level: str) -> int | None:
    """Return the number of a level of the tree; None of the endings."""
    return int(level.removeprefix(_LEVEL)) if level.startswith(_LEVEL) else None


def plan_trees(schema: Schema) -> dict[str, PlannedTree]:
    """Return a tree for every attribute whose bins hold several points.

    Small ones get their points as leaves; the others share the cells that are left.
    """
    grids = refined_attributes(schema)
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
        )
    return {name: trees[name] for name in grids}


def check_trees(trees: Mapping[str, PlannedTree], schema: Schema) -> None:
    """Raise InvalidPlan unless the trees are over the points that the schema gives."""
    grids = refined_attributes(schema)
    for name, tree in trees.items():
        if grids.get(name) != tree.grid:
            raise InvalidPlan(
                f"the tree of {name!r} is not over the points that the schema gives",
                hint="make the plan again with 'silosynth plan new'",
            )


def partition(tree: PlannedTree, *, level: str) -> Partition:
    """Return what is counted for a level: of every level of the tree, its cells."""
    if level == ENDINGS and tree.endings is not None:
        return tree.endings
    return tree.leaves
