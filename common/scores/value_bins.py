"""Cells that the model did not choose: quantiles of the real rows, with atoms of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silosynth.common.scores.values import Column


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValueBins:
    """Cell 0 holds missing values, the next ones an atom each, the last ones what lies between.

    ``atoms`` and ``edges`` rise; ``lookup`` is for labels instead.
    """

    atoms: np.ndarray
    edges: np.ndarray
    lookup: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Return the number of cells."""
        if self.lookup is not None:
            return int(self.lookup.max()) + 1
        return 1 + len(self.atoms) + len(self.edges) + 1

    def cells(self, column: Column) -> np.ndarray:
        """Return (rows,) int64 in [0, size)."""
        if self.lookup is not None:
            coded: np.ndarray = self.lookup[column.codes]
            return coded
        numbers = column.numbers
        found = 1 + len(self.atoms) + np.searchsorted(self.edges, numbers, side="right")
        if len(self.atoms):
            place = np.minimum(np.searchsorted(self.atoms, numbers), len(self.atoms) - 1)
            found = np.where(self.atoms[place] == numbers, 1 + place, found)
        cells: np.ndarray = np.where(np.isnan(numbers), 0, found).astype(np.int64)
        return cells


def value_bins(real: Column, *, count: int) -> ValueBins:
    """Choose at most about ``count`` cells by the real column alone.

    A number that at least one row in ``count`` has is an atom. A list longer than ``count`` keeps
    its heaviest labels; the others, and those that no real row has, share one cell.
    """
    if real.listed:
        return _label_bins(real, count=count)
    present = np.sort(real.numbers[~real.missing])
    values, counts = np.unique(present, return_counts=True)
    heavy = counts * count >= max(len(present), 1)
    atoms = values[heavy]
    rest = present[~np.isin(present, atoms)] if len(atoms) else present
    groups = max(count - len(atoms), 1)
    places = (np.arange(1, groups) * len(rest)) // groups
    edges = np.unique(rest[places]) if len(rest) else rest
    return ValueBins(atoms=atoms, edges=edges)


def _label_bins(real: Column, *, count: int) -> ValueBins:
    """Give the heaviest labels a cell each."""
    size = len(real.labels) + 1
    none = np.zeros(0)
    if size <= count + 1:
        return ValueBins(atoms=none, edges=none, lookup=np.arange(size))
    weights = np.bincount(real.codes, minlength=size)[1:]
    heaviest = np.sort(np.argsort(-weights, kind="stable")[: count - 1]) + 1
    lookup = np.full(size, count)
    lookup[0] = 0
    lookup[heaviest] = np.arange(1, count)
    return ValueBins(atoms=none, edges=none, lookup=lookup)


def contiguous_edges(real: Column, *, count: int, allowed: np.ndarray | None) -> np.ndarray:
    """Return rising edges of at most ``count`` ranges of near equal mass, with both ends.

    ``allowed`` are the only numbers that may be an edge, where a schema's bins say so.
    """
    present = np.sort(real.numbers[~real.missing])
    inner = present[(np.arange(1, count) * len(present)) // count]
    if allowed is None:
        return np.unique(np.concatenate([present[:1], inner, np.nextafter(present[-1:], np.inf)]))
    nearest = np.searchsorted(allowed, inner, side="right") - 1
    chosen = allowed[np.clip(nearest, 0, len(allowed) - 1)]
    return np.unique(np.concatenate([allowed[:1], chosen, allowed[-1:]]))
