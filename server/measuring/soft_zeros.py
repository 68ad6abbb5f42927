"""Combinations that noised counts say nobody has, which a fit may then leave out.

A cell's count is nothing or something: a share of the cells is empty, and the others hold counts
that fall exponentially. Both are fitted to the noised counts of one pair, which says of every cell
with what chance it is empty and how many rows it holds otherwise. Cells are left out from the
surest on, as long as what they may hold together stays below a hundredth of the rows. What comes of
it is no promise, as that of declared zeros is: other noise would have said otherwise. It is
post-processing of releases and costs no privacy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement, weighed_mean
from silosynth.common.schema import ImpossibleCells
from silosynth.server.values import log_odds, pushed_up

MOST_LOST = 0.01
"""Of a pair's rows, the most that its empty cells may hold by what is known of them."""
LEAST_CHANCE = 0.5
"""That a cell which is left out is empty."""
LEAST_EMPTY = 0.05
"""Of the rows, what independent attributes would put into a pair's empty cells, at least."""
SHORT_DEVIATIONS, WEAK_DEVIATIONS = 3.0, 2.0
_ITERATIONS = 50


def soft_zeros(
    pairs: Iterable[Measurement],
    one_way: Sequence[Measurement],
    *,
    domain: Domain,
    grouping: Grouping,
) -> tuple[ImpossibleCells, ...]:
    """Return the cells of nearly deterministic pairs that hold nobody, over merged codes.

    Args:
        pairs: measured on codes no finer than those of ``grouping``.
        one_way: of every attribute, on fine codes.
    """
    alone = {m.clique[0]: m for m in one_way}
    found = []
    for pair in pairs:
        if (mask := empty_cells(pair, alone, domain=domain)).any():
            sizes = domain.sizes(pair.clique)
            names = list(zip(pair.clique, sizes, strict=True))
            whole = mask[np.ix_(*[pair.grouping.lookup(a, s) for a, s in names])]
            zeros = ImpossibleCells(clique=pair.clique, mask=whole, declared=False)
            found.append(zeros.merged([grouping.lookup(a, s) for a, s in names]))
    return tuple(found)


def trust_empty(
    pairs: Sequence[Measurement],
    one_way: Iterable[Measurement],
    *,
    domain: Domain,
    times: float,
) -> tuple[Measurement, ...]:
    """Return pairs that are ``times`` surer than their noise of cells which hold next to nobody.

    Such a cell holds nothing then, unless what else was measured says so: unlike a zero it forbids
    nothing. What was measured twice is looked at together.

    Args: pairs: as for :func:`soft_zeros`. one_way: of every attribute, over the same codes.
    """
    alone = {m.clique[0]: m for m in one_way}
    empty: dict[int, np.ndarray] = {}
    for pair in pairs:
        same = [m for m in pairs if (m.clique, m.grouping) == (pair.clique, pair.grouping)]
        known = empty.get(id(same[0]))
        if known is None:
            known = empty_cells(_mean(same), alone, domain=domain).ravel()
        empty[id(pair)] = known
    return tuple(
        replace(
            pair,
            values=np.where(empty[id(pair)], 0.0, pair.values),
            variance=np.where(empty[id(pair)], pair.variance / times, pair.variance),
        )
        for pair in pairs
    )


def _mean(same: Sequence[Measurement]) -> Measurement:
    """Return what was measured more than once as one measurement."""
    values, precision = weighed_mean(same)
    return replace(same[0], values=values, variance=1.0 / precision)


def empty_cells(
    pair: Measurement, one_way: Mapping[str, Measurement], *, domain: Domain
) -> np.ndarray:
    """Return (left groups, right groups) bool: the cells that surely hold next to nobody.

    None where independent attributes would hardly put anybody there. A group whose own count is
    within noise, or that would lose rows which it is known to have, keeps all its cells.
    """
    shape = pair.grouping.domain(domain).sizes(pair.clique)
    chance, rows = emptiness(pair.values, np.sqrt(pair.variance))
    order = np.argsort(-chance, kind="stable")
    total = max(float(pair.values.sum()), 1.0)
    sure = np.zeros(len(chance), dtype=bool)
    sure[order] = np.cumsum(rows[order]) <= MOST_LOST * total
    empty = (sure & (chance >= LEAST_CHANCE)).reshape(shape)
    counts = [_merged(one_way[a], pair.grouping) for a in pair.clique]
    independent = np.outer(counts[0], counts[1]) / max(float(counts[0].sum()), 1.0)
    if float(independent[empty].sum()) < LEAST_EMPTY * total:
        return np.zeros(shape, dtype=bool)
    kept = np.where(empty, 0.0, rows.reshape(shape))
    deviation = float(np.sqrt(pair.variance[0]))
    unsure = [
        (own - kept.sum(axis=1 - axis) > SHORT_DEVIATIONS * deviation)
        | (own < WEAK_DEVIATIONS * deviation)
        for axis, own in enumerate(counts)
    ]
    empty[unsure[0], :] = False
    empty[:, unsure[1]] = False
    return empty


def _merged(one_way: Measurement, grouping: Grouping) -> np.ndarray:
    """Return (groups,) the noised counts of groups, none below zero."""
    groups = grouping.lookup(one_way.clique[0], len(one_way.values))
    return np.clip(np.bincount(groups, weights=one_way.values), 0.0, None)


def emptiness(values: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, by cell, the chance that it is empty and the rows that it is expected to hold.

    Counts are 0 with one chance and exponential otherwise, noise is normal; chance and mean are
    fitted by expectation maximisation (Dempster, Laird and Rubin 1977).

    Args: values, deviation: (cells,) noised counts and the standard deviation of their noise.
    """
    share, scale = 0.5, max(2.0 * float(values.sum()) / len(values), 1.0)
    for _ in range(_ITERATIONS):
        shifted = values - deviation**2 / scale
        z = shifted / deviation
        log_ratio = log_odds(z, ratio=deviation / scale)
        odds = (1.0 - share) / share * np.exp(np.clip(log_ratio, -700.0, 700.0))
        empty = 1.0 / (1.0 + odds)
        inside = shifted + deviation * pushed_up(z)
        rows = (1.0 - empty) * np.maximum(inside, 0.0)
        share = float(np.clip(empty.mean(), 0.001, 0.999))
        scale = max(float(rows.sum() / max((1.0 - empty).sum(), 1e-9)), 1.0)
    return empty, rows
