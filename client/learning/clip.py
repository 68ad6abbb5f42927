"""Gradients of single rows as integers of bounded norm, and their exact sum.

A row's gradient is scaled down to the clip, written in units of clip / scaled_norm, rounded to
whole numbers, and added up. No float decides whether the bound holds: squares and sums of these
integers are below 2^24, so single precision computes them exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np

from silosynth.common.plan.training import BOUND, scaled_norm

MOST_ROWS = 4000
"""Rows whose integers are added up in single precision: 4000 * 4190 is below 2^24."""

_BOUND2 = np.float32(BOUND**2)


def add_clipped(parts: Sequence[np.ndarray], *, clip: float, total: np.ndarray) -> int:
    """Add the rows' clipped integer gradients to ``total``, in place.

    Guarantees: what one row adds has an L2 norm of at most ``BOUND``, whatever its gradient is,
    decided on the integers; a row whose gradient is not finite adds zero.

    Args:
        parts: for each array of weights, (rows, weights) float32 gradients, at most MOST_ROWS rows.
        clip: gradients of a larger norm are scaled down to it.
        total: (parameters,) int64.
    Returns: how many rows were not finite. Private.
    """
    rows = len(parts[0])
    if rows > MOST_ROWS:
        raise ValueError(f"at most {MOST_ROWS} rows at once")
    scales, lost = _scales(parts, clip=clip, parameters=len(total))
    norms2 = np.zeros(rows, dtype=np.float32)
    sums = [np.zeros(part.shape[1], dtype=np.float32) for part in parts]
    kernels = _kernels()
    for part, added in zip(parts, sums, strict=True):
        kernels.add(part, scales, added, norms2)
    above = np.flatnonzero(norms2 > _BOUND2)
    for row in above:
        _replace(row, parts, scales, sums)
    total += np.concatenate(sums).astype(np.int64)
    return lost


def _scales(parts: Sequence[np.ndarray], *, clip: float, parameters: int) -> tuple[np.ndarray, int]:
    """Return (rows,) float32 what each row's gradient is multiplied by, and how many by zero."""
    squares = np.zeros(len(parts[0]), dtype=np.float64)
    kernels = _kernels()
    for part in parts:
        kernels.square(part, squares)
    with np.errstate(invalid="ignore"):
        norms = np.sqrt(squares)
    finite = np.isfinite(norms)
    scales = np.zeros(len(norms))
    scales[finite] = scaled_norm(parameters) / np.maximum(norms[finite], clip)
    return scales.astype(np.float32), int((~finite).sum())


def _replace(
    row: np.intp, parts: Sequence[np.ndarray], scales: np.ndarray, sums: Sequence[np.ndarray]
) -> None:
    """Take a row that rounding lifted above the bound out, and put it in rounded towards zero."""
    scaled = [part[row] * scales[row] for part in parts]
    lower = [np.trunc(s) for s in scaled]
    exact = sum(int(np.square(piece.astype(np.int64)).sum()) for piece in lower)
    for values, piece, added in zip(scaled, lower, sums, strict=True):
        added -= np.rint(values)
        if exact <= BOUND**2:
            added += piece


class _Kernels:
    """The compiled loops."""

    def __init__(self) -> None:
        compiled = numba.njit(boundscheck=False, fastmath={"reassoc"}, nogil=True)
        self.square: Any = compiled(_square)
        self.add: Any = compiled(_add)


@cache
def _kernels() -> _Kernels:
    """Compile the loops, once a process: about a second."""
    return _Kernels()


def _square(part: np.ndarray, squares: np.ndarray) -> None:
    """Add each row's squared norm to ``squares``."""
    for i in range(part.shape[0]):
        inside = np.float32(0)
        for j in range(part.shape[1]):
            inside += part[i, j] * part[i, j]
        squares[i] += inside


def _add(part: np.ndarray, scales: np.ndarray, added: np.ndarray, norms2: np.ndarray) -> None:
    """Add each row's integers to ``added``, and their squared norm to ``norms2``.

    A row of scale zero adds nothing, even where its gradient is infinite.
    """
    for i in range(part.shape[0]):
        scale = scales[i]
        if scale == 0:
            continue
        inside = np.float32(0)
        for j in range(part.shape[1]):
            value = np.rint(part[i, j] * scale)
            inside += value * value
            added[j] += value
        norms2[i] += inside
