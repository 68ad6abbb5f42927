"""Choose a few larger joint tables to count, from which every query is summed out.

Counting costs about as much for a table of four attributes as for one of two, as long as the table
stays in the processor's cache; so 105 pairs of 15 attributes are counted as 20 to 40 tables.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

_TABLE_CELLS = (1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19)
_TABLE_NS = (0.28, 0.35, 0.48, 0.65, 1.4, 2.7, 4.5, 8.0)
_COLUMN_NS = 0.05
"""What a row costs in a table of at most so many cells, and for each column; both measured."""
_MOST_CELLS = 1 << 20
_CELL_NS = 4.0
_SUM_NS = 10_000.0
_STEP_NS = 1_000
"""What planning costs for each clique and column, once through."""
_WORTH_TRYING = 2
_SHARE = 0.05
_MOST_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Joint tables over columns, and for each query the table that it is summed from.

    ``tables`` hold column numbers in rising order, without one table inside another's columns.
    """

    tables: tuple[tuple[int, ...], ...]
    sources: tuple[int, ...]


@lru_cache(maxsize=64)
def plan_cover(sizes: tuple[int, ...], cliques: tuple[tuple[int, ...], ...], *, rows: int) -> Cover:
    """Return a cover of ``cliques``, the cheapest of a few greedy ones and of none at all.

    Guarantees: every clique's columns are in its source; the plan depends on the arguments alone.

    Args:    sizes: of each column. cliques: column numbers, each at most once in a clique.
    """
    wanted = _maximal(cliques)
    best, cost = wanted, _total(wanted, sizes=sizes, rows=rows)
    try_ns = _STEP_NS * len(wanted) * len(sizes)
    if cost > _WORTH_TRYING * try_ns:
        order, tries = wanted, 1
        while tries:
            grown = _grow_all(order, sizes=sizes, rows=rows)
            found = _total(grown, sizes=sizes, rows=rows)
            if order is wanted:
                tries = min(_MOST_TRIES, 1 + int(_SHARE * found / try_ns))
            if found < cost:
                best, cost = grown, found
            tries -= 1
            order = _shuffled(wanted, seed=tries) if tries else wanted
    tables = tuple(tuple(sorted(_members(mask))) for mask in best)
    return Cover(tables=tables, sources=_sources(cliques, best, sizes=sizes))


def _maximal(cliques: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the cliques that lie in no other, as bit masks, the largest first."""
    masks = sorted({_mask(clique) for clique in cliques}, key=lambda m: (-m.bit_count(), m))
    kept: list[int] = []
    smaller: set[int] = set()
    for mask in masks:
        if mask in smaller:
            continue
        kept.append(mask)
        members = _members(mask)
        if len(members) <= 8:
            smaller |= {
                _mask(part) for k in range(len(members)) for part in combinations(members, k)
            }
    return kept


def _shuffled(masks: Sequence[int], *, seed: int) -> list[int]:
    """Return the masks in another order, larger cliques still first."""
    order = np.random.default_rng(seed).permutation(len(masks))
    return sorted((masks[i] for i in order), key=lambda m: -m.bit_count())


def _grow_all(order: Sequence[int], *, sizes: Sequence[int], rows: int) -> list[int]:
    """Cover every mask: start a table at the first open one and widen it while that pays."""
    open_masks = _Open(order, columns=len(sizes))
    tables = []
    for mask in order:
        if open_masks.has(mask):
            table = _grow(mask, open_masks, sizes=sizes, rows=rows)
            open_masks.close(table)
            tables.append(table)
    return tables


def _grow(mask: int, open_masks: _Open, *, sizes: Sequence[int], rows: int) -> int:
    """Add the column that lowers the cost per covered clique most, until none does."""
    cells, covered = math.prod(sizes[c] for c in _members(mask)), 1
    columns = mask.bit_count()
    price = _cost(cells, columns=columns, rows=rows) + _SUM_NS
    while True:
        best, gain = -1, 0
        for column, more in open_masks.gains(mask):
            if cells * sizes[column] > _MOST_CELLS:
                continue
            total = _cost(cells * sizes[column], columns=columns + 1, rows=rows)
            total += _SUM_NS * (covered + more)
            if total / (covered + more) < price:
                best, gain, price = column, more, total / (covered + more)
        if best < 0:
            return mask
        mask, covered, cells = mask | 1 << best, covered + gain, cells * sizes[best]
        columns += 1


class _Open:
    """The cliques that no table covers yet; pairs as neighbours, since there are many."""

    def __init__(self, masks: Sequence[int], *, columns: int) -> None:
        self._neighbours = [0] * columns
        self._wide: list[set[int]] = [set() for _ in range(columns)]
        self._single = {m for m in masks if m.bit_count() < 2}
        for mask in masks:
            if mask.bit_count() == 2:
                low, high = _members(mask)
                self._neighbours[low] |= 1 << high
                self._neighbours[high] |= 1 << low
            elif mask.bit_count() > 2:
                for column in _members(mask):
                    self._wide[column].add(mask)

    def has(self, mask: int) -> bool:
        """Say whether the clique is open."""
        members = _members(mask)
        if len(members) < 2:
            return mask in self._single
        if len(members) == 2:
            return bool(self._neighbours[members[0]] >> members[1] & 1)
        return mask in self._wide[members[0]]

    def gains(self, table: int) -> Iterator[tuple[int, int]]:
        """Yield each column with which the table covers more open cliques, and how many."""
        for column, near in enumerate(self._neighbours):
            more = (near & table).bit_count()
            if wide := self._wide[column]:
                wider = table | 1 << column
                more += sum(1 for mask in wide if not mask & ~wider)
            if more and not table >> column & 1:
                yield column, more

    def close(self, table: int) -> None:
        """Drop what the table covers."""
        self._single.discard(table)
        for column in _members(table):
            self._neighbours[column] &= ~table
            self._wide[column] -= {mask for mask in self._wide[column] if not mask & ~table}


def _cost(cells: int, *, columns: int, rows: int) -> float:
    """Return nanoseconds that counting one table takes."""
    row_ns = _TABLE_NS[bisect_left(_TABLE_CELLS, cells)] + _COLUMN_NS * columns
    return rows * row_ns + cells * _CELL_NS


def _total(tables: Sequence[int], *, sizes: Sequence[int], rows: int) -> float:
    return sum(
        _cost(math.prod(sizes[c] for c in _members(t)), columns=t.bit_count(), rows=rows)
        for t in tables
    )


def _sources(
    cliques: Sequence[tuple[int, ...]], tables: Sequence[int], *, sizes: Sequence[int]
) -> tuple[int, ...]:
    """Return the smallest table that covers each clique."""
    cells = [math.prod(sizes[c] for c in _members(table)) for table in tables]
    smallest = sorted(range(len(tables)), key=cells.__getitem__)
    holders = [0] * len(sizes)
    for rank, table in enumerate(smallest):
        for column in _members(tables[table]):
            holders[column] |= 1 << rank
    found = []
    for clique in cliques:
        holding = (1 << len(tables)) - 1
        for column in clique:
            holding &= holders[column]
        found.append(smallest[(holding & -holding).bit_length() - 1])
    return tuple(found)


def _mask(columns: Sequence[int]) -> int:
    return sum(1 << column for column in columns)


def _members(mask: int) -> list[int]:
    members = []
    while mask:
        low = mask & -mask
        members.append(low.bit_length() - 1)
        mask ^= low
    return members
