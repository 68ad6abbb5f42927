"""Marginals of a model that is given by the consistent clique tables of a junction tree.

All 2-way marginals together take one traversal of the tree for each attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import ModelTooLarge
from silosynth.server.model.junction_tree import JunctionTree
from silosynth.server.model.tables import condition, contract, sum_onto

MAX_CELLS = 2**24
_Factor = tuple[Clique, np.ndarray]
_ONE: _Factor = ((), np.ones(()))


def marginal_table(
    clique: Clique,
    *,
    tree: JunctionTree,
    tables: Sequence[np.ndarray],
    max_cells: int = MAX_CELLS,
) -> np.ndarray:
    """Return the table over ``clique``, with its axes in the order given.

    A clique inside one node is summed from it. Another is found by variable elimination, from the
    leaves of the smallest part of the tree that spans it (Koller and Friedman 2009, section 10.3).

    Args:   tables: the table of each node; they agree on separators and sum to one total.
    Errors: ModelTooLarge before a table of more than ``max_cells`` cells is made.
    """
    check_cells(clique, domain=tree.domain, max_cells=max_cells)
    holders = tree.holders(clique)
    if holders:
        node = min(holders, key=lambda i: tables[i].size)
        return sum_onto(tables[node], clique=tree.cliques[node], kept=clique)
    messages: dict[int | None, list[_Factor]] = {}
    for node, parent in reversed(_spanning_part(clique, tree=tree)):
        scope, separator = tree.cliques[node], () if parent is None else tree.separators[node]
        factor = (scope, condition(tables[node], clique=scope, given=separator))
        message = _eliminate(
            factor,
            messages.pop(node, []),
            kept={*separator, *clique},
            domain=tree.domain,
            max_cells=max_cells,
        )
        messages.setdefault(parent, []).append(message)
    answer = _eliminate(
        _ONE, messages[None], kept=set(clique), domain=tree.domain, max_cells=max_cells
    )
    shares = sum_onto(answer[1], clique=answer[0], kept=clique)
    return shares * float(tables[0].sum())


def check_cells(clique: Clique, *, domain: Domain, max_cells: int) -> None:
    """Raise ModelTooLarge when a table over ``clique`` would have more than ``max_cells`` cells."""
    cells = domain.size(clique)
    if cells > max_cells:
        raise ModelTooLarge(
            f"a table over {clique} has {cells} cells, more than {max_cells}",
            hint="ask for fewer attributes or merge their codes",
        )


def _spanning_part(clique: Clique, *, tree: JunctionTree) -> list[tuple[int, int | None]]:
    """Return the nodes that a query needs with their parents, in draw order.

    A leaf goes when all it has of the query is in its separator; a root with one child goes when
    the child has all that the root has of the query.
    """
    wanted = set(clique)
    children: dict[int, list[int]] = {i: [] for i in range(len(tree.cliques))}
    for node in range(len(tree.cliques) - 1, -1, -1):
        parent = tree.parents[node]
        own = wanted.intersection(tree.cliques[node]) - set(tree.separators[node])
        if not own and not children[node]:
            del children[node]
        elif parent is not None:
            children[parent].append(node)
    for node in sorted(children):
        parent = tree.parents[node]
        below = children[node]
        if parent not in children and len(below) == 1:
            own = wanted.intersection(tree.cliques[node])
            if own <= set(tree.separators[below[0]]):
                del children[node]
    parents = [(i, tree.parents[i]) for i in sorted(children)]
    return [(i, p if p in children else None) for i, p in parents]


def _eliminate(
    factor: _Factor,
    messages: Sequence[_Factor],
    *,
    kept: set[str],
    domain: Domain,
    max_cells: int,
) -> _Factor:
    """Multiply a factor with its messages and sum onto ``kept``, each attribute out in its turn."""
    for i, message in enumerate(messages):
        later = {a for scope, _ in messages[i + 1 :] for a in scope}
        union = dict.fromkeys((*factor[0], *message[0]))
        scope = tuple(a for a in union if a in kept or a in later)
        check_cells(scope, domain=domain, max_cells=max_cells)
        factor = (scope, contract(factor, message, kept=scope))
    scope = tuple(a for a in factor[0] if a in kept)
    return scope, sum_onto(factor[1], clique=factor[0], kept=scope)


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
