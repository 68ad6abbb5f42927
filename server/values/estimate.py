"""From what a run counted of numbers' values to its model's codes, and what is drawn in them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.measurement import Measurement
from silosynth.common.plan import ENDINGS, MOST_CLOSER_CELLS, PlannedTree, level_number
from silosynth.common.schema import Schema
from silosynth.common.values import WHOLE, Spread, declared_edges, keeps_bins, refine
from silosynth.server.values.codes import choose_edges, cut_at
from silosynth.server.values.heaps import find_heaps, look_closer, look_into
from silosynth.server.values.hours import find_law
from silosynth.server.values.pieces import Pieces, find_pieces
from silosynth.server.values.tails import Noise, noise_of, thin_tails
from silosynth.server.values.tree import Tree, reconcile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """The noised histograms of one number, by level, and the variance of each count."""

    tree: PlannedTree
    counts: Mapping[str, np.ndarray]
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """What is known of numbers' values.

    ``schema`` has as many codes as the plan's, beginning at ``edges``; ``spreads`` says how values
    lie inside them.
    """

    schema: Schema
    edges: Mapping[str, tuple[int, ...]]
    spreads: Mapping[str, Spread]


def gather(
    trees: Mapping[str, PlannedTree], measured: Sequence[tuple[str, Measurement]]
) -> dict[str, Counted]:
    """Return the histograms of each number.

    Args: measured: each with its level.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    variance: dict[str, float] = {}
    for level, measurement in measured:
        name = measurement.clique[0]
        found.setdefault(name, {})[level] = measurement.values
        variance[name] = float(measurement.variance[0])
    return {
        name: Counted(tree=trees[name], counts=counts, variance=variance[name])
        for name, counts in found.items()
    }


def choose_leaves(counted: Mapping[str, Counted], schema: Schema) -> dict[str, tuple[int, ...]]:
    """Return the leaves that a second look is worth, per number that has any."""
    joined = {name: c for name, c in counted.items() if c.tree.digits()}
    pieces = _pieces(joined, schema)
    room = MOST_CLOSER_CELLS // max(len(joined), 1)
    chosen = {
        name: look_into(pieces[name][0], leaves=c.tree.leaves, variance=c.variance, most_cells=room)
        for name, c in joined.items()
    }
    return {name: leaves for name, leaves in chosen.items() if leaves}


def estimate_values(
    counted: Mapping[str, Counted],
    *,
    schema: Schema,
    leaves: Mapping[str, tuple[int, ...]],
    closer: Mapping[str, Counted],
    partly: frozenset[str] = frozenset(),
) -> Values:
    """Return the codes and spreads of all numbers that were looked at.

    Post-processing of releases: it costs no privacy.

    Args:
        leaves: those that ``closer`` has the digits of.
        partly: numbers that not every silo holds.
    """
    kept, attributes = keeps_bins(schema), {a.name: a for a in schema.numbers}
    edges: dict[str, tuple[int, ...]] = {}
    spreads: dict[str, Spread] = {}
    for name, (pieces, noise) in _pieces(counted, schema, partly=partly).items():
        attribute, grid = attributes[name], counted[name].tree.grid
        finer = _finer(pieces, leaves.get(name, ()), closer.get(name))
        heaps = _heaps(counted[name], finer)
        thinned = thin_tails(finer, noise=noise)
        day, thinned = find_law(
            thinned,
            shown=counted[name].tree.shown,
            counts=counted[name].counts,
            variance=counted[name].variance,
        )
        if name in kept:
            bounds = declared_edges(attribute, grid) or ()
        else:
            bounds = choose_edges(
                thinned,
                codes=attribute.values,
                points=grid.points,
                declared=declared_edges(attribute, grid) or (),
            )
            edges[name] = bounds
        spread = _spread(counted[name].tree, thinned, edges=bounds, heaps=heaps)
        spreads[name] = replace(spread, day=day)
    return Values(schema=refine(schema, edges=edges), edges=edges, spreads=spreads)


def _pieces(
    counted: Mapping[str, Counted], schema: Schema, *, partly: frozenset[str] = frozenset()
) -> dict[str, tuple[Pieces, Noise]]:
    """Return the pieces of each number, before any closer look, and what noise they hold."""
    trees = {name: _reconciled(c) for name, c in counted.items()}
    missing = {a.name for a in schema.numbers if a.size > a.values} | partly
    rows, spread = _rows(trees, missing=missing)
    found = {}
    for name, tree in trees.items():
        own, leaves = tree.total, counted[name].tree.leaves
        total = min(own, rows) if name in missing else rows
        known = tree.variance[-1][0] if name in missing else spread
        pieces = find_pieces(tree, leaves=leaves, total=total)
        found[name] = pieces, noise_of(tree, leaves=leaves, rows=total, total=float(known))
    return found


def _rows(trees: Mapping[str, Tree], *, missing: Collection[str]) -> tuple[float, float]:
    """Return the number of rows by all numbers that every row has, and its variance.

    Infinite without any.
    """
    totals = [(t.total, float(t.variance[-1][0])) for n, t in trees.items() if n not in missing]
    weight = sum(1.0 / variance for _, variance in totals)
    if not totals:
        return math.inf, math.inf
    return sum(total / variance for total, variance in totals) / weight, 1.0 / weight


def _reconciled(counted: Counted) -> Tree:
    """Return the tree of one number, its levels in agreement."""
    levels = {level_number(level): c for level, c in counted.counts.items()}
    ordered = [levels[number] for number in range(len(counted.tree.leaves.levels))]
    return reconcile(ordered, variance=counted.variance)


def _finer(pieces: Pieces, leaves: tuple[int, ...], closer: Counted | None) -> Pieces:
    """Return the pieces after a second look into some leaves, if there was one."""
    if closer is None or not leaves:
        return pieces
    digits = [closer.counts[level] for level in closer.tree.digits()]
    look = closer.tree.closer(leaves, level=closer.tree.digits()[0])
    return look_closer(pieces, digits, closer=look, variance=closer.variance)


def _heaps(counted: Counted, pieces: Pieces) -> tuple[int, ...]:
    """Return the chances of round numbers; none where they are not counted."""
    endings = counted.tree.endings
    if endings is None or ENDINGS not in counted.counts:
        return ()
    counts = counted.counts[ENDINGS]
    return find_heaps(pieces, counts, endings=endings, variance=counted.variance)


def _spread(
    tree: PlannedTree, pieces: Pieces, *, edges: tuple[int, ...], heaps: tuple[int, ...]
) -> Spread:
    """Return pieces as a sampler has them; floats become integers here, once."""
    cut = cut_at(pieces, edges=edges)
    total = float(cut.mass.sum()) or 1.0
    mass = np.rint(cut.mass / total * WHOLE).astype(np.int64)
    held = mass > 0
    return Spread(
        grid=tree.grid,
        edges=edges,
        start=cut.start[held],
        stop=cut.stop[held],
        mass=mass[held],
        moduli=tree.endings.moduli if heaps and tree.endings else (),
        heaps=heaps,
    )
