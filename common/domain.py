"""Attribute sizes, cliques, and groupings of codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from silosynth.common.errors import InvalidPlan

Clique = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Attribute sizes, in column order.

    >>> Domain(attributes=("age", "sex"), shape=(8, 2)).size(("sex",))
    2
    """

    attributes: Clique
    shape: tuple[int, ...]
    _position: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.attributes) != len(self.shape):
            raise InvalidPlan(f"{len(self.attributes)} attributes but {len(self.shape)} sizes")
        if len(set(self.attributes)) != len(self.attributes):
            raise InvalidPlan("an attribute stands in the domain twice")
        for name, size in zip(self.attributes, self.shape, strict=True):
            if size < 1:
                raise InvalidPlan(f"attribute {name!r} has size {size}; it needs at least one code")
        object.__setattr__(self, "_position", {a: i for i, a in enumerate(self.attributes)})

    def index(self, attribute: str) -> int:
        """Return the column of ``attribute``; raise InvalidPlan when it is unknown."""
        try:
            return self._position[attribute]
        except KeyError:
            raise _unknown(attribute) from None

    def sizes(self, clique: Clique) -> tuple[int, ...]:
        """Return the size of each attribute of ``clique``."""
        if len(set(clique)) != len(clique):
            raise InvalidPlan(f"clique {clique} names an attribute twice")
        shape, position = self.shape, self._position
        try:
            return tuple([shape[position[a]] for a in clique])
        except KeyError as err:
            raise _unknown(err.args[0]) from None

    def size(self, clique: Clique) -> int:
        """Return the number of cells of ``clique`` as a Python integer, never overflowing."""
        return math.prod(self.sizes(clique))

    def ordered(self, clique: Iterable[str]) -> Clique:
        """Return ``clique`` in the domain's column order."""
        return tuple(sorted(clique, key=self.index))


def _unknown(attribute: str) -> InvalidPlan:
    return InvalidPlan(f"unknown attribute {attribute!r}", hint="use the names of the schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Merge codes of some attributes; attributes that are not named keep their codes.

    ``groups[a][code]`` is the group of a code; groups are 0..n-1 without gaps.

    >>> domain = Domain(attributes=("age", "sex"), shape=(4, 2))
    >>> Grouping(groups={"age": (0, 0, 1, 1)}).domain(domain).shape
    (2, 2)
    """

    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, groups in self.groups.items():
            count = max(groups, default=-1) + 1
            if not 0 < count <= len(groups) or set(groups) != set(range(count)):
                raise InvalidPlan(f"the grouping of {name!r} must use every group from 0 up")

    @classmethod
    def merging(cls, groups: Mapping[str, tuple[int, ...]]) -> Self:
        """Return a grouping without the attributes of which every code stands alone."""
        return cls(groups={n: g for n, g in groups.items() if len(set(g)) < len(g)})

    def domain(self, domain: Domain) -> Domain:
        """Return the domain after merging; raise InvalidPlan when a length does not fit."""
        shape = list(domain.shape)
        for name, groups in self.groups.items():
            column = domain.index(name)
            if len(groups) != shape[column]:
                raise InvalidPlan(
                    f"the grouping of {name!r} has {len(groups)} entries "
                    f"but the attribute has {shape[column]} codes"
                )
            shape[column] = max(groups) + 1
        return Domain(attributes=domain.attributes, shape=tuple(shape))

    def lookup(self, attribute: str, size: int) -> np.ndarray:
        """Return (size,) int64, the group of each code of ``attribute``."""
        groups = self.groups.get(attribute)
        return np.arange(size) if groups is None else np.asarray(groups, dtype=np.int64)
