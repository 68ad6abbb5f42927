"""Count blocks of rows into joint tables: compiled where that pays, else with NumPy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import accumulate, pairwise
from operator import mul
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from silosynth.client.counting.layout import JointTable, Layout
from silosynth.common.batches import available_threads

BLOCK_ROWS = 1 << 14
_PIECE_ROWS = 1 << 11
FLUSH_ROWS = 2**32 - 1
"""Rows that may enter 32-bit counters before they must be added to the 64-bit totals."""

_COPY_CELLS = 1 << 11
_COPIES = 4
_GROUP_CELLS = 1 << 23
_THREAD_ROWS = 1 << 17
_WORTH_COMPILING = 2 * 10**8
"""Increments that NumPy needs about as long for as numba needs to be imported and to compile."""


class Kernel(Protocol):
    """Adds rows to the totals of a layout's tables."""

    def add(
        self, columns: Sequence[np.ndarray], *, layout: Layout, totals: Sequence[np.ndarray]
    ) -> None:
        """Add all rows of ``columns``, the domain's checked codes, to ``totals``, in place."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NumpyKernel:
    """Count with ``bincount``, block by block, so that memory does not grow with the rows."""

    block_rows: int = 1 << 15

    def add(
        self, columns: Sequence[np.ndarray], *, layout: Layout, totals: Sequence[np.ndarray]
    ) -> None:
        """Add all rows to the totals."""
        rows = len(columns[0]) if columns else 0
        for start in range(0, rows, self.block_rows):
            merged = [
                _merge(columns[c.index][start : start + self.block_rows], c.lookup)
                for c in layout.columns
            ]
            for table, total in zip(layout.tables, totals, strict=True):
                cell = merged[table.members[0]].astype(np.intp)
                for member, size in zip(table.members[1:], table.shape[1:], strict=True):
                    cell *= size
                    cell += merged[member]
                total += np.bincount(cell, minlength=table.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledKernel:
    """Count with the compiled loop, a part of the rows on each thread.

    ``flush_rows`` bounds what enters 32-bit counters before they are added to the totals.
    """

    loop: Any
    threads: int = field(default_factory=available_threads)
    block_rows: int = BLOCK_ROWS
    flush_rows: int = FLUSH_ROWS

    def add(
        self, columns: Sequence[np.ndarray], *, layout: Layout, totals: Sequence[np.ndarray]
    ) -> None:
        """Add all rows to the totals."""
        rows = len(columns[0]) if columns else 0
        lock = threading.Lock()
        for chosen in _groups(layout.tables):
            work = _Work(kernel=self, columns=columns, layout=layout, chosen=chosen)
            parts = min(self.threads, 1 + rows // _THREAD_ROWS)
            bounds = [rows * i // parts for i in range(parts + 1)]
            if parts == 1:
                work.run(0, rows, totals=totals, lock=lock)
                continue
            with ThreadPoolExecutor(max_workers=parts) as pool:
                jobs = [
                    pool.submit(work.run, first, end, totals=totals, lock=lock)
                    for first, end in pairwise(bounds)
                ]
                for job in jobs:
                    job.result()


def choose_kernel(*, increments: int, cache: Path | None = None) -> Kernel:
    """Return the compiled kernel when numba is there and the work outweighs compiling.

    ``cache`` is a directory that only the gateway may write, where compiled code is kept.
    """
    if increments < _WORTH_COMPILING or find_spec("numba") is None:
        return NumpyKernel()
    return compiled_kernel(cache=cache)


def compiled_kernel(*, cache: Path | None = None, threads: int | None = None) -> CompiledKernel:
    """Return the compiled kernel; numba must be installed."""
    # numba takes a third of a second to import, and is an extra: only those who need it pay.
    from silosynth.client.counting.compiled import load_kernel

    return CompiledKernel(loop=load_kernel(cache), threads=threads or available_threads())


class _Work:
    """One group of tables, laid out for the compiled loop."""

    def __init__(
        self,
        *,
        kernel: CompiledKernel,
        columns: Sequence[np.ndarray],
        layout: Layout,
        chosen: Sequence[int],
    ) -> None:
        self._kernel = kernel
        self._chosen = chosen
        self._tables = [layout.tables[i] for i in chosen]
        used = sorted({member for table in self._tables for member in table.members})
        entries = [layout.columns[i] for i in used]
        # Held here, so that the addresses below stay valid.
        self._held = [np.ascontiguousarray(columns[entry.index]) for entry in entries]
        self._addresses = np.array([c.ctypes.data for c in self._held], dtype=np.int64)
        self._widths = np.array([c.itemsize for c in self._held], dtype=np.int64)
        self._highest = np.array([entry.codes - 1 for entry in entries], dtype=np.int64)
        lookups = [np.zeros(0, np.uint16) if e.lookup is None else e.lookup for e in entries]
        starts = np.cumsum([0, *map(len, lookups)])[:-1]
        grouped = [entry.lookup is not None for entry in entries]
        self._lookup_starts = np.where(grouped, starts, -1).astype(np.int64)
        self._lookups = np.concatenate([*lookups, np.zeros(1, np.uint16)])
        self._lay_out({column: i for i, column in enumerate(used)})

    def _lay_out(self, position: dict[int, int]) -> None:
        """Work out strides and places of the tables' counters."""
        width = max(4, *(len(table.members) for table in self._tables))
        self._arity = np.array([len(t.members) for t in self._tables], dtype=np.int64)
        self._members = np.zeros((len(self._tables), width), dtype=np.int64)
        self._strides = np.zeros((len(self._tables), width), dtype=np.int64)
        for i, table in enumerate(self._tables):
            strides = [*accumulate(table.shape[:0:-1], mul, initial=1)][::-1]
            self._members[i, : len(table.members)] = [position[m] for m in table.members]
            self._strides[i, : len(table.members)] = strides
        cells = np.array([table.cells for table in self._tables], dtype=np.int64)
        copied = cells <= _COPY_CELLS
        self._copies = np.where(copied, cells, 0)
        self._starts = np.cumsum([0, *(cells * np.where(copied, _COPIES, 1))])

    def run(
        self, first: int, end: int, *, totals: Sequence[np.ndarray], lock: threading.Lock
    ) -> None:
        """Count rows ``first`` to ``end``; flush the counters before any could overflow."""
        counters = np.zeros(int(self._starts[-1]), dtype=np.uint32)
        block = np.zeros((len(self._held), self._kernel.block_rows), dtype=np.uint16)
        index = np.zeros(_PIECE_ROWS // 2, dtype=np.uint64)
        for start in range(first, end, self._kernel.flush_rows):
            self._kernel.loop(
                self._addresses,
                self._widths,
                self._highest,
                self._lookup_starts,
                self._lookups,
                start,
                min(end, start + self._kernel.flush_rows),
                self._arity,
                self._members,
                self._strides,
                self._starts,
                self._copies,
                counters,
                block,
                index,
            )
            with lock:
                self._flush(counters, totals)

    def _flush(self, counters: np.ndarray, totals: Sequence[np.ndarray]) -> None:
        """Add the counters to the totals and clear them."""
        bounds = pairwise(self._starts)
        for number, table, (begin, end) in zip(self._chosen, self._tables, bounds, strict=True):
            copies = counters[begin:end].reshape(-1, table.cells)
            totals[number] += copies.sum(axis=0, dtype=np.int64)
        counters[:] = 0


def _groups(tables: Sequence[JointTable]) -> Iterator[list[int]]:
    """Yield the numbers of tables whose counters are held at once."""
    group: list[int] = []
    cells = 0
    for number, table in enumerate(tables):
        if group and cells + table.cells > _GROUP_CELLS:
            yield group
            group, cells = [], 0
        group.append(number)
        cells += table.cells
    if group:
        yield group


def _merge(codes: np.ndarray, lookup: np.ndarray | None) -> np.ndarray:
    return codes if lookup is None else lookup[codes]
