"""What rules say of nulls, as one small attribute of patterns, and the cells that rules empty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.rules import (
    Among,
    Both,
    Compare,
    Condition,
    Derived,
    Difference,
    Either,
    Fact,
    Facts,
    IsNull,
    Keep,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Range,
    Rule,
    Together,
    certainly_broken,
    columns_of,
    holds,
)
from silosynth.common.rules.spell import spell
from silosynth.common.schema.kinds.attributes import Attribute, CodedAttribute

MOST_COLUMNS = 12
MOST_PATTERNS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Which of ``columns`` may be null together: one row of ``nulls`` a pattern, true for null."""

    columns: tuple[str, ...]
    nulls: tuple[tuple[bool, ...], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Return each pattern as text: ``-`` for null, ``x`` for a value."""
        return tuple("".join("-" if n else "x" for n in nulls) for nulls in self.nulls)

    def follows(self, column: str, others: Sequence[str]) -> bool:
        """Say whether, in every pattern, ``column`` is null just where one of ``others`` is."""
        if column not in self.columns or any(o not in self.columns for o in others):
            return False
        mine, theirs = self.columns.index(column), [self.columns.index(o) for o in others]
        return all(n[mine] == any(n[i] for i in theirs) for n in self.nulls)

    def without(self, dropped: Sequence[str]) -> Patterns:
        """Return the patterns of the columns that are not dropped."""
        kept = [i for i, c in enumerate(self.columns) if c not in dropped]
        return Patterns(
            columns=tuple(self.columns[i] for i in kept),
            nulls=tuple(dict.fromkeys(tuple(n[i] for i in kept) for n in self.nulls)),
        )


def about_nulls(rule: Rule) -> bool:
    """Say whether a rule speaks of nothing but what is null."""
    if isinstance(rule, NullTogether):
        return True
    return isinstance(rule, NullWhen | Never) and _nulls_alone(rule.condition)


def _nulls_alone(part: Condition) -> bool:
    if isinstance(part, Both | Either):
        return all(_nulls_alone(p) for p in part.parts)
    if isinstance(part, Not):
        return _nulls_alone(part.part)
    return isinstance(part, IsNull) and not isinstance(part, Compare | Among)


def find_patterns(rules: Sequence[Rule], *, facts: Facts) -> tuple[Patterns, ...]:
    """Return the admissible patterns of each group of columns that rules about nulls join.

    Raises ValueError for rules that leave a group no pattern.
    """
    stated = [r for r in rules if about_nulls(r)]
    groups: list[tuple[list[Rule], set[str]]] = []
    for rule in [*stated, *(r for r in rules if isinstance(r, Derived | Difference))]:
        names = set(columns_of(rule))
        touched = [g for g in groups if g[1] & names]
        if rule not in stated and not touched:
            continue
        groups = [g for g in groups if not g[1] & names]
        joined = [r for g in touched for r in g[0]]
        groups.append(([*joined, rule], names.union(*(g[1] for g in touched))))
    found = [_patterns(rules, names, facts=facts) for rules, names in groups]
    return tuple(p for p in found if p is not None)


def _patterns(rules: Sequence[Rule], names: set[str], *, facts: Facts) -> Patterns | None:
    columns = [n for n in facts if n in names]
    if len(columns) > MOST_COLUMNS:
        return None
    free = [(False, True) if facts[n].missing else (False,) for n in columns]
    every = np.array(list(product(*free)), dtype=bool)
    rows = {n: np.where(every[:, i], np.nan, 1.0) for i, n in enumerate(columns)}
    kept = np.ones(len(every), dtype=bool)
    for rule in rules:
        if isinstance(rule, Derived | Difference):
            of = [c for c in columns_of(rule) if c != rule.column]
            kept &= np.isnan(rows[rule.column]) == _any_null(rows, of)
        else:
            kept &= holds(rule, rows=rows, facts=facts)
    if not kept.any():
        raise ValueError(f"the rules on what is null leave nothing of {', '.join(columns)}")
    if kept.sum() > MOST_PATTERNS:
        return None
    nulls = tuple(tuple(bool(n) for n in row) for row in every[kept])
    return Patterns(columns=tuple(columns), nulls=nulls)


def _any_null(rows: Mapping[str, np.ndarray], columns: Sequence[str]) -> np.ndarray:
    nulls = [np.isnan(rows[c]) for c in columns]
    return np.logical_or.reduce(nulls) if nulls else np.zeros(len(next(iter(rows.values()))), bool)


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
