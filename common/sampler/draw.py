"""Rows as codes, drawn along the junction tree with counts rounded, not one by one.

A batch of rows is drawn attribute by attribute. The rows are shuffled and gathered into groups
that agree on what the attribute depends on; each group is then cut at its rounded expected
counts. One sort of 64-bit keys does both: group, then random bits, then the row's own number.
Only integers and raw Philox words take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.domain import Domain, Grouping
from silosynth.common.sampler.conditional import SHARE_BITS, Conditional
from silosynth.common.seeded import SeededWords

BATCH_ROWS = 1_000_000
"""Rows that are rounded and shuffled together. A draw depends on it."""

_LARGEST_FOLD = 2**20
_WORD_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Draw one column.

    ``keys`` lists the columns that the draw depends on, each with (codes,) uint64: what each of
    its codes adds to the number of the row's group. ``ends`` are the (groups, cells) cumulative
    shares, and ``codes`` (cells,) what each cell is written as.
    """

    column: int
    keys: tuple[tuple[int, np.ndarray], ...]
    ends: np.ndarray
    codes: np.ndarray


def compile_steps(
    conditionals: Sequence[Conditional],
    *,
    domain: Domain,
    grouping: Grouping,
    within: Mapping[str, np.ndarray],
) -> tuple[Step, ...]:
    """Return the steps that draw fine codes of ``domain``.

    Codes inside a group are drawn in one step with the group while the table of both stays below
    2^20 cells, else in a step of their own.
    """
    steps: list[Step] = []
    for conditional in conditionals:
        column = domain.index(conditional.attribute)
        dtype = code_dtype(domain.shape[column])
        keys = _keys(conditional, domain=domain, grouping=grouping)
        ends, cells = conditional.ends, np.arange(conditional.ends.shape[1])
        if conditional.attribute in grouping.groups:
            groups = grouping.lookup(conditional.attribute, domain.shape[column])
            inside, order = within[conditional.attribute], np.argsort(groups, kind="stable")
            if len(ends) * len(order) > _LARGEST_FOLD:
                steps.append(Step(column=column, keys=keys, ends=ends, codes=cells.astype(dtype)))
                identity = np.arange(len(cells), dtype=np.uint64)
                keys = ((column, identity),)
                ends = _alone(len(cells))
            ends, cells = _fold(ends, groups=groups[order], inside=inside), order
        steps.append(Step(column=column, keys=keys, ends=ends, codes=cells.astype(dtype)))
    return tuple(steps)


def draw_batch(
    steps: Sequence[Step], *, rows: int, seed: int, batch: int = 0
) -> tuple[np.ndarray, ...]:
    """Draw the codes of ``rows`` rows, one column per step target, a function of the arguments.

    Guarantees: the count of every cell, in every group of rows that agree on what the attribute
    depends on, is the expected count rounded up or down, with the expected count as its mean.

    Returns: (rows,) uint8 or uint16 per column.
    """
    words = SeededWords(seed=seed, purpose="rows", index=batch)
    numbers = np.arange(rows, dtype=np.uint64)
    columns: dict[int, np.ndarray] = {}
    for step in steps:
        columns[step.column] = _draw_column(step, columns=columns, numbers=numbers, words=words)
    return tuple(columns[i] for i in range(len(columns)))


def apportion(ends: np.ndarray, *, sizes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Cut each group at its cumulative shares, rounded with one random offset per group.

    Guarantees: row g sums to ``sizes[g]``; each count is the expected one rounded up or down, and
    equals it on average over offsets (systematic sampling, Madow 1949).

    Args:
        ends: (groups, cells) uint32 cumulative shares of 2^31.
        sizes, offsets: (groups,) int64, offsets in [0, 2^31).
    Returns: (groups, cells) int64.
    """
    cuts = ends.astype(np.int64)
    cuts *= sizes[:, None]
    cuts += offsets[:, None]
    cuts >>= SHARE_BITS
    counts = cuts.copy()
    counts[:, 1:] -= cuts[:, :-1]
    return counts


def _draw_column(
    step: Step, *, columns: Mapping[int, np.ndarray], numbers: np.ndarray, words: SeededWords
) -> np.ndarray:
    groups = len(step.ends)
    order, sizes = _shuffle(step.keys, groups=groups, columns=columns, numbers=numbers, words=words)
    offsets = (words.raw(groups) >> np.uint64(_WORD_BITS - SHARE_BITS)).astype(np.int64)
    ends = step.ends
    if len(numbers) < groups:  # most groups hold no row
        held = np.flatnonzero(sizes)
        ends, sizes, offsets = ends[held], sizes[held], offsets[held]
    counts = apportion(ends, sizes=sizes, offsets=offsets)
    codes = np.broadcast_to(step.codes, counts.shape).ravel()
    column = np.empty(len(numbers), dtype=step.codes.dtype)
    column[order] = np.repeat(codes, counts.ravel())
    return column


def _shuffle(
    keys: tuple[tuple[int, np.ndarray], ...],
    *,
    groups: int,
    columns: Mapping[int, np.ndarray],
    numbers: np.ndarray,
    words: SeededWords,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows,) the rows in random order, group by group, and (groups,) the group sizes."""
    rows = len(numbers)
    index_bits = max(rows - 1, 0).bit_length()
    group_shift = np.uint64(_WORD_BITS - max((groups - 1).bit_length(), 1))
    index_mask = np.uint64((1 << index_bits) - 1)
    sorting = words.raw(rows)
    sorting &= ((np.uint64(1) << group_shift) - np.uint64(1)) ^ index_mask
    sorting |= numbers
    for column, table in keys:
        sorting += (table << group_shift).take(columns[column])
    sorting.sort()
    starts = np.searchsorted(sorting, np.arange(groups, dtype=np.uint64) << group_shift)
    sizes = np.diff(starts, append=rows).astype(np.int64)
    sorting &= index_mask
    return sorting.view(np.int64), sizes


def _keys(
    conditional: Conditional, *, domain: Domain, grouping: Grouping
) -> tuple[tuple[int, np.ndarray], ...]:
    """Return, per attribute that is given, what each fine code adds to the group number."""
    keys: list[tuple[int, np.ndarray]] = []
    stride = 1
    for attribute in reversed(conditional.given):
        column = domain.index(attribute)
        groups = grouping.lookup(attribute, domain.shape[column])
        keys.append((column, (groups * stride).astype(np.uint64)))
        stride *= int(groups.max()) + 1
    return tuple(keys)


def _fold(ends: np.ndarray, *, groups: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Split each group's share by the shares inside it; ``groups`` rises."""
    starts = np.zeros(ends.shape, dtype=np.int64)
    starts[:, 1:] = ends[:, :-1]
    widths = ends - starts
    folded = (widths[:, groups] * inside.astype(np.int64)) >> SHARE_BITS
    folded += starts[:, groups]
    return folded.astype(np.uint32)


def _alone(count: int) -> np.ndarray:
    """Return shares that give group i to cell i alone."""
    return np.where(np.tri(count, dtype=bool).T, 1 << SHARE_BITS, 0).astype(np.uint32)
