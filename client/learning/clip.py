"""Gradients of single rows as integers of bounded norm, and their exact sum.

A row's gradient is scaled down to the clip, written in units of clip / scaled_norm, rounded to
whole numbers, and added up. No float decides whether the bound holds: squares and sums of these
integers are below 2^24, so single precision computes them exactly, in any order. A row counts when
its integers are shown to be within the bound, and is left out otherwise: it is never added first
and taken away afterwards, which would round away what others added.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numba
import numpy as np

from silosynth.common.errors import InvalidTable
from silosynth.common.plan import BOUND, scaled_norm

MOST_ROWS = 4000
"""Rows whose integers are added up in single precision: 4000 * 4095 is below 2^24."""

_BOUND2 = np.float32(BOUND**2)


def add_clipped(parts: Sequence[np.ndarray], *, clip: float, total: np.ndarray) -> int:
    """Add the rows' clipped integer gradients to ``total``, in place.

    Guarantees: what one row adds has an L2 norm of at most ``BOUND`` and depends on that row
    alone, whatever its gradient and ``clip`` are, decided on the integers. A row whose gradient or
    scale is not finite, or for which the bound cannot be shown, adds zero. No warning tells of it.

    Args:
        parts: for each array of weights, (rows, weights) float32 gradients, at most MOST_ROWS rows.
        clip: gradients of a larger norm are scaled down to it.
        total: (parameters,) int64.
    Returns: how many rows were not finite. Private.
    """
    rows = len(parts[0])
    if rows > MOST_ROWS:
        raise ValueError(f"at most {MOST_ROWS} rows at once")
    kernels = _kernels()
    # Loops over other strides might be compiled to sum in another order.
    parts = [np.ascontiguousarray(part) for part in parts]
    with np.errstate(all="ignore"):
        scales, lost = _scales(parts, clip=clip, parameters=len(total))
        norms2 = np.zeros(rows, dtype=np.float32)
        for part in parts:
            kernels.measure(part, scales, norms2)
        # A comparison with NaN is false, so such a row is not shown to be within.
        within = norms2 <= _BOUND2
        for row in np.flatnonzero(~within):
            _add_truncated([part[row] * scales[row] for part in parts], total=total)
        scales[~within] = 0
        sums = [np.zeros(part.shape[1], dtype=np.float32) for part in parts]
        for part, added in zip(parts, sums, strict=True):
            kernels.add(part, scales, added)
        total += exact_sum(np.concatenate(sums), rows=rows)
    return lost


def exact_sum(sums: np.ndarray, *, rows: int) -> np.ndarray:
    """Return sums of ``rows`` rows' integers, which floats hold, as int64.

    Raises InvalidTable unless all of them are finite and at most rows * BOUND, before any cast:
    what lies beyond int64, or is not a number, would become one and the same integer.
    """
    if not bool((np.abs(sums) <= rows * BOUND).all()):
        raise InvalidTable("a sum of clipped gradients is beyond what its rows can add up to")
    exact: np.ndarray = sums.astype(np.int64)
    return exact


def is_within(pieces: Sequence[np.ndarray]) -> bool:
    """Say whether the whole numbers of one row, in floats, have an L2 norm of at most ``BOUND``.

    Each is compared before it is squared, so that no square wraps; what is no number is not within.
    """
    if not all(bool((np.abs(piece) <= BOUND).all()) for piece in pieces):
        return False
    return sum(int(np.square(piece.astype(np.int64)).sum()) for piece in pieces) <= BOUND**2


def _scales(parts: Sequence[np.ndarray], *, clip: float, parameters: int) -> tuple[np.ndarray, int]:
    """Return (rows,) float32 what each row's gradient is multiplied by, and how many by zero.

    By zero where the norm, or the scale in single precision, is not finite.
    """
    squares = np.zeros(len(parts[0]), dtype=np.float64)
    kernels = _kernels()
    for part in parts:
        kernels.square(part, squares)
    norms = np.sqrt(squares)
    scales: np.ndarray = (scaled_norm(parameters) / np.maximum(norms, clip)).astype(np.float32)
    usable = np.isfinite(norms) & np.isfinite(scales)
    scales[~usable] = 0
    return scales, int((~usable).sum())


def _add_truncated(scaled: Sequence[np.ndarray], *, total: np.ndarray) -> None:
    """Add a row that rounding may have lifted above the bound, rounded towards zero.

    It adds nothing where it is above the bound even so.
    """
    lower = [np.trunc(values) for values in scaled]
    if is_within(lower):
        total += np.concatenate(lower).astype(np.int64)


class _Kernels:
    """The compiled loops."""

    def __init__(self) -> None:
        compiled = numba.njit(boundscheck=False, fastmath={"reassoc"}, nogil=True)
        self.square: Any = compiled(_square)
        self.measure: Any = compiled(_measure)
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


def _measure(part: np.ndarray, scales: np.ndarray, norms2: np.ndarray) -> None:
    """Add the squared norm of each row's integers to ``norms2``.

    Sums of such squares are exact up to 2^24, which is above BOUND², and a sum beyond never falls
    below it again, since nothing negative is added.
    """
    for i in range(part.shape[0]):
        scale = scales[i]
        if scale == 0:
            continue
        inside = np.float32(0)
        for j in range(part.shape[1]):
            value = np.rint(part[i, j] * scale)
            inside += value * value
        norms2[i] += inside


def _add(part: np.ndarray, scales: np.ndarray, added: np.ndarray) -> None:
    """Add each row's integers to ``added``.

    A row of scale zero adds nothing, even where its gradient is infinite.
    """
    for i in range(part.shape[0]):
        scale = scales[i]
        if scale == 0:
            continue
        for j in range(part.shape[1]):
            added[j] += np.rint(part[i, j] * scale)
