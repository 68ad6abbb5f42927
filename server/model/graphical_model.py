"""The fitted graphical model: consistent clique marginals on a junction tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument
from silosynth.server.model.junction_tree import JunctionTree
from silosynth.server.model.marginals import MAX_CELLS, marginal_table, pair_tables


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphicalModel:
    """A distribution over ``domain`` that factorises on ``tree``.

    ``tables[i]`` is the expected counts over ``tree.cliques[i]``, one axis per attribute, float64
    and read-only. ``loss`` is half the weighted squared error on what was fitted.

    Guarantees: every table is at least 0 and sums to ``total``; tables agree on separators.
    """

    tree: JunctionTree
    total: float
    tables: tuple[np.ndarray, ...]
    loss: float
    iterations: int

    def __post_init__(self) -> None:
        shapes = tuple(self.tree.domain.sizes(c) for c in self.tree.cliques)
        if tuple(t.shape for t in self.tables) != shapes:
            raise InvalidArgument("the tables of a model must have the shapes of its cliques")
        for table in self.tables:
            table.setflags(write=False)

    @property
    def domain(self) -> Domain:
        """Return the domain of the model."""
        return self.tree.domain

    def marginal(self, clique: Clique, *, max_cells: int = MAX_CELLS) -> np.ndarray:
        """Return (cells,) float64, the expected counts over any clique, row-major as it is named.

        Errors: ModelTooLarge before a table of more than ``max_cells`` cells is made.
        """
        table = marginal_table(clique, tree=self.tree, tables=self.tables, max_cells=max_cells)
        return np.ravel(table)

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs, far faster than one by one."""
        asked = tuple(pairs)
        for clique in asked:
            if len(clique) != 2:
                raise InvalidArgument(f"{clique} is not a pair", hint="use marginal() for it")
        found = dict(pair_tables(asked, tree=self.tree, tables=self.tables))
        answer = {}
        for pair in asked:
            first, second = self.domain.ordered(pair)
            table = found[first, second]
            answer[pair] = np.ravel(table if pair == (first, second) else table.T)
        return answer
