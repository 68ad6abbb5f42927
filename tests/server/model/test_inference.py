"""Inference against brute force on the joint table."""

from __future__ import annotations

import math
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument, InvalidPlan, ModelTooLarge
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.beliefs import (
    FLOOR,
    Beliefs,
    Layout,
    Weight,
    lay_out,
    reweight,
    uniform,
    view,
)
from silosynth.server.model.junction_tree import JunctionTree
from silosynth.server.model.marginals import marginal_table, pair_tables
from silosynth.server.model.tables import broadcast_shape, condition, contract, sum_onto

NAMES = tuple("abcdef")


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Return the layout of a random tree: chains, cycles, unconnected parts, single attributes."""
    count = draw(st.integers(1, len(NAMES)))
    domain = Domain(attributes=NAMES[:count], shape=draw(st.tuples(*[st.integers(1, 3)] * count)))
    clique = st.lists(st.sampled_from(NAMES[:count]), unique=True, min_size=1, max_size=3)
    cliques = draw(st.lists(clique.map(tuple), max_size=6))
    return lay_out(build_junction_tree(cliques, domain=domain))


def random_weights(layout: Layout, rng: np.random.Generator) -> list[Weight]:
    """Return a positive weight for every scope, and one along its first axis alone."""
    weights = []
    for scope, shape in enumerate(layout.shapes):
        weights.append(Weight(scope=scope, values=rng.gamma(0.5, size=shape) + 1e-3))
        first = (shape[:1] + (1,) * len(shape))[: len(shape)]
        weights.append(Weight(scope=scope, values=rng.gamma(0.5, size=first) + 1e-3))
    return weights


def multiply_out(layout: Layout, weights: list[Weight]) -> np.ndarray:
    """Return the joint table that ``weights`` make of the uniform distribution, not normalised."""
    domain = layout.tree.domain
    joint = np.full(domain.shape, 1.0 / math.prod(domain.shape))
    for weight in weights:
        scope = layout.scopes[weight.scope]
        values = np.broadcast_to(weight.values, domain.sizes(scope))
        joint = joint * values.reshape(
            broadcast_shape(domain, source=scope, target=domain.attributes)
        )
    return joint


def random_beliefs(layout: Layout, seed: int) -> tuple[Beliefs, np.ndarray, float]:
    """Return calibrated tables, the joint they belong to, and the reported log mass."""
    weights = random_weights(layout, np.random.default_rng(seed))
    start = uniform(layout)
    out = view(layout, np.empty_like(start.flat))
    log_mass = reweight(start, weights, layout=layout, out=out)
    return out, multiply_out(layout, weights), log_mass


@settings(max_examples=150, deadline=None)
@given(layouts(), st.integers(0, 2**32))
def test_a_pass_gives_the_marginals_of_the_joint(layout: Layout, seed: int) -> None:
    beliefs, joint, log_mass = random_beliefs(layout, seed)
    assert log_mass == pytest.approx(math.log(joint.sum()), abs=1e-9)
    joint /= joint.sum()
    for scope, table in zip(layout.scopes, beliefs.tables, strict=True):
        expected = sum_onto(joint, clique=layout.tree.domain.attributes, kept=scope)
        np.testing.assert_allclose(table, expected, rtol=1e-9, atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(layouts(), st.integers(0, 2**32))
def test_two_passes_are_one_pass_with_the_product(layout: Layout, seed: int) -> None:
    once, joint, _ = random_beliefs(layout, seed)
    again = random_weights(layout, np.random.default_rng(seed + 1))
    twice = view(layout, np.empty_like(once.flat))
    reweight(once, again, layout=layout, out=twice)
    joint = joint * multiply_out(layout, again)
    joint /= joint.sum()
    for scope, table in zip(layout.scopes, twice.tables, strict=True):
        expected = sum_onto(joint, clique=layout.tree.domain.attributes, kept=scope)
        np.testing.assert_allclose(table, expected, rtol=1e-8, atol=1e-13)


def test_weights_out_of_range_are_reported_and_tiny_ones_do_not_lose_a_cell() -> None:
    domain = Domain(attributes=("a", "b", "c"), shape=(2, 2, 2))
    layout = lay_out(build_junction_tree([("a", "b"), ("b", "c")], domain=domain))
    start = uniform(layout)
    out = view(layout, np.empty_like(start.flat))
    for scope in (0, 1):
        nothing = [Weight(scope=scope, values=np.zeros((2, 2)))]
        assert math.isnan(reweight(start, nothing, layout=layout, out=out))
    # A value of the separator that one weight rules out is ruled out on both of its sides.
    no_b = [Weight(scope=1, values=np.array([[0.0, 0.0], [1.0, 1.0]]))]
    assert reweight(start, no_b, layout=layout, out=out) == pytest.approx(math.log(0.5), rel=1e-15)
    for table, kept in zip(out.tables, ([[0, 0.5]] * 2, [[0, 0], [0.5] * 2], [0, 1]), strict=True):
        np.testing.assert_array_equal(table, np.maximum(kept, FLOOR))
    tiny = [Weight(scope=0, values=np.array([[1.0, 1e-200], [1.0, 1.0]]))]
    assert math.isfinite(reweight(start, tiny, layout=layout, out=out))
    assert out.tables[0][0, 1] == FLOOR


@settings(max_examples=150, deadline=None)
@given(layouts(), st.integers(0, 2**32), st.data())
def test_any_marginal_is_that_of_the_joint(layout: Layout, seed: int, data: st.DataObject) -> None:
    beliefs, joint, _ = random_beliefs(layout, seed)
    domain = layout.tree.domain
    query = st.lists(st.sampled_from(domain.attributes), unique=True, max_size=4).map(tuple)
    clique: Clique = data.draw(query)
    found = marginal_table(clique, tree=layout.tree, tables=beliefs.tables[: layout.cliques])
    expected = sum_onto(joint / joint.sum(), clique=domain.attributes, kept=clique)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-13)


@settings(max_examples=100, deadline=None)
@given(layouts(), st.integers(0, 2**32))
def test_all_pairs_are_those_of_the_joint(layout: Layout, seed: int) -> None:
    beliefs, joint, _ = random_beliefs(layout, seed)
    names = layout.tree.domain.attributes
    pairs = list(combinations(names, 2))
    found = dict(pair_tables(pairs, tree=layout.tree, tables=beliefs.tables[: layout.cliques]))
    assert sorted(found) == sorted(pairs)
    for pair, table in found.items():
        expected = sum_onto(joint / joint.sum(), clique=names, kept=pair)
        np.testing.assert_allclose(table, expected, rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize(
    "cliques",
    [
        [("a", "b"), ("a", "c"), ("b", "d"), ("c", "e"), ("c", "f")],
        [("a", "d"), ("d", "c"), ("c", "b"), ("b", "e")],
        [("a", "f"), ("f", "b"), ("f", "c"), ("f", "d"), ("f", "e")],
        [("a", "b", "c"), ("b", "c", "d"), ("b", "e"), ("c", "d", "f")],
        [("a", "b"), ("c", "d"), ("c", "e", "f")],
    ],
)
def test_every_pair_and_triple_of_a_branching_tree_is_that_of_the_joint(
    cliques: list[Clique],
) -> None:
    domain = Domain(attributes=tuple("abcdef"), shape=(2, 3, 2, 3, 2, 3))
    layout = lay_out(build_junction_tree(cliques, domain=domain))
    beliefs, joint, _ = random_beliefs(layout, 3)
    tables = beliefs.tables[: layout.cliques]
    queries = [*combinations("abcdef", 2), *combinations("abcdef", 3)]
    found = {q: marginal_table(q, tree=layout.tree, tables=tables) for q in queries}
    for query, table in found.items():
        expected = sum_onto(joint / joint.sum(), clique=domain.attributes, kept=query)
        np.testing.assert_allclose(table, expected, rtol=1e-8, atol=1e-13)
    for pair, table in pair_tables(queries[:15], tree=layout.tree, tables=tables):
        np.testing.assert_allclose(table, found[pair], rtol=1e-8, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(list(permutations("abc"))), st.integers(0, 8))
def test_contract_is_einsum(seed: int, order: tuple[str, ...], mask: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = dict(zip("abcd", (2, 3, 4, 5), strict=True))
    left, right = order, ("d", "b", "a")
    tables = [rng.normal(size=[sizes[a] for a in clique]) for clique in (left, right)]
    kept = tuple(a for i, a in enumerate("dcba") if mask >> i & 1)
    found = contract((left, tables[0]), (right, tables[1]), kept=kept)
    expected = np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", *tables)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_conditioning_on_an_impossible_code_gives_zeros() -> None:
    table = np.array([[0.0, 0.0], [1.0, 3.0]])
    conditional = condition(table, clique=("a", "b"), given=("a",))
    np.testing.assert_array_equal(conditional, [[0.0, 0.0], [0.25, 0.75]])


def chain(length: int, size: int) -> GraphicalModel:
    """Return a uniform model of a chain of attributes."""
    names = tuple(f"a{i:02d}" for i in range(length))
    domain = Domain(attributes=names, shape=(size,) * length)
    tree = build_junction_tree(pairwise(names), domain=domain)
    tables = tuple(np.full((size, size), 100.0 / size**2) for _ in tree.cliques)
    return GraphicalModel(tree=tree, total=100.0, tables=tables, loss=0.0, iterations=0)


def test_a_marginal_keeps_the_order_asked_for_and_sums_to_the_total() -> None:
    domain = Domain(attributes=("a", "b"), shape=(2, 3))
    tree = build_junction_tree([("a", "b")], domain=domain)
    table = np.arange(6.0).reshape(2, 3)
    model = GraphicalModel(tree=tree, total=15.0, tables=(table,), loss=0.0, iterations=0)
    np.testing.assert_allclose(model.marginal(("a", "b")), table.ravel())
    np.testing.assert_allclose(model.marginal(("b", "a")), table.T.ravel())
    np.testing.assert_allclose(model.marginal(("b",)), [3.0, 5.0, 7.0])
    np.testing.assert_allclose(model.marginal(()), [15.0])
    pairs = model.pair_marginals([("a", "b"), ("b", "a")])
    np.testing.assert_allclose(pairs["b", "a"], table.T.ravel())
    assert list(pairs) == [("a", "b"), ("b", "a")]


def test_attributes_of_unconnected_parts_are_independent() -> None:
    domain = Domain(attributes=("a", "b"), shape=(2, 2))
    tables = (np.array([3.0, 12.0]), np.array([5.0, 10.0]))
    model = GraphicalModel(
        tree=build_junction_tree([], domain=domain),
        total=15.0,
        tables=tables,
        loss=0.0,
        iterations=0,
    )
    expected = np.outer(*tables).ravel() / 15.0
    np.testing.assert_allclose(model.marginal(("a", "b")), expected)
    np.testing.assert_allclose(model.pair_marginals([("a", "b")])["a", "b"], expected)


def test_far_ends_of_a_long_chain_are_reached_without_a_large_table() -> None:
    model = chain(60, 4)
    ends = (model.domain.attributes[0], model.domain.attributes[-1])
    np.testing.assert_allclose(model.marginal(ends, max_cells=64), np.full(16, 100.0 / 16))


def test_a_marginal_above_the_limit_is_refused_before_it_is_made() -> None:
    model = chain(60, 4)
    with pytest.raises(ModelTooLarge, match="ask for fewer attributes"):
        model.marginal(model.domain.attributes)
    with pytest.raises(ModelTooLarge):
        model.marginal(model.domain.attributes[:3], max_cells=63)


def test_a_wide_detour_of_a_small_marginal_is_refused() -> None:
    names = ("x", "y", "p", "q", "r")
    domain = Domain(attributes=names, shape=(2, 2, 100, 100, 100))
    tree = build_junction_tree([("x", "p", "q"), ("p", "q", "r"), ("q", "r", "y")], domain=domain)
    tables = tuple(np.full(domain.sizes(c), 1.0 / domain.size(c)) for c in tree.cliques)
    with pytest.raises(ModelTooLarge):
        marginal_table(("x", "y"), tree=tree, tables=tables, max_cells=10_000)
    found = marginal_table(("x", "y"), tree=tree, tables=tables, max_cells=20_000)
    np.testing.assert_allclose(found, np.full((2, 2), 0.25))


@pytest.mark.parametrize("clique", [("a00", "a00"), ("a00", "nobody")])
def test_queries_with_repeated_or_unknown_attributes_are_refused(clique: Clique) -> None:
    with pytest.raises(InvalidPlan):
        chain(3, 2).marginal(clique)
    with pytest.raises(InvalidPlan):
        chain(3, 2).pair_marginals([clique])


def test_only_pairs_are_pairs() -> None:
    with pytest.raises(InvalidArgument, match="is not a pair"):
        chain(3, 2).pair_marginals([("a00", "a01", "a02")])


def test_a_model_with_tables_of_other_shapes_cannot_be_built() -> None:
    tree: JunctionTree = chain(3, 2).tree
    with pytest.raises(InvalidArgument):
        GraphicalModel(tree=tree, total=1.0, tables=(np.ones(4),), loss=0.0, iterations=0)


def test_the_tables_of_a_model_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        chain(3, 2).tables[0][0, 0] = 7.0
