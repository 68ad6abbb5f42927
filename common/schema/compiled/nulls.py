"""Rules about what is null as one small attribute: the patterns that they admit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from silosynth.common.rules import (
    Among,
    Both,
    Compare,
    Condition,
    Derived,
    Difference,
    Either,
    Facts,
    IsNull,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Rule,
    columns_of,
    holds,
)

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
