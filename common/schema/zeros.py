"""Combinations of values that cannot occur: public facts, declared in the schema."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from silosynth.common.domain import Clique
from silosynth.common.schema.attributes import CodedAttribute
from silosynth.common.schema.bins import PlainModel

MAX_ZERO_CELLS = 1_000_000

Value = bool | int | str | None | tuple[float, float]


def _value(value: Any) -> Any:
    """Take a category, true or false, null for a missing value, or [from, below] of a number."""
    if isinstance(value, list | tuple):
        if len(value) != 2 or any(isinstance(v, bool | str) or v is None for v in value):
            raise ValueError("a range of numbers is written [from, below]")
        if not value[0] < value[1]:
            raise ValueError("a range of numbers must rise")
        return (float(value[0]), float(value[1]))
    if value is not None and not isinstance(value, bool | int | str):
        raise ValueError("write a category, true, false, null for missing, or [from, below]")
    return value


def _plain(value: Value) -> Any:
    """Write a value as plain data."""
    return list(value) if isinstance(value, tuple) else value


Entry = Annotated[Any, BeforeValidator(_value), PlainSerializer(_plain)]


class StructuralZeros(PlainModel):
    """Cells over some attributes that hold nobody, by the nature of things.

    Each cell has a value for each attribute: a category, true or false, null for a missing value,
    or ``[from, below]`` for all bins of a number that lie inside.
    """

    attributes: tuple[str, ...] = Field(min_length=1, max_length=8)
    cells: tuple[tuple[Entry, ...], ...] = Field(min_length=1, max_length=100_000)

    @model_validator(mode="after")
    def _rectangular(self) -> StructuralZeros:
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError("an attribute stands twice in a structural zero")
        if any(len(cell) != len(self.attributes) for cell in self.cells):
            raise ValueError("a structural zero needs one value for each of its attributes")
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImpossibleCells:
    """``mask`` is true where nobody can be: one axis for each attribute of ``clique``.

    What is not ``declared`` comes of a ``rule``: its rows are looked at when they are drawn, so
    that codes that differ in it may be merged.
    """

    clique: Clique
    mask: np.ndarray
    declared: bool = True
    rule: str = ""

    def merged(self, lookups: Sequence[np.ndarray]) -> ImpossibleCells:
        """Return the cells over merged codes: those of which every code is impossible.

        Args: lookups: the group of each code, an array an axis.
        """
        mask = self.mask
        for axis, lookup in enumerate(lookups):
            shape = (int(lookup.max()) + 1, *np.delete(mask.shape, axis).tolist())
            whole = np.ones(shape, dtype=bool)
            np.logical_and.at(whole, lookup, np.moveaxis(mask, axis, 0))
            mask = np.moveaxis(whole, 0, axis)
        return replace(self, mask=np.ascontiguousarray(mask))


def impossible_cells(
    zeros: Sequence[StructuralZeros], *, coded: Sequence[CodedAttribute]
) -> tuple[ImpossibleCells, ...]:
    """Return the declared cells by code, with each clique in the order of ``coded``.

    Raises ValueError for an unknown attribute or value, a table of more than a million cells, and
    a declaration that leaves no cell.
    """
    known = {a.name: a for a in coded}
    return tuple(_cells(z, known=known) for z in zeros)


def _cells(zeros: StructuralZeros, *, known: dict[str, CodedAttribute]) -> ImpossibleCells:
    """Return one declaration by code."""
    unknown = [a for a in zeros.attributes if a not in known]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not an attribute with codes")
    attributes = [known[a] for a in zeros.attributes]
    if math.prod(a.size for a in attributes) > MAX_ZERO_CELLS:
        raise ValueError(f"{', '.join(zeros.attributes)} have over {MAX_ZERO_CELLS} cells")
    mask = np.zeros([a.size for a in attributes], dtype=bool)
    for cell in zeros.cells:
        mask[np.ix_(*[_codes(a, v) for a, v in zip(attributes, cell, strict=True)])] = True
    if mask.all():
        raise ValueError(f"no cell of {', '.join(zeros.attributes)} is left")
    order = [a for a in known if a in zeros.attributes]
    axes = [zeros.attributes.index(a) for a in order]
    return ImpossibleCells(clique=tuple(order), mask=np.ascontiguousarray(mask.transpose(axes)))


def _codes(attribute: CodedAttribute, value: Value) -> list[int]:
    """Return the codes of one value; raise ValueError when it has none."""
    if codes := attribute.codes_of(value):
        return codes
    shown = "null" if value is None else repr(_plain(value))
    raise ValueError(f"{attribute.name!r} has no value {shown}, or it holds no whole bin")
