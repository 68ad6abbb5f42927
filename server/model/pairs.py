"""All 2-way marginals of a model, one traversal of the tree for each attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique
from silosynth.server.model.junction_tree import JunctionTree
from silosynth.server.model.marginals import MAX_CELLS, check_cells
from silosynth.server.model.tables import condition, contract, sum_onto


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Walk:
    """A tree with its tables, as a graph to walk in both directions.

    ``neighbours[i]`` are (node, separator); ``conditionals`` keeps what was computed once:
    P(attributes of a node | separator through which it was entered).
    """

    tree: JunctionTree
    tables: Sequence[np.ndarray]
    neighbours: tuple[tuple[tuple[int, Clique], ...], ...]
    conditionals: dict[tuple[int, Clique, Clique], np.ndarray] = field(default_factory=dict)

    def conditional(self, node: int, *, given: Clique, of: Clique) -> tuple[Clique, np.ndarray]:
        """Return P(of | given) inside ``node``, axes in column order."""
        scope = tuple(a for a in self.tree.cliques[node] if a in given or a in of)
        key = (node, given, scope)
        if key not in self.conditionals:
            joint = sum_onto(self.tables[node], clique=self.tree.cliques[node], kept=scope)
            self.conditionals[key] = condition(joint, clique=scope, given=given)
        return scope, self.conditionals[key]


def pair_tables(
    pairs: Iterable[Clique], *, tree: JunctionTree, tables: Sequence[np.ndarray]
) -> Iterator[tuple[Clique, np.ndarray]]:
    """Yield each pair with its table, axes in column order, the pairs in an order of their own.

    From every attribute a message, its joint with a separator, walks outward over the tree and
    meets all the other attributes on its way.

    Args: tables: the table of each node; they agree on separators and sum to one total.
    """
    wanted: dict[str, set[str]] = {}
    for pair in pairs:
        check_cells(pair, domain=tree.domain, max_cells=MAX_CELLS)
        first, second = tree.domain.ordered(pair)
        wanted.setdefault(first, set()).add(second)
    walk = _Walk(tree=tree, tables=tables, neighbours=_neighbours(tree))
    for first in sorted(wanted, key=tree.domain.index):
        for second, table in _from_attribute(first, wanted[first], walk=walk):
            yield (first, second), table


def _neighbours(tree: JunctionTree) -> tuple[tuple[tuple[int, Clique], ...], ...]:
    """Return the nodes next to each node, with the separator between."""
    neighbours: list[list[tuple[int, Clique]]] = [[] for _ in tree.cliques]
    for node, parent in enumerate(tree.parents):
        if parent is not None:
            neighbours[node].append((parent, tree.separators[node]))
            neighbours[parent].append((node, tree.separators[node]))
    return tuple(tuple(n) for n in neighbours)


def _from_attribute(
    source: str, targets: set[str], *, walk: _Walk
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the joint of ``source`` with each of ``targets``, axes (source, target)."""
    tree, missing = walk.tree, set(targets)
    holders = tree.holders((source,))
    for node in holders:
        for target in sorted(missing.intersection(tree.cliques[node])):
            missing.discard(target)
            joint = sum_onto(walk.tables[node], clique=tree.cliques[node], kept=(source, target))
            yield target, joint
    seen = set(holders)
    stack = [(n, s, _start(source, node, s, walk=walk)) for node, n, s in _leaving(seen, walk)]
    while stack and missing:
        node, separator, message = stack.pop()
        seen.add(node)
        scope = (source, *separator)
        for target in sorted(missing.intersection(tree.cliques[node])):
            missing.discard(target)
            inner = walk.conditional(node, given=separator, of=(target,))
            yield target, contract((scope, message), inner, kept=(source, target))
        for neighbour, onward in walk.neighbours[node]:
            if neighbour not in seen:
                inner = walk.conditional(node, given=separator, of=onward)
                joint = contract((scope, message), inner, kept=(source, *onward))
                stack.append((neighbour, onward, joint))
    yield from _independent(source, missing, walk=walk)


def _leaving(seen: set[int], walk: _Walk) -> list[tuple[int, int, Clique]]:
    """Return the edges (inside, outside, separator) that leave a set of nodes."""
    return [(i, n, s) for i in sorted(seen) for n, s in walk.neighbours[i] if n not in seen]


def _start(source: str, node: int, separator: Clique, *, walk: _Walk) -> np.ndarray:
    """Return the joint of ``source`` and a separator of a node that holds both."""
    return sum_onto(walk.tables[node], clique=walk.tree.cliques[node], kept=(source, *separator))


def _independent(
    source: str, targets: set[str], *, walk: _Walk
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the joints with attributes of other parts of the graph: products of 1-ways."""
    if not targets:
        return
    single = {a: _single(a, walk=walk) for a in (source, *sorted(targets))}
    for target in sorted(targets):
        yield target, np.multiply.outer(single[source] / single[source].sum(), single[target])


def _single(attribute: str, *, walk: _Walk) -> np.ndarray:
    """Return the 1-way table of ``attribute``."""
    node = min(walk.tree.holders((attribute,)), key=lambda i: walk.tables[i].size)
    return sum_onto(walk.tables[node], clique=walk.tree.cliques[node], kept=(attribute,))
