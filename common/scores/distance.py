"""Total variation distance of coded rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from silosynth.common.errors import InvalidArgument

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
