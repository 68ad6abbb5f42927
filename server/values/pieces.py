"""From noised trees to pieces: runs of points with a mass, spread evenly over each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.values import FANOUT, Leaves
from silosynth.server.values.tree import Tree, share_out, stand_out

_HIDING_DEVIATIONS = 5.0
"""A cell among a hundred thousand stands out by so much once in thirty trees without cause."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """(pieces,) each: rising runs of points [start, stop) and the rows in them, above zero."""

    start: np.ndarray
    stop: np.ndarray
    mass: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """Return (pieces,) int64, the points of each."""
        width: np.ndarray = self.stop - self.start
        return width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Walk:
    """A tree, where each level's nodes begin, and which nodes hide something that stands out."""

    tree: Tree
    leaves: Leaves
    starts: Sequence[np.ndarray]
    hiding: Sequence[np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """Nodes of one level whose mass is settled: which, and how much."""

    nodes: np.ndarray
    mass: np.ndarray


def find_pieces(tree: Tree, *, leaves: Leaves, total: float) -> Pieces:
    """Share ``total`` out from the root of a tree down; a node that shows nothing is one piece.

    A node whose children look alike is still opened where a cell far below stands out.
    """
    walk = _begin(tree, leaves)
    found: list[Pieces] = []
    nodes = _Level(nodes=np.zeros(1, dtype=np.int64), mass=np.array([max(total, 0.0)]))
    for level in range(len(tree.levels) - 1, 0, -1):
        kept = nodes.mass > 0
        nodes = _Level(nodes=nodes.nodes[kept], mass=nodes.mass[kept])
        nodes = _descend(walk, nodes, level=level, found=found)
    return join_pieces([*found, _cells(nodes, leaves=leaves, starts=walk.starts[0])])


def _begin(tree: Tree, leaves: Leaves) -> _Walk:
    """Find out what hides below every node of a tree, from the cells up."""
    walk = _Walk(tree=tree, leaves=leaves, starts=node_starts(tree, leaves), hiding=())
    hiding = [np.zeros(len(tree.levels[0]), dtype=bool)]
    for level, fanout in enumerate(tree.fanout[1:]):
        below = np.zeros(len(tree.levels[level + 1]) * fanout, dtype=bool)
        below[: len(hiding[-1])] = hiding[-1]
        above = np.logical_or.reduce(below.reshape(-1, fanout), axis=1)
        if level == 0:
            nodes = _tall(tree)
            columns = _unfolded(walk, level=0, nodes=nodes)
            apart = stand_out(**columns, deviations=_HIDING_DEVIATIONS)
            above[nodes] |= np.logical_or.reduce(apart, axis=1)
        hiding.append(np.asarray(above))
    return replace(walk, hiding=hiding)


def _tall(tree: Tree) -> np.ndarray:
    """Return the nodes with a cell so high that it could stand out; no other has to be looked at.

    A middle density is never below zero.
    """
    counts, variance = tree.levels[0], tree.variance[0]
    cells = np.flatnonzero(counts > _HIDING_DEVIATIONS * np.sqrt(variance))
    found: np.ndarray = np.unique(cells // tree.fanout[1])
    return found


def _descend(walk: _Walk, nodes: _Level, *, level: int, found: list[Pieces]) -> _Level:
    """Share nodes' mass out among their children; nodes that show nothing become pieces."""
    shared = share_out(nodes.mass, **_columns(walk, level=level - 1, nodes=nodes.nodes))
    many, starts = walk.tree.fanout[level], walk.starts[level]
    # Sums above what was counted are even by chance: it takes all of them to say so.
    closing = shared.even & ~walk.hiding[level][nodes.nodes] & (many == FANOUT)
    closed = nodes.nodes[closing]
    found.append(keep_pieces(starts[closed], starts[closed + 1], nodes.mass[closing]))
    children = (nodes.nodes[~closing][:, None] * many + np.arange(many)).ravel()
    return _Level(nodes=children, mass=shared.mass[~closing].ravel())


def _columns(walk: _Walk, *, level: int, nodes: np.ndarray) -> dict[str, np.ndarray]:
    """Return counts, variance and width of the children of ``nodes``, which stand in ``level``.

    Args: nodes: of the level above.
    """
    columns = _unfolded(walk, level=level, nodes=nodes)
    return _fold_firsts(columns) if level == 0 and walk.leaves.join > 1 else columns


def _unfolded(walk: _Walk, *, level: int, nodes: np.ndarray) -> dict[str, np.ndarray]:
    """Return :func:`_columns` with the first point of a leaf counted by itself."""
    tree, starts = walk.tree, walk.starts[level]
    size, many = len(tree.levels[level]), tree.fanout[level + 1]
    index = nodes[:, None] * many + np.arange(many)
    there = index < size
    index = np.minimum(index, size - 1)
    return {
        "counts": np.where(there, tree.levels[level][index], 0.0),
        "variance": np.where(there, tree.variance[level][index], 1.0),
        "width": np.where(there, starts[index + 1] - starts[index], 0),
    }


def _fold_firsts(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Count the first point of a leaf with the rest of it, unless it stands out.

    One point is expected to hold next to nothing, so what little is counted there is noise.
    """
    counts, variance, width = (columns[n].copy() for n in ("counts", "variance", "width"))
    first, rest = slice(0, None, 2), slice(1, None, 2)
    shared = share_out(
        np.maximum(counts.sum(axis=1), 0.0), counts=counts, variance=variance, width=width
    )
    folded = ~shared.heavy[:, first] & (width[:, first] > 0) & (width[:, rest] > 0)
    for values in (counts, variance, width):
        values[:, rest] += np.where(folded, values[:, first], 0)
    counts[:, first] = np.where(folded, 0.0, counts[:, first])
    width[:, first] = np.where(folded, 0, width[:, first])
    return {"counts": counts, "variance": variance, "width": width}


def _cells(level: _Level, *, leaves: Leaves, starts: np.ndarray) -> Pieces:
    """Return cells as pieces; the rest of a leaf takes its first point in, where that is light."""
    mass = np.zeros(leaves.cells)
    known = level.nodes < leaves.cells
    mass[level.nodes[known]] = level.mass[known]
    begin, end = starts[:-1].copy(), starts[1:]
    if leaves.join > 1:
        taken = (mass[0::2] == 0) & (mass[1::2] > 0)
        begin[1::2] = np.where(taken, begin[0::2], begin[1::2])
    return keep_pieces(begin, end, mass)


def node_starts(tree: Tree, leaves: Leaves) -> list[np.ndarray]:
    """Return (nodes + 1,) for each level: the points at which its nodes begin."""
    starts = [leaves.starts()]
    for level, fanout in zip(tree.levels[1:], tree.fanout[1:], strict=True):
        ends = np.minimum(np.arange(len(level) + 1) * fanout, len(starts[-1]) - 1)
        starts.append(starts[-1][ends])
    return starts


def keep_pieces(start: np.ndarray, stop: np.ndarray, mass: np.ndarray) -> Pieces:
    """Return the pieces that hold something."""
    there = (mass > 0) & (stop > start)
    return Pieces(start[there], stop[there], mass[there])


def join_pieces(parts: Sequence[Pieces]) -> Pieces:
    """Return all pieces in rising order; neighbours of one density become one."""
    start = np.concatenate([p.start for p in parts])
    stop = np.concatenate([p.stop for p in parts])
    mass = np.concatenate([p.mass for p in parts])
    order = np.argsort(start, kind="stable")
    start, stop, mass = start[order], stop[order], mass[order]
    if not len(start):
        return Pieces(start, stop, mass)
    density = mass / (stop - start)
    same = (start[1:] == stop[:-1]) & np.isclose(density[1:], density[:-1], rtol=1e-9, atol=0.0)
    first = np.flatnonzero(np.append(True, ~same))
    return Pieces(
        start=start[first],
        stop=np.append(stop[first[1:] - 1], stop[-1]),
        mass=np.add.reduceat(mass, first),
    )
