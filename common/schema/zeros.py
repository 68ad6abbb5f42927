"""Combinations of values that cannot occur: public facts, declared in the schema.

Whether they leave a row at all is asked when a schema is read, before a plan is made of it. What
contradicts itself over many columns may pass, as finding that out can take forever; then the fit
says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from silosynth.common.domain import Clique
from silosynth.common.schema.kinds.attributes import CodedAttribute
from silosynth.common.schema.kinds.bins import PlainModel

MAX_ZERO_CELLS = 1_000_000

MOST_JOINT_CELLS = 200_000
_ROUNDS = 16
_MOST_WRITTEN = 100
Possible = dict[str, np.ndarray]

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


def write_zeros(
    found: Iterable[tuple[Clique, np.ndarray, Sequence[Mapping[int, Any]]]], *, note: str
) -> str:
    """Write cells as ``structural_zeros`` of a schema, for a person to look at and to paste.

    Nothing where there is none; at most 100 cells of the same attributes, and none without words.

    Args:
        found: attributes, a mask with an axis for each, and the words of each axis' codes.
        note: the comment that stands above them.
    """
    lines: list[str] = []
    for attributes, mask, words in found:
        cells = (
            [w[i] for w, i in zip(words, place, strict=True)]
            for place in np.argwhere(mask)
            if all(i in w for w, i in zip(words, place, strict=True))
        )
        if written := [f"  - {_json(cell)}" for cell in islice(cells, _MOST_WRITTEN)]:
            lines += [f"- attributes: {_json(attributes)}", "  cells:", *written]
    return note + "\n".join(["structural_zeros:", *lines]) + "\n" if lines else ""


def _json(values: Sequence[Any]) -> str:
    """Write values as a schema does, in any script."""
    return json.dumps(list(values), ensure_ascii=False)


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


def check_agree(zeros: Sequence[ImpossibleCells], *, coded: Sequence[CodedAttribute]) -> None:
    """Raise ValueError where no row is left, naming what leaves none.

    Guarantees: what is raised is so. Found is what follows from one declaration after the other,
    and everything about columns that have at most 200,000 cells together.
    """
    shape = {a.name: a.size for a in coded}
    left = [z for z in zeros if z.mask.any()]
    possible = {a: np.ones(shape[a], dtype=bool) for z in left for a in z.clique}
    _narrow(left, possible)
    for part in _parts(left):
        names = sorted({a for z in part for a in z.clique}, key=list(shape).index)
        kept = {a: np.flatnonzero(possible[a]) for a in names}
        if len(part) > 1 and math.prod(len(k) for k in kept.values()) <= MOST_JOINT_CELLS:
            _check_joint(part, kept)


def _narrow(zeros: Sequence[ImpossibleCells], possible: Possible) -> None:
    """Take out the codes that some declaration leaves no cell of, until none is found."""
    for _ in range(_ROUNDS):
        before = {a: int(p.sum()) for a, p in possible.items()}
        for cells in zeros:
            allowed = ~cells.mask
            for axis, name in enumerate(cells.clique):
                sized = [-1 if i == axis else 1 for i in range(allowed.ndim)]
                allowed = allowed & possible[name].reshape(sized)
            for axis, name in enumerate(cells.clique):
                others = tuple(i for i in range(allowed.ndim) if i != axis)
                possible[name] = np.asarray(allowed.any(axis=others))
                if not possible[name].any():
                    raise ValueError(_said([z for z in zeros if name in z.clique], [name]))
        if before == {a: int(p.sum()) for a, p in possible.items()}:
            return


def _parts(zeros: Sequence[ImpossibleCells]) -> list[list[ImpossibleCells]]:
    """Return the declarations that are joined by columns which they share."""
    parts: list[list[ImpossibleCells]] = []
    for cells in zeros:
        shared = [p for p in parts if any(set(cells.clique) & set(z.clique) for z in p)]
        apart = [p for p in parts if not any(p is s for s in shared)]
        parts = [*apart, [*(z for p in shared for z in p), cells]]
    return parts


def _check_joint(zeros: Sequence[ImpossibleCells], kept: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where declarations leave no combination of the codes that are kept."""
    names = list(kept)
    empty = np.zeros([len(k) for k in kept.values()], dtype=bool)
    for cells in zeros:
        mask = cells.mask[np.ix_(*(kept[a] for a in cells.clique))]
        place = [names.index(a) for a in cells.clique]
        mask = mask.transpose(np.argsort(place))
        sized = [len(kept[a]) if a in cells.clique else 1 for a in names]
        empty |= mask.reshape(sized)
    if empty.all():
        raise ValueError(_said(zeros, names))


def _said(zeros: Sequence[ImpossibleCells], names: Sequence[str]) -> str:
    """Say what leaves nothing of which columns."""
    rules = list(dict.fromkeys(z.rule for z in zeros if z.rule))
    told = ["structural zeros"] if any(z.declared and not z.rule for z in zeros) else []
    told += [f"rule {rule!r}" for rule in rules]
    first = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)
    shown = ", ".join(map(repr, names[:4])) + (" and others" if len(names) > 4 else "")
    return f"{first or 'the rules'} contradict one another: no value of {shown} is left"
