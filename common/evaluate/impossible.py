"""Combinations that synthetic rows have and no real row has, though chance alone would give some.

They are read off real rows: private until a person says that nature forbids them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from silosynth.common.report import Axis, Better, Impossible, Measure
from silosynth.common.schema import Schema, as_numeric, write_zeros
from silosynth.common.scores import Column, Sides, ValueKind, Values, contiguous_edges

EXPECTED_FROM = 20
_GROUPS = 8
_MOST_PAIRS = 20
_MOST_LABELS = 512
_HEADER = (
    "# unreviewed: read off real rows, so private until a person who knows the field says\n"
    "# that these cannot occur. Delete every cell that merely did not.\n"
)

Entry = str | bool | int | list[float] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A column in contiguous cells; ``entries`` are their spelling in a schema, if any."""

    name: str
    edges: np.ndarray
    entries: tuple[Entry, ...]

    def cells(self, column: Column) -> np.ndarray:
        """Return (rows,) int64; missing values have cell 0."""
        if column.listed:
            return column.codes
        found = np.searchsorted(self.edges[1:-1], column.numbers, side="right") + 1
        return np.where(column.missing, 0, found).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found: the measure, the worst pairs, and the cells to paste into a schema."""

    measure: Measure
    pairs: tuple[Impossible, ...]
    structural_zeros: str


def impossible(sides: Sides, *, known: tuple[Values, ...], schema: Schema | None) -> Found:
    """Return the share of synthetic rows in pairs of values that none of ``known`` rows has.

    A pair counts when independent columns would put at least twenty of the real rows there. The
    ceiling is the share of ceiling rows in pairs that the compared real rows lack.
    """
    grids = {c.name: _grid(c, schema=schema) for c in sides.real.columns}
    usable = [i for i, c in enumerate(sides.real.columns) if len(grids[c.name].entries)]
    everyone = [_cells(v, grids, usable) for v in known]
    tables = [_cells(v, grids, usable) for v in (sides.real, *sides.others())]
    hit = [np.zeros(len(t[0]) if t else 0, dtype=bool) for t in tables]
    pairs = []
    for a, b in combinations(range(len(usable)), 2):
        names = [sides.real.columns[usable[i]].name for i in (a, b)]
        shape = [len(grids[n].entries) for n in names]
        all_real = sum(_count(t, a, b, shape) for t in everyone)
        own = _count(tables[0], a, b, shape)
        likely = np.outer(own.sum(axis=1), own.sum(axis=0)) / own.sum() >= EXPECTED_FROM
        never, unseen = likely & (all_real == 0), likely & (own == 0)
        for i, lacking in ((1, never), (2, unseen), (3, never)):
            hit[i] |= lacking[tables[i][a], tables[i][b]]
        there = never & (_count(tables[1], a, b, shape) > 0)
        if there.any():
            share = float(there[tables[1][a], tables[1][b]].mean())
            pairs.append((share, names, there))
    pairs.sort(key=lambda p: (-p[0], p[1]))
    shares = [float(h.mean()) if len(h) else 0.0 for h in hit]
    return Found(
        measure=Measure(
            axis=Axis.FIDELITY,
            name="rows in impossible combinations",
            value=shares[1],
            ceiling=shares[2],
            floor=shares[3],
            better=Better.LOW,
        ),
        pairs=tuple(
            Impossible(columns=(n[0], n[1]), cells=int(m.sum()), share=s)
            for s, n, m in pairs[:_MOST_PAIRS]
        ),
        structural_zeros=_spell([(n, m) for _, n, m in pairs[:_MOST_PAIRS]], grids),
    )


def _grid(column: Column, *, schema: Schema | None) -> Grid:
    """Cut a column into cells whose ends a schema can name; long lists are left out."""
    none = np.zeros(0)
    if column.listed:
        labels = column.labels if len(column.labels) <= _MOST_LABELS else ()
        entries = (None, *map(_entry, labels)) if labels else ()
        return Grid(name=column.name, edges=none, entries=entries)
    if column.missing.all() or column.kind is ValueKind.INSTANT:
        return Grid(name=column.name, edges=none, entries=())
    declared = {a.name: a for a in schema.coded} if schema else {}
    attribute = declared.get(column.name)
    allowed = None
    if attribute is not None and column.kind is ValueKind.NUMBER:
        numeric = as_numeric(attribute)
        allowed = None if numeric is None else np.asarray(numeric.edges(), dtype=np.float64)
    edges = contiguous_edges(column, count=_GROUPS, allowed=allowed)
    ranges = [[float(a), float(b)] for a, b in pairwise(edges.tolist())]
    return Grid(name=column.name, edges=edges, entries=(None, *ranges))


def _entry(label: str) -> Entry:
    """Spell a label as a schema's cell does."""
    return label == "true" if label in ("true", "false") else label


def _cells(values: Values, grids: dict[str, Grid], usable: list[int]) -> list[np.ndarray]:
    """Return the cell of each row, by usable column."""
    return [grids[values.columns[i].name].cells(values.columns[i]) for i in usable]


def _count(table: list[np.ndarray], a: int, b: int, shape: list[int]) -> np.ndarray:
    """Return the (left, right) counts of a pair of columns."""
    cells = table[a] * shape[1] + table[b]
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def _spell(pairs: list[tuple[list[str], np.ndarray]], grids: dict[str, Grid]) -> str:
    """Write cells as ``structural_zeros`` of a schema, marked as not reviewed."""
    words = {name: dict(enumerate(grid.entries)) for name, grid in grids.items()}
    found = ((tuple(names), mask, [words[n] for n in names]) for names, mask in pairs)
    return write_zeros(found, note=_HEADER)
