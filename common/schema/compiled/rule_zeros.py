"""Cells that rules leave empty: patterns of nulls, conditions, and lists of combinations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.rules import (
    Fact,
    Facts,
    Keep,
    Never,
    NullWhen,
    Range,
    Rule,
    Together,
    certainly_broken,
    columns_of,
)
from silosynth.common.rules.spell import spell
from silosynth.common.schema.compiled.nulls import Patterns
from silosynth.common.schema.kinds.attributes import Attribute, CodedAttribute

Cells: TypeAlias = tuple[Clique, np.ndarray]
"""Attributes in the order in which they are counted, and a mask with an axis for each."""

MOST_ZERO_COLUMNS = 3
MOST_ZERO_CELLS = 1_000_000


def null_zeros(
    told: Mapping[str, Patterns], *, inner: Mapping[str, Attribute], counted: Sequence[Attribute]
) -> list[Cells]:
    """Return the cells in which a pattern and a column do not agree on what is null.

    Args: inner: what is counted in the place of a column.
    """
    known = {a.name: a for a in counted}
    zeros: list[Cells] = []
    for name, patterns in told.items():
        for column, nulls in zip(patterns.columns, zip(*patterns.nulls, strict=True), strict=True):
            attribute = known[getattr(inner.get(column), "name", column)]
            if not (isinstance(attribute, CodedAttribute) and attribute.modelled):
                continue
            is_null = np.zeros(attribute.size, dtype=bool)
            is_null[attribute.values + attribute.has_other :] = True
            mask = np.asarray(nulls)[None, :] != is_null[:, None]
            zeros.append(_in_order((attribute.name, name), mask, counted))
    return zeros


def value_zeros(
    rule: Rule,
    *,
    counted: Sequence[Attribute],
    facts: Facts,
    ranging: Callable[[CodedAttribute, Fact], Range],
) -> Cells | None:
    """Return the cells that a rule about values leaves empty; None where there are none to tell.

    Args: ranging: what each code of an attribute stands for.

    Raises ValueError for a rule that leaves nothing.
    """
    if not isinstance(rule, NullWhen | Never | Keep | Together):
        return None
    known, names = {a.name: a for a in counted}, columns_of(rule)
    found = [known[n] for n in names if n in known]
    coded = [a for a in found if isinstance(a, CodedAttribute) and a.modelled]
    if len(coded) < len(names) or len(names) > MOST_ZERO_COLUMNS:
        return None
    if math.prod(a.size for a in coded) > MOST_ZERO_CELLS:
        return None
    ranges = {a.name: ranging(a, facts[a.name]) for a in coded}
    if isinstance(rule, Together):
        mask = ~_listed(rule, [(r.low, r.null) for r in ranges.values()])
    else:
        mask = certainly_broken(rule, ranges=ranges, facts=facts)
    if mask.all():
        raise ValueError(f"rule {spell(rule)!r} leaves nothing")
    return _in_order(names, mask, counted) if mask.any() else None


def _listed(rule: Together, columns: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return which cells a list of combinations has; a missing value goes with any."""
    mask = np.zeros([len(low) for low, _ in columns], dtype=bool)
    for axis, (_, null) in enumerate(columns):
        np.moveaxis(mask, axis, 0)[null] = True
    places = [{v: i for i, v in enumerate(low.tolist())} for low, _ in columns]
    for values in rule.allowed:
        cell = tuple(p.get(v) for p, v in zip(places, values, strict=True))
        if None not in cell:
            mask[cell] = True
    return mask


def _in_order(names: Sequence[str], mask: np.ndarray, counted: Sequence[Attribute]) -> Cells:
    """Return cells with their attributes in the order in which they are counted."""
    order = [a.name for a in counted if a.name in names]
    axes = [list(names).index(n) for n in order]
    return tuple(order), np.ascontiguousarray(mask.transpose(axes))
