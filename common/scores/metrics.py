"""How far synthetic rows are from real ones, with the floors and ceilings to read it by.

Rows are columns of codes, one (rows,) array per attribute of a domain, in its order. Distances are
total variation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument
from silosynth.common.seeded import SeededWords

_LARGEST_CELLS = 2**62
_DENSE_CELLS = 2**16
_DENSE_CELLS_PER_ROW = 4

Columns = Sequence[np.ndarray]


def joint_codes(columns: Columns, sizes: Sequence[int]) -> np.ndarray:
    """Return (rows,) int64, the row-major cell of each row; ``columns`` are int64."""
    cells = columns[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        cells = cells * size
        cells += column
    return cells


def total_variations(
    real: np.ndarray, others: Sequence[np.ndarray], *, cells: int
) -> Iterator[float]:
    """Yield the total variation distance, in [0, 1], of each of ``others`` from ``real``.

    Args:
        real, others: (rows,) int64 cells in [0, cells); no array may be empty.
        cells: tables of more cells than are worth a counter each are counted by sorting.
    """
    if not all(len(rows) for rows in (real, *others)):
        raise InvalidArgument("a distance needs rows on both sides", hint="draw at least one row")
    if cells > _LARGEST_CELLS:
        raise InvalidArgument(f"a clique of {cells} cells cannot be numbered")
    if cells > max(_DENSE_CELLS, _DENSE_CELLS_PER_ROW * len(real)):
        found, real = np.unique(real, return_inverse=True)
        others = [_renumber(rows, found=found) for rows in others]
        cells = len(found) + 1
    shares = np.bincount(real, minlength=cells) / len(real)
    for rows in others:
        yield 0.5 * float(np.abs(np.bincount(rows, minlength=cells) / len(rows) - shares).sum())


def _renumber(cells: np.ndarray, *, found: np.ndarray) -> np.ndarray:
    """Return the position of each cell among ``found``; all others share the next number.

    That is enough for a distance, since the real rows have nothing in any of those others.
    """
    positions = np.searchsorted(found, cells)
    known = found[np.minimum(positions, len(found) - 1)] == cells
    return np.where(known, positions, len(found))


SUBSAMPLE_FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95)


def all_cliques(domain: Domain, k: int) -> tuple[Clique, ...]:
    """Return every clique of ``k`` attributes, in column order."""
    return tuple(combinations(domain.attributes, k))


def fixed_cliques(domain: Domain, k: int, *, count: int, seed: int) -> tuple[Clique, ...]:
    """Return ``count`` different cliques of ``k`` attributes, or all when there are no more.

    Guarantees: a function of the arguments, on every machine; in column order.
    """
    size = len(domain.attributes)
    if count >= math.comb(size, k):
        return all_cliques(domain, k)
    words = SeededWords(seed=seed, purpose="cliques")
    chosen: set[tuple[int, ...]] = set()
    while len(chosen) < count:
        columns = set(words.below(size, k).tolist())
        if len(columns) == k:
            chosen.add(tuple(sorted(columns)))
    return tuple(tuple(domain.attributes[i] for i in columns) for columns in sorted(chosen))


def marginal_distance(
    real: Columns, synthetic: Columns, *, domain: Domain, cliques: Sequence[Clique]
) -> np.ndarray:
    """Return (cliques,) float64: per clique, the total variation distance in [0, 1]."""
    return marginal_distances(real, [synthetic], domain=domain, cliques=cliques)[:, 0]


def marginal_distances(
    real: Columns, others: Sequence[Columns], *, domain: Domain, cliques: Sequence[Clique]
) -> np.ndarray:
    """Return (cliques, others) float64: total variation distances of each from ``real``."""
    tables = [[np.asarray(c, dtype=np.int64) for c in table] for table in (real, *others)]
    if any(len(table) != len(domain.attributes) for table in tables):
        raise InvalidArgument(f"{len(domain.attributes)} columns of codes are needed on both sides")
    found = np.empty((len(cliques), len(others)))
    for i, clique in enumerate(cliques):
        sizes = domain.sizes(clique)
        columns = [domain.index(a) for a in clique]
        cells = [joint_codes([table[c] for c in columns], sizes) for table in tables]
        found[i] = list(total_variations(cells[0], cells[1:], cells=domain.size(clique)))
    return found


def independent_columns(codes: Columns, *, seed: int) -> tuple[np.ndarray, ...]:
    """Shuffle each column by itself: right 1-way marginals, no dependence. The floor."""
    return tuple(
        column[SeededWords(seed=seed, purpose="independent", index=i).permutation(len(column))]
        for i, column in enumerate(codes)
    )


def bootstrap(codes: Columns, *, seed: int) -> tuple[np.ndarray, ...]:
    """Draw as many rows with replacement: as near as another sample would be. The ceiling."""
    rows = len(codes[0])
    chosen = SeededWords(seed=seed, purpose="bootstrap").below(rows, rows)
    return tuple(column[chosen] for column in codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsampleCurve:
    """The mean distance of random subsamples from the rows that they were taken from."""

    fractions: tuple[float, ...]
    distances: tuple[float, ...]


def subsample_curve(
    codes: Columns,
    *,
    domain: Domain,
    cliques: Sequence[Clique],
    seed: int,
    fractions: Sequence[float] = SUBSAMPLE_FRACTIONS,
) -> SubsampleCurve:
    """Measure, at each fraction, one subsample without replacement; nested, so noise is shared."""
    rows = len(codes[0])
    kept = [f for f in sorted(fractions) if round(f * rows) >= 1]
    if not kept:
        raise InvalidArgument(f"{rows} rows are too few for a subsample")
    order = SeededWords(seed=seed, purpose="subsample").permutation(rows)
    samples = [[column[order[: round(f * rows)]] for column in codes] for f in kept]
    means = marginal_distances(codes, samples, domain=domain, cliques=cliques).mean(axis=0)
    return SubsampleCurve(fractions=tuple(kept), distances=tuple(float(m) for m in means))


def equivalent_subsample(distance: float, *, curve: SubsampleCurve) -> float:
    """Return the fraction of the real rows whose subsample is as far off as ``distance``.

    Interpolates log distance against log((1 - x) / x), in which sampling without replacement is
    a straight line, and stays between the smallest and the largest fraction of ``curve``.
    """
    fractions = np.asarray(curve.fractions)
    falling = np.minimum.accumulate(np.asarray(curve.distances))
    if distance <= falling[-1]:
        return float(fractions[-1])
    odds = np.log((1 - fractions) / fractions)
    found = np.interp(np.log(distance), np.log(falling[::-1]), odds[::-1])
    return float(1 / (1 + np.exp(found)))
