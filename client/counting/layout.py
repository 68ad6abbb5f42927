"""How a batch of queries is counted: columns merged by level, joint tables, and their answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.client.counting.cover import Cover, plan_cover
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidPlan
from silosynth.common.measurement import MarginalQuery


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One attribute at one level: where its codes are, and the group of each, if it has groups."""

    index: int
    codes: int
    groups: int
    lookup: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTable:
    """Counts over some columns, row-major."""

    members: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Return the number of cells, as a Python integer."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """What is counted for a batch of queries, and how each query is read off it."""

    columns: tuple[Column, ...]
    tables: tuple[JointTable, ...]
    cliques: tuple[tuple[int, ...], ...] = field(repr=False)
    sources: tuple[int, ...] = field(repr=False)

    def zeros(self) -> list[np.ndarray]:
        """Return one (cells,) int64 of zeros per table."""
        return [np.zeros(table.cells, dtype=np.int64) for table in self.tables]

    def answers(self, totals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Sum out each query's counts, (cells,) int64 in the query's own order.

        Guarantees: a table's counts enter each query's cells exactly once.
        """
        return [
            _sum_out(totals[source], table=self.tables[source], clique=clique)
            for clique, source in zip(self.cliques, self.sources, strict=True)
        ]


def lay_out(
    queries: Sequence[MarginalQuery],
    *,
    domain: Domain,
    levels: Mapping[str, Grouping],
    rows: int,
    covered: bool = True,
) -> Layout:
    """Plan how ``queries`` are counted; ``covered=False`` counts each in a table of its own.

    Raises InvalidPlan for a query that names an unknown level or attribute, or an attribute twice.
    """
    numbers: dict[tuple[str | None, int], int] = {}
    columns: list[Column] = []
    cliques = []
    places: dict[str, dict[str, int]] = {}
    for query in queries:
        if query.level not in levels:
            raise InvalidPlan(f"unknown level {query.level!r}")
        place = places.setdefault(query.level, {})
        for attribute in query.clique:
            if attribute not in place:
                grouping = levels[query.level]
                grouped = attribute in grouping.groups
                key = (query.level if grouped else None, domain.index(attribute))
                if key not in numbers:
                    numbers[key] = len(columns)
                    columns.append(_column(attribute, domain, grouping))
                place[attribute] = numbers[key]
        clique = tuple([place[attribute] for attribute in query.clique])
        if len(set(clique)) != len(clique):
            raise InvalidPlan(f"clique {query.clique} names an attribute twice")
        cliques.append(clique)
    groups_of = tuple(c.groups for c in columns)
    cover = _cover(groups_of, tuple(cliques), rows=rows, covered=covered)
    tables = tuple(
        JointTable(members=table, shape=tuple(groups_of[c] for c in table))
        for table in cover.tables
    )
    return Layout(
        columns=tuple(columns), tables=tables, cliques=tuple(cliques), sources=cover.sources
    )


def _column(attribute: str, domain: Domain, grouping: Grouping) -> Column:
    index = domain.index(attribute)
    codes, lookup = domain.shape[index], None
    (groups,) = grouping.domain(domain).sizes((attribute,))
    if attribute in grouping.groups:
        lookup = grouping.lookup(attribute, codes).astype(np.uint16)
    return Column(index=index, codes=codes, groups=groups, lookup=lookup)


def _cover(
    sizes: tuple[int, ...], cliques: tuple[tuple[int, ...], ...], *, rows: int, covered: bool
) -> Cover:
    """Return the planned cover, for rows rounded to a power of two, or one table a clique."""
    if covered:
        return plan_cover(sizes, cliques, rows=1 << max(rows - 1, 0).bit_length())
    alone = [tuple(sorted(c)) for c in cliques]
    place = {table: i for i, table in enumerate(dict.fromkeys(alone))}
    return Cover(tables=tuple(place), sources=tuple(place[table] for table in alone))


def _sum_out(counts: np.ndarray, *, table: JointTable, clique: tuple[int, ...]) -> np.ndarray:
    """Return (cells,) int64 over ``clique``, a copy."""
    if table.members == clique:
        return counts.copy()
    cube = counts.reshape(table.shape)
    dropped = tuple(i for i, member in enumerate(table.members) if member not in clique)
    kept = [member for member in table.members if member in clique]
    summed = cube.sum(axis=dropped) if dropped else cube
    summed = np.asarray(summed).transpose([kept.index(member) for member in clique])
    return np.array(summed, dtype=np.int64, order="C").ravel()
