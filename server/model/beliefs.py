"""A calibrated junction tree in linear space, and the pass that keeps it calibrated.

Probabilities are kept, not potentials: a step multiplies some tables by positive factors, then one
collect and one distribute pass of sums and ratios makes all tables marginals of one distribution
again (Lauritzen and Spiegelhalter 1988; Hugin propagation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.schema import ImpossibleCells
from silosynth.server.model.engine import NUMPY, Engine
from silosynth.server.model.junction_tree import JunctionTree
from silosynth.server.model.tables import axes_outside, broadcast_shape

# Far below every rounding error of a sum near one, far above the slow denormal numbers.
FLOOR = 1e-150


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """How the table of clique ``child`` meets that of its ``parent`` in their separator."""

    child: int
    parent: int
    child_axes: tuple[int, ...]
    parent_axes: tuple[int, ...]
    child_shape: tuple[int, ...]
    parent_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the tables of a tree stand in one flat array: cliques first, then separators.

    ``scopes[i]`` is clique ``i``; the separators of the edges follow in the order of ``edges``.
    ``zeros`` are weights of 0 and 1 that every distribution on the tree is multiplied by.
    ``engine`` computes; all arrays of a distribution on this layout are its own.
    """

    tree: JunctionTree
    edges: tuple[Edge, ...]
    scopes: tuple[Clique, ...]
    shapes: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    zeros: tuple[Weight, ...] = ()
    engine: Engine = NUMPY

    @property
    def cliques(self) -> int:
        """Return the number of cliques."""
        return len(self.tree.cliques)

    @property
    def roots(self) -> tuple[int, ...]:
        """Return the cliques without parent."""
        return tuple(i for i, p in enumerate(self.tree.parents) if p is None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beliefs:
    """Probability tables of every clique and separator: views into ``flat``, (cells,) float64."""

    flat: np.ndarray
    tables: tuple[np.ndarray, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weight:
    """Multiply the table of scope ``scope`` by ``values``, in a shape that broadcasts to it."""

    scope: int
    values: np.ndarray


def lay_out(tree: JunctionTree, *, zeros: Sequence[ImpossibleCells] = ()) -> Layout:
    """Return the flat layout of a tree's tables; a clique holds each of ``zeros``."""
    edges = tuple(
        _edge(tree, child=i, parent=p) for i, p in enumerate(tree.parents) if p is not None
    )
    scopes = tree.cliques + tuple(tree.separators[e.child] for e in edges)
    shapes = tuple(tree.domain.sizes(s) for s in scopes)
    starts = [0]
    for shape in shapes:
        starts.append(starts[-1] + math.prod(shape))
    return Layout(
        tree=tree,
        edges=edges,
        scopes=scopes,
        shapes=shapes,
        starts=tuple(starts),
        zeros=tuple(w for z in zeros for w in _zero_weights(z, tree=tree)),
    )


def _zero_weights(zeros: ImpossibleCells, *, tree: JunctionTree) -> Iterator[Weight]:
    """Yield a weight for each clique that holds the cells."""
    clique = tree.domain.ordered(zeros.clique)
    allowed = (~zeros.mask).astype(np.float64)
    table = allowed.transpose([zeros.clique.index(a) for a in clique])
    for scope in tree.holders(clique):
        shape = broadcast_shape(tree.domain, source=clique, target=tree.cliques[scope])
        yield Weight(scope=scope, values=table.reshape(shape))


def _edge(tree: JunctionTree, *, child: int, parent: int) -> Edge:
    """Return the axes and shapes in which messages between two cliques travel."""
    separator = tree.separators[child]
    own, other = tree.cliques[child], tree.cliques[parent]
    return Edge(
        child=child,
        parent=parent,
        child_axes=axes_outside(own, kept=separator),
        parent_axes=axes_outside(other, kept=separator),
        child_shape=broadcast_shape(tree.domain, source=separator, target=own),
        parent_shape=broadcast_shape(tree.domain, source=separator, target=other),
    )


def view(layout: Layout, flat: np.ndarray) -> Beliefs:
    """Return ``flat`` with one table per scope."""
    spans = zip(layout.starts, layout.starts[1:], layout.shapes, strict=False)
    return Beliefs(flat=flat, tables=tuple(flat[a:b].reshape(shape) for a, b, shape in spans))


def uniform(layout: Layout) -> Beliefs:
    """Return the tables of the uniform distribution."""
    return view(
        layout,
        np.concatenate([np.full(math.prod(s), 1.0 / math.prod(s)) for s in layout.shapes]),
    )


def reweight(old: Beliefs, weights: Sequence[Weight], *, layout: Layout, out: Beliefs) -> float:
    """Multiply the distribution by ``weights`` and write its calibrated tables to ``out``.

    Guarantees: the tables sum to one and agree on separators; no cell is below 1e-150, so none is
    slow to compute with or lost for good.

    Returns: the logarithm of the factor that the weights scaled the total mass by; NaN when they
        were out of the range of float64, and then ``out`` is not to be used.
    """
    cliques = layout.cliques
    cells = layout.starts[cliques]
    out.flat[:cells] = old.flat[:cells]
    on_separators: dict[int, list[np.ndarray]] = {}
    for weight in (*weights, *layout.zeros):
        if weight.scope < cliques:
            out.tables[weight.scope].__imul__(weight.values)
        else:
            on_separators.setdefault(weight.scope, []).append(weight.values)
    _collect(old, on_separators, layout=layout, out=out)
    log_mass = 0.0
    for root in layout.roots:
        mass = float(out.tables[root].sum())
        if not 0.0 < mass < math.inf:
            return math.nan
        out.tables[root].__imul__(1.0 / mass)
        log_mass += math.log(mass)
    _distribute(layout=layout, out=out)
    layout.engine.lift(out.flat, least=FLOOR)
    return log_mass if math.isfinite(float(out.flat.sum())) else math.nan


def _collect(
    old: Beliefs, on_separators: Mapping[int, list[np.ndarray]], *, layout: Layout, out: Beliefs
) -> None:
    """Carry to each parent by what factor the sums of its children have changed."""
    first = layout.cliques
    for k in range(len(layout.edges) - 1, -1, -1):
        edge, scope = layout.edges[k], first + k
        layout.engine.sum_into(out.tables[edge.child], axes=edge.child_axes, out=out.tables[scope])
        ratio = out.tables[scope] / old.tables[scope]
        for values in on_separators.get(scope, ()):
            ratio *= values
        out.tables[edge.parent].__imul__(ratio.reshape(edge.parent_shape))


def _distribute(*, layout: Layout, out: Beliefs) -> None:
    """Scale each child to the sums of its parent, and keep those in the separator.

    Where a zero empties a cell of the separator both are 0, and so it stays.
    """
    for edge, separator in zip(layout.edges, out.tables[layout.cliques :], strict=True):
        sums = layout.engine.empty(math.prod(separator.shape)).reshape(separator.shape)
        layout.engine.sum_into(out.tables[edge.parent], axes=edge.parent_axes, out=sums)
        ratio = layout.engine.ratio(sums, over=separator)
        out.tables[edge.child].__imul__(ratio.reshape(edge.child_shape))
        separator[...] = sums


def move(layout: Layout, engine: Engine) -> Layout:
    """Return the layout with its zeros where ``engine`` computes."""
    zeros = tuple(replace(w, values=engine.send(w.values)) for w in layout.zeros)
    return replace(layout, zeros=zeros, engine=engine)
