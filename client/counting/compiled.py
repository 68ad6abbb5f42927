"""The compiled counting loop: the only file that knows numba.

It is one function with one signature, so that compiling takes about two seconds once. The compiled
code may be kept in a directory of the gateway's own; what numba reads back from there is a pickle,
so a directory that others may write is not used.
"""

from __future__ import annotations

import os
import stat
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

_SIGNATURE = (
    "void(int64[::1], int64[::1], int64[::1], int64[::1], uint16[::1], int64, int64, "
    "int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], "
    "uint32[::1], uint16[:, ::1], uint64[::1])"
)
_NARROW_CELLS = 1 << 16
_lock = threading.Lock()


@lru_cache(maxsize=4)
def load_kernel(cache: Path | None) -> Any:
    """Return the compiled loop, from ``cache`` where it lies there and may be trusted."""
    cache = cache if cache is not None and _is_private(cache) else None
    config: Any = numba.config
    with _lock:
        before = config.CACHE_DIR
        config.CACHE_DIR = "" if cache is None else str(cache)
        try:
            return numba.njit(_SIGNATURE, nogil=True, cache=cache is not None)(count_rows)
        finally:
            config.CACHE_DIR = before


def _is_private(directory: Path) -> bool:
    """Say whether the directory is ours and nobody else can write it."""
    try:
        state = directory.stat()
    except OSError:
        return False
    ours = state.st_uid == os.getuid() and os.access(directory, os.W_OK)
    return ours and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def _pointer(_: Any, address: Any) -> Any:
    """Turn a number into a pointer: columns of two types enter one signature as addresses."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return numba.types.voidptr(numba.types.int64), generate


def count_rows(
    addresses: np.ndarray,
    widths: np.ndarray,
    highest: np.ndarray,
    lookup_starts: np.ndarray,
    lookups: np.ndarray,
    first: int,
    end: int,
    arity: np.ndarray,
    members: np.ndarray,
    strides: np.ndarray,
    starts: np.ndarray,
    copies: np.ndarray,
    counters: np.ndarray,
    block: np.ndarray,
    index: np.ndarray,
) -> None:
    """Add rows ``first`` to ``end`` to the counters of every table.

    A column enters a block as 16-bit codes, merged by its lookup if it has one. For each table the
    cells of a piece of a block are worked out first, which the compiler does many rows at once, and
    then counted, four rows to a 64-bit load. A table with four copies of its counters spreads
    neighbouring rows over them, so that equal rows do not wait for one another.

    A code above ``highest`` is taken as it, so that no memory but the counters can be written.
    """
    size = block.shape[1]
    narrow, wide = index.view(np.uint16), index.view(np.uint32)
    piece = len(wide)
    for start in range(first, end, size):
        rows = min(size, end - start)
        for column in range(len(addresses)):
            _fill(
                block[column],
                addresses[column] + start * widths[column],
                widths[column],
                np.uint16(highest[column]),
                lookup_starts[column],
                lookups,
                rows,
            )
        for table in range(len(arity)):
            begin, step = starts[table], copies[table]
            cells = (starts[table + 1] - begin) // (1 if step == 0 else 4)
            for low in range(0, rows, piece):
                high = min(low + piece, rows)
                if cells <= _NARROW_CELLS:
                    _index(block, members[table], strides[table], arity[table], low, high, narrow)
                    _count_narrow(index, narrow, counters[begin:], step, high - low)
                else:
                    _index(block, members[table], strides[table], arity[table], low, high, wide)
                    for row in range(high - low):
                        counters[begin + np.int64(wide[row])] += np.uint32(1)


@numba.njit
def _fill(  # type: ignore[no-untyped-def]  # compiled
    target, address, width, highest, lookup_start, lookups, rows
):
    """Copy one column's block as 16-bit codes, merged by its lookup if it has one."""
    if width == 1:
        bytes_ = numba.carray(_pointer(address), (rows,), dtype=np.uint8)
        for row in range(rows):
            target[row] = min(np.uint16(bytes_[row]), highest)
    else:
        words = numba.carray(_pointer(address), (rows,), dtype=np.uint16)
        for row in range(rows):
            target[row] = min(words[row], highest)
    if lookup_start >= 0:
        lookup = lookups[lookup_start:]
        for row in range(rows):
            target[row] = lookup[target[row]]


@numba.njit
def _index(  # type: ignore[no-untyped-def]  # compiled
    block, members, strides, arity, low, high, index
):
    """Work out the cell of each row; the last stride is 1.

    Every step is cut to the index's own type, without which the compiler works in 64 bits.
    """
    kind = index.dtype.type
    rows = high - low
    index = index[:rows]
    a, s = block[members[0]][low:high], kind(strides[0])
    b, t = block[members[1]][low:high], kind(strides[1])
    if arity == 1:
        for row in range(rows):
            index[row] = a[row]
        return
    if arity == 2:
        for row in range(rows):
            index[row] = kind(kind(a[row] * s) + b[row])
        return
    c, u = block[members[2]][low:high], kind(strides[2])
    if arity == 3:
        for row in range(rows):
            index[row] = kind(kind(kind(a[row] * s) + kind(b[row] * t)) + c[row])
        return
    d, v = block[members[3]][low:high], kind(strides[3])
    for row in range(rows):
        front = kind(kind(a[row] * s) + kind(b[row] * t))
        index[row] = kind(front + kind(kind(c[row] * u) + kind(d[row] * v)))
    for other in range(4, arity):
        e, w = block[members[other]][low:high], kind(strides[other])
        for row in range(rows):
            index[row] = kind(index[row] + kind(e[row] * w))


@numba.njit
def _count_narrow(  # type: ignore[no-untyped-def]  # compiled
    index, narrow, counters, step, rows
):
    """Count 16-bit cells, four to a load."""
    mask = np.uint64(0xFFFF)
    one = np.uint32(1)
    first, second = counters, counters[step:]
    third, fourth = counters[2 * step :], counters[3 * step :]
    fours = rows // 4
    for four in range(fours):
        cells = index[four]
        first[cells & mask] += one
        second[(cells >> np.uint64(16)) & mask] += one
        third[(cells >> np.uint64(32)) & mask] += one
        fourth[cells >> np.uint64(48)] += one
    for row in range(4 * fours, rows):
        counters[narrow[row]] += one
