"""Junction trees: the cliques of a triangulated graph, in the order in which rows are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument

BYTES_PER_CELL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JunctionTree:
    """Cliques with the running-intersection property, each after its parent.

    Clique ``i`` meets all the cliques before it in ``separators[i]``, which is a part of clique
    ``parents[i]``. A root has parent None and the empty separator; every connected part of the
    graph has one root. Attributes stand in column order within cliques and separators.
    """

    domain: Domain
    cliques: tuple[Clique, ...]
    parents: tuple[int | None, ...]
    separators: tuple[Clique, ...]

    def __post_init__(self) -> None:
        if not len(self.cliques) == len(self.parents) == len(self.separators):
            raise InvalidArgument("a junction tree needs one parent and separator for each clique")
        seen: set[str] = set()
        for i, clique in enumerate(self.cliques):
            parent, separator = self.parents[i], self.separators[i]
            if any(self.domain.ordered(c) != c for c in (clique, separator)):
                raise InvalidArgument(f"clique {clique} or its separator is not in column order")
            if set(separator) != seen.intersection(clique):
                raise InvalidArgument(f"the separator of {clique} is not what it shares")
            if (parent is None) != (not separator):
                raise InvalidArgument(f"clique {clique} needs a parent when it has a separator")
            if parent is not None and not (
                0 <= parent < i and set(separator) <= set(self.cliques[parent])
            ):
                raise InvalidArgument(f"the parent of {clique} does not hold its separator")
            seen.update(clique)
        if seen != set(self.domain.attributes):
            raise InvalidArgument("a junction tree must cover every attribute of its domain")

    @property
    def cells(self) -> int:
        """Return the cells of all cliques, as a Python integer."""
        return sum(self.domain.size(c) for c in self.cliques)

    @property
    def bytes(self) -> int:
        """Return the memory of one float64 table per clique, as a Python integer."""
        return self.cells * BYTES_PER_CELL

    @property
    def largest(self) -> Clique:
        """Return the clique with the most cells."""
        return max(self.cliques, key=self.domain.size)

    def holders(self, attributes: Iterable[str]) -> tuple[int, ...]:
        """Return the cliques that contain all ``attributes``."""
        wanted = set(attributes)
        return tuple(i for i, c in enumerate(self.cliques) if wanted <= set(c))


def build_junction_tree(cliques: Iterable[Clique], *, domain: Domain) -> JunctionTree:
    """Triangulate the graph in which each of ``cliques`` is complete.

    Greedy elimination by least weighted fill and by least weight; the order with fewer cells wins
    (Koller and Friedman 2009, section 9.4.3.2). Attributes in no clique stand alone.

    Guarantees: every given clique is inside a clique of the tree; the result depends on the set
    of cliques alone, not on their order or the order within them.
    """
    graph = _graph(cliques, domain=domain)
    orders = [_eliminate(graph, domain=domain, by_fill=by_fill) for by_fill in (True, False)]
    best = min((_maximal(order) for order in orders), key=lambda o: _weight(o, domain=domain))
    return _connect(best, domain=domain)


def reorder(tree: JunctionTree, *, domain: Domain) -> JunctionTree:
    """Return the same tree with the attributes in the column order of ``domain``."""
    return JunctionTree(
        domain=domain,
        cliques=tuple(domain.ordered(c) for c in tree.cliques),
        parents=tree.parents,
        separators=tuple(domain.ordered(s) for s in tree.separators),
    )


def _graph(cliques: Iterable[Clique], *, domain: Domain) -> list[int]:
    """Return the neighbours of each attribute as a bit mask."""
    graph = [0] * len(domain.attributes)
    for clique in cliques:
        domain.sizes(clique)
        columns = [domain.index(a) for a in clique]
        mask = sum(1 << c for c in columns)
        for c in columns:
            graph[c] |= mask & ~(1 << c)
    return graph


def _eliminate(graph: list[int], *, domain: Domain, by_fill: bool) -> list[int]:
    """Return the cliques, as masks, that eliminating one attribute after the other makes.

    Scores are recomputed only where an elimination changed the neighbourhood. Fill is in the cells
    of the edges that an elimination adds, each counted twice.
    """
    graph, masks, shape = list(graph), [], domain.shape
    sums: dict[int, int] = {0: 0}

    def weigh(mask: int) -> int:
        """Return the sum of the sizes of some attributes; few masks come up again and again."""
        if mask not in sums:
            sums[mask] = sum(shape[c] for c in _bits(mask))
        return sums[mask]

    def score(column: int) -> tuple[int, ...]:
        neighbours = graph[column]
        weight, fill = shape[column], 0
        for c in _bits(neighbours):
            weight *= shape[c]
            fill += shape[c] * weigh(neighbours & ~(graph[c] | 1 << c))
        return (fill, weight, column) if by_fill else (weight, fill, column)

    scores = {c: score(c) for c in range(len(graph))}
    while scores:
        column = min(scores, key=scores.__getitem__)
        neighbours = graph[column]
        masks.append(neighbours | 1 << column)
        del scores[column]
        touched = neighbours
        for c in _bits(neighbours):
            graph[c] = (graph[c] | neighbours) & ~(1 << c | 1 << column)
            touched |= graph[c]
        for c in _bits(touched):
            scores[c] = score(c)
    return masks


@lru_cache(maxsize=1 << 14)
def _bits(mask: int) -> tuple[int, ...]:
    """Return the positions of the ones in ``mask``, rising; the same are asked again and again."""
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return tuple(positions)


def _maximal(masks: list[int]) -> list[int]:
    """Drop cliques inside others: an elimination clique can only be inside an earlier one."""
    kept: list[int] = []
    for mask in masks:
        if not any(mask & ~other == 0 for other in kept):
            kept.append(mask)
    return kept


def _weight(masks: list[int], *, domain: Domain) -> int:
    """Return the cells of all cliques."""
    return sum(math.prod(domain.shape[c] for c in _bits(mask)) for mask in masks)


def _connect(masks: list[int], *, domain: Domain) -> JunctionTree:
    """Join cliques by a spanning forest of largest separators (Prim 1957), roots by column."""
    waiting = sorted(masks, key=_bits)
    link: dict[int, tuple[int, int | None]] = dict.fromkeys(waiting, (0, None))
    cliques: list[Clique] = []
    parents: list[int | None] = []
    separators: list[Clique] = []
    while waiting:
        mask = max(waiting, key=lambda m: link[m][0].bit_count())
        waiting.remove(mask)
        separator, parent = link[mask]
        for other in waiting:
            if (mask & other).bit_count() > link[other][0].bit_count():
                link[other] = (mask & other, len(cliques))
        cliques.append(tuple(domain.attributes[c] for c in _bits(mask)))
        parents.append(parent)
        separators.append(tuple(domain.attributes[c] for c in _bits(separator)))
    return JunctionTree(
        domain=domain,
        cliques=tuple(cliques),
        parents=tuple(parents),
        separators=tuple(separators),
    )
