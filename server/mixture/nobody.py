"""Which cells of a noised pair hold nearly nobody, and which of them an edge may forbid.

A cell is empty with one chance, and otherwise holds a count that falls exponentially, about as many
rows as independent attributes put there; both are fitted to all cells of the pair. Along codes in
an order a cell's chance leans on its neighbours', as where one is empty the next often is. Beside
that stands the nearest table without negative counts that has the 1-ways: where one cell has all
rows of a code, the others can have none, however noisy they are. A cell is taken for empty where
that is likely enough and one of the two leaves it few of the independent rows. Post-processing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from silosynth.common.spanning import spanning_edges
from silosynth.server.mixture.fission import times_the_variance, two_sights
from silosynth.server.mixture.forest import Forest
from silosynth.server.mixture.levels import Levels, Pair
from silosynth.server.values import log_odds, pushed_up

LEAST_CHANCE, MOST_LEFT = 0.35, 0.15
"""That a cell is empty, and of the rows that independent attributes put there."""
LEAST_KEPT_OUT = 0.0005
"""Of all rows, what an edge must keep out of forbidden cells to be worth one."""
LOW_DEVIATIONS = 2.0
"""A count is low that is no further above what an empty cell may be left."""
SHOWN_DEVIATIONS, MOST_THERE = 4.0, 0.3
"""By how much another sight's count of empty cells is below, and of what they would hold."""
SIGHTS, PART = 3, 0.7
"""How often counts are looked at twice, with so much of their noise more in the first sight."""
MOST_LOOKED_AT = 1000
"""Pairs of attributes: those that most may be kept out of."""
_ITERATIONS, _PROJECTIONS = 30, 60
_MOST_EMPTY = 0.97
_SHARES = (0.001, 0.99)
_ALONE_FIRST, _LEAST_IN_ORDER, _DRAWN = 10, 7, 8.0
"""Rounds before cells lean on neighbours, in an order of so many codes; and of how many cells the
share of all is worth beside them."""
Cells = tuple[Pair, np.ndarray]
"""A pair, and of its table, (left groups, right groups) bool, cells of a kind."""
_SEED = 1
_LOWEST = -30.0
"""Deviations: below, densities of a normal are nought to a computer."""


def choose_forest(
    levels: Levels, tables: np.ndarray, *, empty: Iterable[Cells], most_cells: int
) -> Forest:
    """Return the forest that keeps most rows out of cells which nobody is in.

    The edges that keep most out come first, each unless it would close a circle or be too large.

    Args:
        tables: (codes, codes) the shares of pairs by a model without edges.
        empty: of :func:`find_empty`.
        most_cells: that the tables of all edges may have together.
    """
    allowed = dict(_allowed(empty))
    codes = levels.slices
    kept_out = {
        (left, right): round(float(tables[codes[left], codes[right]][~mask].sum()), 9)
        for (left, right), mask in allowed.items()
    }
    neighbours = _spanning(kept_out, allowed, most_cells=most_cells, count=len(levels.sizes))
    return _rooted(levels.sizes, neighbours, allowed)


def _spanning(
    kept_out: Mapping[tuple[int, int], float],
    allowed: Mapping[tuple[int, int], np.ndarray],
    *,
    most_cells: int,
    count: int,
) -> dict[int, list[int]]:
    """Return which attributes are joined with each of ``count`` in the heaviest forest."""
    neighbours: dict[int, list[int]] = {v: [] for v in range(count)}

    def fits(edge: tuple[int, int]) -> bool:
        nonlocal most_cells
        held = allowed[edge].size <= most_cells
        most_cells -= allowed[edge].size if held else 0
        return held

    worth = (e for e, share in kept_out.items() if share >= LEAST_KEPT_OUT)
    ordered = sorted(worth, key=lambda e: (-kept_out[e], e))
    for left, right in spanning_edges(ordered, fits=fits):
        neighbours[left].append(right)
        neighbours[right].append(left)
    return neighbours


def _rooted(
    sizes: tuple[int, ...],
    neighbours: dict[int, list[int]],
    allowed: dict[tuple[int, int], np.ndarray],
) -> Forest:
    """Return the forest, each tree hung on the attribute that most others are joined with."""
    parents = [-2] * len(sizes)
    masks = {}
    for root in sorted(neighbours, key=lambda v: (-len(neighbours[v]), v)):
        if parents[root] != -2:
            continue
        parents[root], open_ = -1, [root]
        while open_:
            v = open_.pop(0)
            for child in (u for u in neighbours[v] if parents[u] == -2):
                parents[child] = v
                mask = allowed[v, child] if v < child else allowed[child, v].T
                masks[child] = mask.astype(np.float32)
                open_.append(child)
    return Forest(sizes=sizes, parents=tuple(parents), allowed=masks)


def _likely(levels: Levels, tables: np.ndarray) -> list[Pair]:
    """Return what was measured of the pairs whose low counts a model puts most rows into."""
    gathered = levels.gathered(tables)
    bounds: dict[tuple[int, int], float] = {}
    for pair in levels.pairs:
        alone = [_alone(levels, pair, side) for side in (0, 1)]
        low = pair.table < MOST_LEFT * np.outer(*alone) + LOW_DEVIATIONS * pair.deviation
        edge = pair.left, pair.right
        bounds[edge] = max(bounds.get(edge, 0.0), float(gathered[pair.block][low].sum()))
    first = sorted(bounds, key=lambda e: (-round(bounds[e], 9), e))[:MOST_LOOKED_AT]
    wanted = {edge for edge in first if bounds[edge] >= LEAST_KEPT_OUT}
    return [pair for pair in levels.pairs if (pair.left, pair.right) in wanted]


def _alone(levels: Levels, pair: Pair, side: int) -> np.ndarray:
    """Return (groups,) the 1-way shares of one side of a pair."""
    v, groups = pair.sides[side]
    return np.bincount(groups, weights=levels.shares[levels.slices[v]])


def find_empty(levels: Levels, tables: np.ndarray) -> Iterator[Cells]:
    """Yield measured pairs of which another sight shows that cells are empty, and which those are.

    Of the pairs whose low counts a model puts most rows into.

    Args: tables: (codes, codes) the shares of pairs by that model.
    """
    random = np.random.default_rng(_SEED)
    for pair in _likely(levels, tables):
        alone = _alone(levels, pair, 0) * levels.total, _alone(levels, pair, 1) * levels.total
        counts, deviation = pair.table * levels.total, pair.deviation * levels.total
        rising = levels.rising[pair.left], levels.rising[pair.right]
        if is_shown(counts, alone=alone, deviation=deviation, rising=rising, random=random):
            yield pair, empty_cells(counts, alone=alone, deviation=deviation, rising=rising)


def _allowed(cells: Iterable[Cells]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield, by pair of attributes, (codes, codes) bool: which cells no measurement says are empty.

    A code that would be left without any keeps all.
    """
    found: dict[tuple[int, int], np.ndarray] = {}
    for pair, empty in cells:
        edge = pair.left, pair.right
        found[edge] = found.get(edge, np.True_) & ~empty[np.ix_(*pair.groups)]
    for edge, mask in found.items():
        mask[~mask.any(axis=1)] = True
        mask[:, ~mask.any(axis=0)] = True
        yield edge, mask


def is_shown(
    counts: np.ndarray,
    *,
    alone: tuple[np.ndarray, np.ndarray],
    deviation: float,
    rising: tuple[bool, bool] = (False, False),
    random: np.random.Generator,
) -> bool:
    """Say whether cells that one sight of noised counts takes for empty are so in another.

    There they must hold far fewer rows than independent attributes would put in them, beyond what
    its noise explains, on the mean of a few such sights; see :mod:`.fission`.
    """
    rows = max(float(alone[0].sum()), 1.0)
    seen_deviation = deviation * np.sqrt(times_the_variance(PART))
    expected = there = cells = 0.0
    for _ in range(SIGHTS):
        noise = random.normal(size=counts.shape) * deviation
        seen, other = two_sights(counts, noise, part=PART)
        empty = empty_cells(seen, alone=alone, deviation=seen_deviation, rising=rising)
        expected += float(np.outer(*alone)[empty].sum()) / rows / SIGHTS
        there += float(other[empty].sum()) / SIGHTS
        cells += float(empty.sum()) / SIGHTS
    spread = deviation * np.sqrt((1.0 + 1.0 / (SIGHTS * PART**2)) * cells)
    return bool(expected - there > SHOWN_DEVIATIONS * spread and there < MOST_THERE * expected)


def empty_cells(
    counts: np.ndarray,
    *,
    alone: tuple[np.ndarray, np.ndarray],
    deviation: float,
    rising: tuple[bool, bool] = (False, False),
) -> np.ndarray:
    """Return (left, right) bool: the cells of noised counts that are taken for empty.

    Args: alone: the counts of each side's codes. deviation: of the noise in a cell. rising: whether
        the codes of each side stand in an order.
    """
    total = max(float(alone[0].sum()), 1.0)
    expected = np.maximum(np.outer(*alone) / total, 1e-9)
    chance, rows = _by_chance(counts, expected=expected, deviation=deviation, rising=rising)
    few = rows < MOST_LEFT * expected
    few |= nearest_table(counts, alone=alone) < MOST_LEFT * expected
    empty: np.ndarray = few & (chance > LEAST_CHANCE)
    return empty


def _by_chance(
    counts: np.ndarray, *, expected: np.ndarray, deviation: float, rising: tuple[bool, bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return, by cell, the chance that it is empty, and how many rows it is expected to hold.

    The share of empty cells is fitted by expectation maximisation (Dempster, Laird and Rubin
    1977), each cell weighed by how far what is expected there stands out of the noise.
    """
    telling = expected / (expected + deviation)
    share: float | np.ndarray = 0.5
    for step in range(_ITERATIONS):
        mean = expected / (1.0 - np.minimum(share, _MOST_EMPTY))
        z = np.maximum(counts / deviation - deviation / mean, _LOWEST)
        log_ratio = log_odds(z, ratio=deviation / mean)
        odds = (1.0 - share) / share * np.exp(np.clip(log_ratio, -700.0, 700.0))
        chance = 1.0 / (1.0 + odds)
        share = float(np.clip((chance * telling).sum() / telling.sum(), *_SHARES))
        if step >= _ALONE_FIRST:
            share = _leaning(chance, telling, share=share, rising=rising)
    inside = z + pushed_up(z)
    return chance, (1.0 - chance) * np.maximum(inside, 0.0) * deviation


def _leaning(
    chance: np.ndarray, telling: np.ndarray, *, share: float, rising: tuple[bool, bool]
) -> float | np.ndarray:
    """Return the share of empty cells about each cell, drawn to that of all by eight cells' worth.

    About a cell are itself and, in an order of more than a few codes, its neighbours at half.
    """
    held, weight = chance * telling, telling
    near = [axis for axis in (0, 1) if rising[axis] and chance.shape[axis] >= _LEAST_IN_ORDER]
    for axis in near:
        held, weight = _with_neighbours(held, axis), _with_neighbours(weight, axis)
    if not near:
        return share
    found: np.ndarray = np.clip((held + _DRAWN * share) / (weight + _DRAWN), *_SHARES)
    return found


def _with_neighbours(cells: np.ndarray, axis: int) -> np.ndarray:
    """Return twice each cell and once its two neighbours along an axis."""
    lines = np.moveaxis(cells, axis, 0)
    sums = 2.0 * lines
    sums[1:] += lines[:-1]
    sums[:-1] += lines[1:]
    return np.moveaxis(sums, 0, axis)


def nearest_table(counts: np.ndarray, *, alone: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the nearest table that has the 1-ways and no negative count, nearly.

    Source: alternating projections (Boyle and Dykstra 1986).
    """
    table, below = counts.astype(np.float64), np.zeros(counts.shape)
    for _ in range(_PROJECTIONS):
        table = table + ((alone[0] - table.sum(axis=1)) / table.shape[1])[:, None]
        table = table + ((alone[1] - table.sum(axis=0)) / table.shape[0])[None, :]
        lifted = table + below
        table = np.maximum(lifted, 0.0)
        below = lifted - table
    return table
