"""Junction trees: the defining properties, on any set of cliques."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.server.model import build_junction_tree
from silosynth.server.model.junction_tree import JunctionTree

NAMES = tuple("abcdefgh")


@st.composite
def domains_with_cliques(draw: st.DrawFn) -> tuple[Domain, list[Clique]]:
    """Return a domain of up to 8 attributes and some cliques over it."""
    count = draw(st.integers(1, len(NAMES)))
    shape = draw(st.tuples(*[st.integers(1, 9)] * count))
    domain = Domain(attributes=NAMES[:count], shape=shape)
    clique = st.lists(st.sampled_from(NAMES[:count]), unique=True, min_size=1, max_size=3)
    return domain, [tuple(c) for c in draw(st.lists(clique, max_size=9))]


def path(tree: JunctionTree, i: int) -> list[int]:
    """Return a clique and its ancestors up to the root."""
    nodes = [i]
    while (parent := tree.parents[nodes[-1]]) is not None:
        nodes.append(parent)
    return nodes


@settings(max_examples=200, deadline=None)
@given(domains_with_cliques())
def test_what_two_cliques_share_is_in_every_clique_between_them(
    case: tuple[Domain, list[Clique]],
) -> None:
    domain, cliques = case
    tree = build_junction_tree(cliques, domain=domain)
    for i, j in combinations(range(len(tree.cliques)), 2):
        shared = set(tree.cliques[i]) & set(tree.cliques[j])
        up, down = path(tree, i), path(tree, j)
        common = next((n for n in up if n in down), None)
        if common is None:
            assert not shared
        else:
            for node in (*up[: up.index(common) + 1], *down[: down.index(common)]):
                assert shared <= set(tree.cliques[node])


@settings(max_examples=200, deadline=None)
@given(domains_with_cliques())
def test_every_given_clique_is_held_and_no_clique_is_inside_another(
    case: tuple[Domain, list[Clique]],
) -> None:
    domain, cliques = case
    tree = build_junction_tree(cliques, domain=domain)
    assert all(tree.holders(c) for c in cliques)
    assert all(tree.holders((a,)) for a in domain.attributes)
    assert not any(set(a) <= set(b) for i, a in enumerate(tree.cliques) for b in tree.cliques[:i])
    assert not any(set(b) <= set(a) for i, a in enumerate(tree.cliques) for b in tree.cliques[:i])


@settings(max_examples=100, deadline=None)
@given(domains_with_cliques(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_cliques_change_nothing(
    case: tuple[Domain, list[Clique]], random: object
) -> None:
    domain, cliques = case
    shuffled = [tuple(reversed(c)) for c in cliques] + cliques[:2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as object
    assert build_junction_tree(shuffled, domain=domain) == build_junction_tree(
        cliques, domain=domain
    )


def test_unconnected_parts_have_a_root_each_and_empty_separators() -> None:
    domain = Domain(attributes=tuple("abcde"), shape=(2, 2, 2, 2, 2))
    tree = build_junction_tree([("a", "c"), ("b", "d")], domain=domain)
    assert tree.cliques == (("a", "c"), ("b", "d"), ("e",))
    assert tree.parents == (None, None, None)
    assert tree.separators == ((), (), ())


def test_a_cycle_is_cut_through_its_smallest_attribute() -> None:
    domain = Domain(attributes=tuple("abcd"), shape=(2, 9, 9, 9))
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")]
    tree = build_junction_tree(edges, domain=domain)
    assert set(tree.cliques) == {("a", "b", "c"), ("a", "c", "d")}


def cells_of_order(edges: list[Clique], order: tuple[str, ...], domain: Domain) -> int:
    """Return the cells of the maximal cliques that an elimination order makes."""
    near = {a: {b for e in edges if a in e for b in e} - {a} for a in order}
    cliques: list[set[str]] = []
    for a in order:
        if not any(near[a] | {a} <= c for c in cliques):
            cliques.append(near[a] | {a})
        for b in near[a]:
            near[b] = (near[b] | near[a]) - {a, b}
    return sum(domain.size(tuple(c)) for c in cliques)


@pytest.mark.parametrize(
    ("shape", "edges", "lost_by"),
    [
        ((2, 9, 3, 3, 3, 9), ["ac", "ad", "ae", "bc", "be", "cf", "df"], "weight"),
        ((2, 9, 9, 5, 3, 9), ["ab", "af", "bc", "bd", "ce", "cf", "df"], "fill"),
    ],
)
def test_the_better_of_two_greedy_orders_is_taken(
    shape: tuple[int, ...], edges: list[str], lost_by: str
) -> None:
    domain = Domain(attributes=tuple("abcdef"), shape=shape)
    cliques = [tuple(e) for e in edges]
    least = min(cells_of_order(cliques, order, domain) for order in permutations("abcdef"))
    assert build_junction_tree(cliques, domain=domain).cells == least, lost_by


def test_a_graph_that_is_a_tree_gets_no_wider_clique() -> None:
    names = tuple(f"a{i:02d}" for i in range(40))
    domain = Domain(attributes=names, shape=(3,) * 40)
    edges = [(names[(i - 1) // 2], names[i]) for i in range(1, 40)]
    assert set(build_junction_tree(edges, domain=domain).cliques) == set(edges)


def test_cells_are_counted_beyond_machine_integers() -> None:
    names = tuple(f"a{i}" for i in range(64))
    tree = build_junction_tree([names], domain=Domain(attributes=names, shape=(1000,) * 64))
    assert tree.cells == 1000**64
    assert tree.bytes == 8 * 1000**64
    assert tree.largest == names


@pytest.mark.parametrize("clique", [("a", "a"), ("a", "z")])
def test_repeated_and_unknown_attributes_are_refused(clique: Clique) -> None:
    with pytest.raises(InvalidPlan):
        build_junction_tree([clique], domain=Domain(attributes=("a", "b"), shape=(2, 2)))


AB = Domain(attributes=("a", "b", "c"), shape=(2, 2, 2))


@pytest.mark.parametrize(
    ("cliques", "parents", "separators"),
    [
        ((("a", "b"), ("b", "c")), (None,), ((), ("b",))),
        ((("b", "a"), ("b", "c")), (None, 0), ((), ("b",))),
        ((("a", "b"), ("b", "c")), (None, 0), ((), ("c",))),
        ((("a", "b"), ("b", "c")), (None, None), ((), ("b",))),
        ((("a", "b"), ("b", "c")), (None, 1), ((), ("b",))),
        ((("a",), ("b",), ("b", "c")), (None, None, 0), ((), (), ("b",))),
        ((("a", "b"),), (None,), ((),)),
    ],
)
def test_what_is_no_junction_tree_cannot_be_built(
    cliques: tuple[Clique, ...], parents: tuple[int | None, ...], separators: tuple[Clique, ...]
) -> None:
    with pytest.raises(InvalidArgument):
        JunctionTree(domain=AB, cliques=cliques, parents=parents, separators=separators)
