"""Marginals of a model that is given by the consistent clique tables of a junction tree."""

from __future__ import annotations

from collections.abc import Sequence

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
