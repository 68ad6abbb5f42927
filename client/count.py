"""Count marginals of coded columns: all of a batch in one pass over blocks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidPlan, InvalidTable
from silosynth.common.measurement import MarginalQuery

_BLOCK_ROWS = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """How one attribute enters one level's cells: the group of each code, and their number."""

    index: int
    lookup: np.ndarray
    groups: int


def count_marginals(
    columns: Sequence[np.ndarray],
    *,
    domain: Domain,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
) -> list[np.ndarray]:
    """Count rows per cell of every query, after merging codes by the query's level.

    Guarantees: adding or removing one row changes exactly one cell of each marginal, by one
    (L1 = L2 = 1). Blocks of rows stay in the processor's cache, so memory beyond the tables does
    not grow with the rows.

    Args:    columns: one (rows,) unsigned array per attribute, in the domain's order.
    Returns: one (cells,) int64 per query, row-major in the query's own clique order.
    Errors:  InvalidTable for columns that are not the domain's codes, InvalidPlan for queries that
        name an unknown level or attribute, or an attribute twice.
    """
    _check_columns(columns, domain=domain)
    plans = [_plan(q.clique, level=q.level, domain=domain, levels=levels) for q in queries]
    counts = [np.zeros(_cells(plan), dtype=np.int64) for plan in plans]
    rows = len(columns[0]) if columns else 0
    for start in range(0, rows, _BLOCK_ROWS):
        block = [c[start : start + _BLOCK_ROWS] for c in columns]
        _count_block(block, plans, [q.level for q in queries], counts)
    return counts


def _count_block(
    block: Sequence[np.ndarray],
    plans: Sequence[tuple[_Column, ...]],
    levels: Sequence[str],
    counts: Sequence[np.ndarray],
) -> None:
    """Add one block of rows to every table; each column is merged once a level."""
    merged: dict[tuple[str, int], np.ndarray] = {}
    for plan, level, count in zip(plans, levels, counts, strict=True):
        cell = np.zeros(len(block[0]), dtype=np.intp)
        for column in plan:
            key = (level, column.index)
            if key not in merged:
                merged[key] = column.lookup[block[column.index]]
            cell *= column.groups
            cell += merged[key]
        count += np.bincount(cell, minlength=len(count))


def _plan(
    clique: Clique, *, level: str, domain: Domain, levels: Mapping[str, Grouping]
) -> tuple[_Column, ...]:
    """Return how each attribute of a query enters its cells."""
    if level not in levels:
        raise InvalidPlan(f"unknown level {level!r}")
    sizes = levels[level].domain(domain).sizes(clique)
    return tuple(
        _Column(
            index=domain.index(attribute),
            lookup=levels[level]
            .lookup(attribute, domain.shape[domain.index(attribute)])
            .astype(np.intp),
            groups=size,
        )
        for attribute, size in zip(clique, sizes, strict=True)
    )


def _cells(plan: Sequence[_Column]) -> int:
    """Return the number of cells of one table, as a Python integer."""
    cells = 1
    for column in plan:
        cells *= column.groups
    return cells


def _check_columns(columns: Sequence[np.ndarray], *, domain: Domain) -> None:
    """Raise InvalidTable unless there is one column of codes per attribute, all of one length."""
    if len(columns) != len(domain.shape) or len({len(c) for c in columns}) > 1:
        raise InvalidTable(f"{len(domain.shape)} columns of one length are needed")
    for name, size, column in zip(domain.attributes, domain.shape, columns, strict=True):
        if column.ndim != 1 or column.dtype.kind != "u":
            raise InvalidTable(f"the codes of {name!r} must be one unsigned integer column")
        if column.size and int(column.max()) >= size:
            raise InvalidTable(f"a code of {name!r} is not below its size {size}")
