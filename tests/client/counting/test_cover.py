"""A cover holds every clique, and is chosen only where it is cheaper than counting directly."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.counting.cover import plan_cover

SIZES = (20,) * 15
PAIRS = tuple(combinations(range(15), 2))


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    seeds=st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=5), min_size=1, max_size=30),
    rows=st.sampled_from([0, 1, 10**4, 10**6, 10**9]),
)
def test_every_clique_is_inside_its_source(
    sizes: list[int], seeds: list[list[int]], rows: int
) -> None:
    cliques = tuple(tuple(dict.fromkeys(c % len(sizes) for c in seed)) for seed in seeds)
    cover = plan_cover(tuple(sizes), cliques, rows=rows)
    assert len(cover.sources) == len(cliques)
    cells = [math.prod(sizes[c] for c in table) for table in cover.tables]
    for clique, source in zip(cliques, cover.sources, strict=True):
        holding = [t for t, table in enumerate(cover.tables) if set(clique) <= set(table)]
        assert source in holding
        assert cells[source] == min(cells[t] for t in holding)
    assert all(len(set(table)) == len(table) for table in cover.tables)


def test_105_pairs_of_15_columns_are_summed_from_35_tables() -> None:
    assert len(plan_cover(SIZES, PAIRS, rows=10**7).tables) == 35


@pytest.mark.parametrize(("size", "rows"), [(20, 1_000), (300, 10**7)])
def test_cliques_are_counted_directly_where_that_is_cheaper(size: int, rows: int) -> None:
    """Few rows do not pay for planning; large codes make joint tables that leave the cache."""
    assert len(plan_cover((size,) * 15, PAIRS, rows=rows).tables) == 105


def test_smaller_cliques_are_free_and_doubles_are_counted_once() -> None:
    cliques = ((0, 1, 2), (2, 0), (1,), (2, 1, 0))
    cover = plan_cover((3, 4, 5), cliques, rows=10)
    assert cover.tables == ((0, 1, 2),)
    assert cover.sources == (0, 0, 0, 0)


def test_a_plan_depends_on_its_arguments_alone() -> None:
    first = plan_cover(SIZES, PAIRS, rows=10**8)
    plan_cover.cache_clear()
    assert plan_cover(SIZES, PAIRS, rows=10**8) == first
