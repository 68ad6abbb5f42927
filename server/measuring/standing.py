"""Which cliques a sampler stands on: those of its tree, or of a mixture the pairs that say most.

A mixture says something of every pair, and a junction tree has room for few. What attributes that
hang on one another say in it is not what it knows of pairs: most of that is in its component, which
no clique shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.sampler import Sampler, clique_shares, draw_codes
from silosynth.common.spanning import spanning_edges
from silosynth.server.model import build_junction_tree

ROOM = 2**16
"""Cells of a tree of pairs of a mixture, so that it is fitted in seconds."""
DRAWN = 2**17
"""Rows by which shares of pairs are known that no clique has."""
_LOOKED_AT, _AT_ONCE = 2**15, 2**12
_TRIED = 3
"""Pairs that are tried for each column."""
_DEVIATIONS = 2.0


def standing_cliques(last: Sampler) -> tuple[tuple[Clique, np.ndarray], ...]:
    """Return cliques that hold what a sampler says, each with its shares over working codes.

    Of a mixture: every column, and of its pairs those in which attributes say most of one another
    of which a junction tree has room, by rows drawn from it.
    """
    tables = tuple(clique_shares(last))
    if not last.components:
        return tables
    alone = {
        name: table.sum(axis=tuple(i for i in range(len(clique)) if i != axis))
        for clique, table in tables
        for axis, name in enumerate(clique)
    }
    columns = (((name,), table) for name, table in alone.items())
    return (*columns, *drawn_shares(last, _roomy(last)))


def drawn_shares(last: Sampler, pairs: Iterable[Clique]) -> Iterator[tuple[Clique, np.ndarray]]:
    """Yield the shares of pairs over working codes, by rows drawn of a sampler."""
    wanted = list(pairs)
    columns = dict(_columns(last, rows=DRAWN)) if wanted else {}
    working = last.grouping.domain(last.domain)
    for one, other in wanted:
        sizes = working.sizes((one, other))
        cells = np.ravel_multi_index([columns[one], columns[other]], sizes)
        counts = np.bincount(cells, minlength=sizes[0] * sizes[1])
        yield (one, other), counts.reshape(sizes) / DRAWN


def _columns(last: Sampler, *, rows: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (rows,) working codes of each column of rows drawn of a sampler."""
    codes = draw_codes(last, rows=rows, seed=0)
    for name, size, column in zip(last.domain.attributes, last.domain.shape, codes, strict=True):
        yield name, np.asarray(last.grouping.lookup(name, size))[column]


def _roomy(last: Sampler) -> tuple[Clique, ...]:
    """Return the pairs that say most, as long as a tree of them stays small."""
    domain = last.grouping.domain(last.domain)
    chosen: list[Clique] = [(name,) for name in domain.attributes]
    room = ROOM + build_junction_tree(chosen, domain=domain).cells
    ordered = _telling(last)
    # A tree first (Chow and Liu 1968): every column has a pair of its own among the first.
    ties = dict.fromkeys(spanning_edges((one, other) for one, other in ordered))
    rest = [p for p in ordered if p not in ties][: _TRIED * len(domain.attributes)]
    for pair in (*ties, *rest):
        if build_junction_tree([*chosen, pair], domain=domain).cells <= room:
            chosen.append(pair)
    return tuple(clique for clique in chosen if len(clique) == 2)


def _telling(last: Sampler) -> list[Clique]:
    """Return the pairs that are beyond chance apart from independent columns, the furthest first.

    How far is the distance of two tables, less what so many rows are off by chance.
    """
    domain = last.grouping.domain(last.domain)
    ends = [0, *np.cumsum(domain.shape).tolist()]
    shares = _pair_shares(last, ends)
    found: dict[Clique, float] = {}
    for left, right in combinations(range(len(domain.shape)), 2):
        table = shares[ends[left] : ends[left + 1], ends[right] : ends[right + 1]]
        alone = np.outer(table.sum(axis=1), table.sum(axis=0))
        chance = np.sqrt(alone / _LOOKED_AT)
        off = float(np.abs(table - alone).sum() - _DEVIATIONS * chance.sum())
        if off > 0:
            found[domain.attributes[left], domain.attributes[right]] = round(off, 9)
    return sorted(found, key=lambda pair: (-found[pair], pair))


def _pair_shares(last: Sampler, ends: list[int]) -> np.ndarray:
    """Return (codes, codes) the share of every pair of working codes, by rows drawn."""
    columns = [c for _, c in _columns(last, rows=_LOOKED_AT)]
    counts = np.zeros((ends[-1], ends[-1]))
    for start in range(0, _LOOKED_AT, _AT_ONCE):
        shown = np.zeros((_AT_ONCE, ends[-1]), dtype=np.float32)
        for column, begin in zip(columns, ends[:-1], strict=True):
            shown[np.arange(_AT_ONCE), begin + column[start : start + _AT_ONCE]] = 1.0
        counts += shown.T @ shown
    return counts / _LOOKED_AT
