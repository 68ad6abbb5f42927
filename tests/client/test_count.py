"""Counting equals brute force, and one row changes one cell by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client import count
from silosynth.client.count import count_marginals
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidPlan, InvalidTable
from silosynth.common.measurement import MarginalQuery

DOMAIN = Domain(attributes=("a", "b", "c", "d"), shape=(3, 2, 300, 5))
LEVELS = {
    "fine": Grouping(),
    "few": Grouping(groups={"c": tuple(i // 100 for i in range(300)), "d": (1, 0, 1, 0, 2)}),
}
QUERIES = st.lists(
    st.builds(
        lambda clique, level: MarginalQuery(clique=tuple(clique), level=level),
        st.lists(st.sampled_from(DOMAIN.attributes), min_size=1, max_size=3, unique=True),
        st.sampled_from(sorted(LEVELS)),
    ),
    min_size=1,
    max_size=6,
)


def _columns(rows: np.ndarray) -> list[np.ndarray]:
    """Return (rows, 4) codes as contiguous columns of the smallest type."""
    kinds = [np.uint16 if size > 256 else np.uint8 for size in DOMAIN.shape]
    return [np.ascontiguousarray(rows[:, i]).astype(kind) for i, kind in enumerate(kinds)]


def _table(seed: int, rows: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([random.integers(0, size, rows) for size in DOMAIN.shape], axis=1)


def _brute_force(rows: np.ndarray, query: MarginalQuery) -> np.ndarray:
    """Count one row at a time."""
    grouping = LEVELS[query.level]
    shape = grouping.domain(DOMAIN).sizes(query.clique)
    counts = np.zeros(shape, dtype=np.int64)
    for row in rows:
        cell = tuple(
            grouping.groups[a][row[DOMAIN.index(a)]]
            if a in grouping.groups
            else row[DOMAIN.index(a)]
            for a in query.clique
        )
        counts[cell] += 1
    return counts.ravel()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 60), queries=QUERIES)
def test_every_table_equals_brute_force(seed: int, rows: int, queries: list[MarginalQuery]) -> None:
    table = _table(seed, rows)
    counted = count_marginals(_columns(table), domain=DOMAIN, queries=queries, levels=LEVELS)
    for query, counts in zip(queries, counted, strict=True):
        assert counts.dtype == np.int64
        assert np.array_equal(counts, _brute_force(table, query))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 50), queries=QUERIES)
def test_one_row_changes_one_cell_of_each_marginal_by_one(
    seed: int, rows: int, queries: list[MarginalQuery]
) -> None:
    table = _table(seed, rows)
    with_all, without = (
        count_marginals(_columns(t), domain=DOMAIN, queries=queries, levels=LEVELS)
        for t in (table, np.delete(table, seed % rows, axis=0))
    )
    for more, fewer in zip(with_all, without, strict=True):
        assert sorted(np.unique(more - fewer)) in ([0, 1], [1])
        assert (more - fewer).sum() == 1


def test_blocks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table(1, 1000)
    queries = [MarginalQuery(clique=("a", "c")), MarginalQuery(clique=("d",), level="few")]
    whole = count_marginals(_columns(table), domain=DOMAIN, queries=queries, levels=LEVELS)
    monkeypatch.setattr(count, "_BLOCK_ROWS", 7)
    blocks = count_marginals(_columns(table), domain=DOMAIN, queries=queries, levels=LEVELS)
    assert all(np.array_equal(a, b) for a, b in zip(whole, blocks, strict=True))


@pytest.mark.parametrize(
    ("clique", "level"), [(("x",), "fine"), (("a", "a"), "fine"), (("a",), "none")]
)
def test_a_query_that_cannot_be_counted_is_refused(clique: Clique, level: str) -> None:
    queries = [MarginalQuery(clique=clique, level=level)]
    with pytest.raises(InvalidPlan):
        count_marginals(_columns(_table(1, 3)), domain=DOMAIN, queries=queries, levels=LEVELS)


def test_columns_that_are_not_the_domains_codes_are_refused() -> None:
    good = _columns(_table(1, 3))
    high = [good[0], good[1] + np.uint8(2), *good[2:]]
    short = [good[0][:2], *good[1:]]
    signed = [good[0].astype(np.int64), *good[1:]]
    for columns in (good[:3], high, short, signed):
        with pytest.raises(InvalidTable):
            count_marginals(
                columns, domain=DOMAIN, queries=[MarginalQuery(clique=("a",))], levels=LEVELS
            )
