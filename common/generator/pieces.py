"""How sums go through rows: in pieces that fit into memory, each row in the line of its class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_MOST_AT_ONCE = 2**20


def in_pieces(columns: Sequence[np.ndarray], *, width: int) -> Iterator[list[np.ndarray]]:
    """Cut rows into pieces, for work that makes ``width`` numbers of each.

    Args: columns: (rows,) codes of each attribute.
    """
    step = max(_MOST_AT_ONCE // width, 1)
    for first in range(0, len(columns[0]), step):
        yield [column[first : first + step] for column in columns]


def classes_of(columns: Sequence[np.ndarray], label: int | None) -> np.ndarray:
    """Return (rows,) int64, each row's code of the column ``label``; noughts without one."""
    if label is None:
        return np.zeros(len(columns[0]), dtype=np.int64)
    return columns[label].astype(np.int64, copy=False)
