"""Work in numbered batches, some of them at once, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 4


def available_threads() -> int:
    """Return the number of processors this process may use, at most 4."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    return min(os.cpu_count() or 1, _MOST_THREADS)


def split_rows(rows: int, *, batch_rows: int) -> Iterator[int]:
    """Yield the rows of each batch: full ones, then the rest; one empty batch for no rows."""
    for start in range(0, max(rows, 1), batch_rows):
        yield min(batch_rows, rows - start)


def map_batches(
    work: Callable[[int, int], Result], sizes: Iterator[int], *, threads: int
) -> Generator[Result, None, None]:
    """Yield ``work(index, size)`` of each batch in order; see :func:`map_ahead`."""
    yield from map_ahead(lambda batch: work(*batch), enumerate(sizes), threads=threads)


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` of each item in order, at most ``threads`` under way at once.

    Items are taken one at a time by the caller's thread. With one thread, or one item, no thread is
    started. When the caller stops early, what is under way is ended and nothing more is begun.
    """
    if threads > 1:
        rest = iter(items)
        first = list(islice(rest, 2))
        items, threads = chain(first, rest), threads if len(first) > 1 else 1
    if threads <= 1:
        for item in items:
            yield work(item)
        return
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) == threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
