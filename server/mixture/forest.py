"""A forest over attributes, whose edges say which codes go together: what a component is.

Within a component a mixture of products draws every attribute by itself, so two attributes of which
one says the other would need as many components as there are values, and those of each other such
pair times as many. Here an attribute may hang on another one: it has the component's shares of
those of its codes that the edge allows beside the other's code, brought up to one. What an edge
forbids is the same in every component, so nobody is ever drawn there.

With ``codes`` the components' shares a, and m what an edge allows, P(c | p) = a(c) m(p, c) / n(p)
and n(p) = sum over c of a(c) m(p, c). All sums over an edge are products of matrices.

Source: mixtures of trees, Meila and Jordan 2000; edges that forbid alike in all are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

_LEAST = 1e-12
_AT_ONCE = 2**22
"""Numbers of a table of many components that are looked at together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """On which attribute each hangs, and which of its codes may stand beside each of that one's.

    ``parents`` is -1 for a root; ``allowed[v]`` is (codes of the parent, codes of v) float32 of 0
    and 1, with a 1 in every row and column, for every v that hangs on another.
    """

    sizes: tuple[int, ...]
    parents: tuple[int, ...]
    allowed: Mapping[int, np.ndarray]
    order: tuple[int, ...] = field(init=False)
    slices: tuple[slice, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ends = [0, *np.cumsum(self.sizes).tolist()]
        object.__setattr__(self, "slices", tuple(slice(a, b) for a, b in pairwise(ends)))
        roots = [v for v, parent in enumerate(self.parents) if parent < 0]
        order = []
        while roots:
            order.append(roots.pop(0))
            roots.extend(self.children(order[-1]))
        object.__setattr__(self, "order", tuple(order))

    @classmethod
    def without_edges(cls, sizes: Sequence[int]) -> Forest:
        """Return the forest in which every attribute stands alone: a mixture of products."""
        return cls(sizes=tuple(sizes), parents=(-1,) * len(sizes), allowed={})

    def children(self, attribute: int) -> list[int]:
        """Return the attributes that hang on one."""
        return [v for v, parent in enumerate(self.parents) if parent == attribute]

    def below(self, attribute: int) -> list[int]:
        """Return an attribute and all that hang on it, over others too."""
        return [attribute, *(v for child in self.children(attribute) for v in self.below(child))]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Return (parent, child) of every edge, those nearer to a root first."""
        return [(self.parents[v], v) for v in self.order if self.parents[v] >= 0]

    def down(self, codes: np.ndarray) -> Columns:
        """Return what each component makes of every attribute, from the roots down.

        Args: codes: (components, codes) each component's shares, positive.
        """
        shares, ratios, norms = codes.copy(), {}, {}
        for parent, v in self.edges:
            own, allowed = codes[:, self.slices[v]], self.allowed[v]
            norms[v] = np.maximum(own @ allowed.T, _LEAST)
            ratios[v] = shares[:, self.slices[parent]] / norms[v]
            shares[:, self.slices[v]] = own * (ratios[v] @ allowed)
        return Columns(shares=shares, ratios=ratios, norms=norms)

    def conditional(self, v: int, codes: np.ndarray) -> np.ndarray:
        """Return (components, codes of the parent, codes of v) the shares of v given its parent."""
        joint = codes[:, None, self.slices[v]] * self.allowed[v]
        found: np.ndarray = joint / np.maximum(joint.sum(axis=2, keepdims=True), _LEAST)
        return found

    def back(
        self,
        codes: np.ndarray,
        columns: Columns,
        *,
        by_shares: np.ndarray,
        by_ratios: Mapping[int, np.ndarray],
        by_codes: np.ndarray,
    ) -> np.ndarray:
        """Return the gradient by ``codes``, given those by what :meth:`down` made of them.

        Args: by_shares: changed in place. by_codes: what edges themselves depend on; changed too.
        """
        for parent, v in reversed(self.edges):
            here, allowed, ratios = self.slices[v], self.allowed[v], columns.ratios[v]
            own = codes[:, here]
            by_ratio = by_ratios[v] + (by_shares[:, here] * own) @ allowed.T
            by_shares[:, self.slices[parent]] += by_ratio / columns.norms[v]
            by_norm = -by_ratio * ratios / columns.norms[v]
            by_codes[:, here] += by_shares[:, here] * (ratios @ allowed) + by_norm @ allowed
        for root in (self.slices[v] for v, parent in enumerate(self.parents) if parent < 0):
            by_codes[:, root] += by_shares[:, root]
        return by_codes

    def pair_tables(self, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return (codes, codes) the share of every pair of codes of two attributes.

        An attribute's own block means nothing.

        Args: weights: (components,). codes: as for :meth:`down`.
        """
        shares = self.down(codes).shares
        tables: np.ndarray = (shares * weights[:, None]).T @ shares
        for root in (v for v, parent in enumerate(self.parents) if parent < 0 and self.children(v)):
            self._tree_tables(root, tables, weights=weights, codes=codes, shares=shares)
        return tables

    def _tree_tables(
        self,
        root: int,
        tables: np.ndarray,
        *,
        weights: np.ndarray,
        codes: np.ndarray,
        shares: np.ndarray,
    ) -> None:
        """Put what the attributes of one tree make of one another into ``tables``, exactly.

        Two attributes are independent given the component and the last one that is above both, so
        the pairs below an attribute come of what is below it given its code; those that are below
        a child of it too are written again when the child is reached.
        """
        nodes = self.below(root)
        places = {v: np.r_[tuple(self.slices[u] for u in self.below(v))] for v in nodes}
        found = {v: np.zeros((len(places[v]), len(places[v]))) for v in nodes}
        most = max(self.sizes[v] for v in nodes) * len(places[root])
        step = max(_AT_ONCE // most, 1)
        for start in range(0, len(weights), step):
            some = slice(start, start + step)
            for v, given in self._below_given(nodes, codes[some]):
                mass = weights[some, None] * shares[some, self.slices[v]]
                flat = given.reshape(-1, len(places[v]))
                found[v] += (flat * mass.reshape(-1, 1)).T @ flat
        for v in nodes:
            tables[np.ix_(places[v], places[v])] = found[v]

    def _below_given(
        self, nodes: Sequence[int], codes: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield of each node of a tree, leaves first, the shares of all codes below it by its own.

        They are (components, codes of the node, codes below it), its own codes first.
        """
        given: dict[int, np.ndarray] = {}
        for v in reversed(nodes):
            size = self.sizes[v]
            own = np.broadcast_to(np.eye(size, dtype=codes.dtype), (len(codes), size, size))
            parts = [self.conditional(c, codes) @ given.pop(c) for c in self.children(v)]
            given[v] = np.concatenate([own, *parts], axis=2)
            yield v, given[v]

    def marginal(
        self, places: Sequence[int], *, weights: np.ndarray, codes: np.ndarray
    ) -> np.ndarray:
        """Return the share of each cell over some attributes, an axis each, in their order."""
        asked = set(places)
        total: np.ndarray | None = None
        sizes = [self.sizes[v] for v in places]
        step = max(_AT_ONCE // max(int(np.prod(sizes)) * max(self.sizes), 1), 1)
        shares = self.down(codes).shares
        for start in range(0, len(weights), step):
            some = slice(start, start + step)
            joint, kept = np.ones((len(codes[some]), 1)), []
            for v in (v for v in self.order if self.parents[v] < 0):
                below = self._given(v, codes[some], asked=asked)
                if below is None:
                    continue
                table = np.einsum("kv,kvc->kc", shares[some, self.slices[v]], below[0])
                joint = (joint[:, :, None] * table[:, None, :]).reshape(len(joint), -1)
                kept += below[1]
            cells = weights[some] @ joint
            total = cells if total is None else total + cells
        assert total is not None  # a mixture has a component
        whole = total.reshape([self.sizes[v] for v in kept])
        found: np.ndarray = whole.transpose([kept.index(v) for v in places])
        return found

    def _given(
        self, v: int, codes: np.ndarray, *, asked: set[int]
    ) -> tuple[np.ndarray, list[int]] | None:
        """Return (components, codes of v, cells) the shares of what is asked at v and below it.

        And which attributes the cells are over; nothing where none is asked.
        """
        joint, kept = np.ones((len(codes), self.sizes[v], 1)), []
        for child in self.children(v):
            below = self._given(child, codes, asked=asked)
            if below is not None:
                table = self.conditional(child, codes) @ below[0]
                joint = (joint[..., None] * table[:, :, None, :]).reshape(*joint.shape[:2], -1)
                kept += below[1]
        if v in asked:
            own = np.eye(self.sizes[v])[None, :, :, None] * joint[:, :, None, :]
            return own.reshape(*joint.shape[:2], -1), [v, *kept]
        return (joint, kept) if kept else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """What components make of every attribute: (components, codes) ``shares``.

    Of each attribute that hangs on another (components, codes of the parent): ``norms``, what its
    own shares add up to beside each code of the parent, and ``ratios``, the parent's over those.
    """

    shares: np.ndarray
    ratios: Mapping[int, np.ndarray]
    norms: Mapping[int, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trees:
    """A mixture of forests: (components,) ``weights`` that add up to one, and their shares.

    ``codes`` is (components, codes) float64, of each attribute adding up to one, and ``forest``
    says what edges make of them.
    """

    weights: np.ndarray
    codes: np.ndarray
    forest: Forest

    @property
    def shares(self) -> np.ndarray:
        """Return (codes,) the share of every code, side by side."""
        whole: np.ndarray = self.weights @ self.forest.down(self.codes).shares
        return whole

    def pair_tables(self) -> np.ndarray:
        """Return (codes, codes) the share of every pair of codes of two attributes."""
        return self.forest.pair_tables(self.weights, self.codes)

    def covariance(self) -> np.ndarray:
        """Return (codes, codes) the covariance of codes of two attributes."""
        shares = self.shares
        return self.pair_tables() - np.outer(shares, shares)
