"""Counting equals brute force, and one row changes one cell by one."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import silosynth.client.counting.kernel as kernels
from silosynth.client.counting import Layout, NumpyKernel, choose_kernel, lay_out
from silosynth.client.counting.compiled import load_kernel
from silosynth.client.counting.count import count_marginals
from silosynth.client.counting.kernel import FLUSH_ROWS, Kernel, compiled_kernel
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidPlan, InvalidTable
from silosynth.common.measurement import MarginalQuery

DOMAIN = Domain(attributes=("a", "b", "c", "d"), shape=(3, 2, 300, 5))
LEVELS = {
    "fine": Grouping(),
    "few": Grouping(groups={"c": tuple(i // 100 for i in range(300)), "d": (1, 0, 1, 0, 2)}),
    "": Grouping(groups={"a": (2, 0, 1), "d": (0, 1, 1, 1, 1)}),
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


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return each of the kernels, with small blocks and several threads."""
    if request.param == "numpy":
        return NumpyKernel(block_rows=7)
    return dataclasses.replace(compiled_kernel(threads=2), block_rows=16)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 60), queries=QUERIES)
def test_every_table_equals_brute_force(
    kernel: Kernel, seed: int, rows: int, queries: list[MarginalQuery]
) -> None:
    table = _table(seed, rows)
    counted = count_marginals(
        _columns(table), domain=DOMAIN, queries=queries, levels=LEVELS, kernel=kernel
    )
    for query, counts in zip(queries, counted, strict=True):
        assert counts.dtype == np.int64
        assert np.array_equal(counts, _brute_force(table, query))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 50), queries=QUERIES)
def test_one_row_changes_one_cell_of_each_marginal_by_one(
    kernel: Kernel, seed: int, rows: int, queries: list[MarginalQuery]
) -> None:
    table = _table(seed, rows)
    with_all, without = (
        count_marginals(_columns(t), domain=DOMAIN, queries=queries, levels=LEVELS, kernel=kernel)
        for t in (table, np.delete(table, seed % rows, axis=0))
    )
    for more, fewer in zip(with_all, without, strict=True):
        assert sorted(np.unique(more - fewer)) in ([0, 1], [1])
        assert (more - fewer).sum() == 1


WIDE = Domain(attributes=tuple("abcdefgh"), shape=(2, 3, 2, 5, 60, 300, 7, 4))


def _wide_columns(rows: int) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    kinds = [np.uint16 if size > 256 else np.uint8 for size in WIDE.shape]
    sizes = zip(WIDE.shape, kinds, strict=True)
    return [random.integers(0, size, rows).astype(kind) for size, kind in sizes]


def _count_by_ravel(columns: list[np.ndarray], clique: Clique) -> np.ndarray:
    """Count with NumPy's own cell numbers."""
    sizes = WIDE.sizes(clique)
    cells = np.ravel_multi_index([columns[WIDE.index(a)] for a in clique], sizes)
    return np.bincount(cells, minlength=WIDE.size(clique))


@pytest.mark.parametrize("covered", [True, False])
def test_kernels_agree_on_tables_of_every_width_and_size(kernel: Kernel, covered: bool) -> None:
    """Up to eight columns and 302,400 cells, 16-bit and 32-bit cell numbers, on two threads."""
    columns = _wide_columns(300_000 if not isinstance(kernel, NumpyKernel) else 3_000)
    cliques = [tuple("hgedcba"), ("f", "e"), ("e", "f", "g", "c"), ("a", "b", "c", "d", "h")]
    cliques += [("a",), *combinations(WIDE.attributes, 2), tuple("fbagedch")[:4]]
    queries = [MarginalQuery(clique=clique) for clique in cliques]
    layout = lay_out(
        queries,
        domain=WIDE,
        levels={"fine": Grouping()},
        rows=len(columns[0]),
        covered=covered,
    )
    totals = layout.zeros()
    if not isinstance(kernel, NumpyKernel):
        kernel = compiled_kernel(threads=2)
    kernel.add(columns, layout=layout, totals=totals)
    for clique, counts in zip(cliques, layout.answers(totals), strict=True):
        assert np.array_equal(counts, _count_by_ravel(columns, clique)), clique


@pytest.mark.parametrize("flush_rows", [1, 1_000, 4_096])
def test_counters_are_flushed_before_they_could_overflow(flush_rows: int) -> None:
    """The bound is kept by every call of the loop, and what is flushed adds up."""
    entered = []
    loop = compiled_kernel().loop

    def watched(*arguments: Any) -> None:
        first, end, counters = arguments[5], arguments[6], arguments[12]
        assert not counters.any(), "counters are cleared after a flush"
        entered.append(end - first)
        loop(*arguments)

    kernel = dataclasses.replace(
        compiled_kernel(threads=2), loop=watched, flush_rows=flush_rows, block_rows=512
    )
    columns = _wide_columns(5_000)
    queries = [MarginalQuery(clique=("a", "d")), MarginalQuery(clique=("e", "f"))]
    counted = count_marginals(
        columns, domain=WIDE, queries=queries, levels={"fine": Grouping()}, kernel=kernel
    )
    assert max(entered) == flush_rows
    assert all(
        np.array_equal(counts, _count_by_ravel(columns, query.clique))
        for query, counts in zip(queries, counted, strict=True)
    )
    assert np.iinfo(np.uint32).max >= FLUSH_ROWS


def test_a_code_beyond_its_size_cannot_write_outside_of_the_counters() -> None:
    """Codes are checked first; what slips past, in a file that changes, is held in bounds."""
    columns = [np.full(1_000, 255, np.uint8), np.full(1_000, 65_535, np.uint16)]
    domain = Domain(attributes=("a", "b"), shape=(3, 300))
    layout = lay_out(
        [MarginalQuery(clique=("a", "b"))], domain=domain, levels={"fine": Grouping()}, rows=1_000
    )
    totals = layout.zeros()
    compiled_kernel().add(columns, layout=layout, totals=totals)  # type: ignore[arg-type]  # as loose as a test may be
    assert totals[0].sum() == totals[0][-1] == 1_000


def test_compiling_is_left_out_where_it_does_not_pay_or_numba_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(choose_kernel(increments=1_000_000), NumpyKernel)
    assert not isinstance(choose_kernel(increments=10**9), NumpyKernel)
    monkeypatch.setattr("silosynth.client.counting.kernel.find_spec", lambda name: None)
    assert isinstance(choose_kernel(increments=10**9), NumpyKernel)


def test_compiled_code_is_kept_in_a_directory_of_our_own_alone(tmp_path: Path) -> None:
    load_kernel.cache_clear()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    for directory, kept in ((shared, False), (tmp_path / "none", False), (own, True)):
        compiled_kernel(cache=directory)
        assert any(directory.rglob("*.nbi")) == kept


def test_tables_are_counted_in_groups_whose_counters_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "_GROUP_CELLS", 1_000)
    columns = _wide_columns(2_000)
    cliques = list(combinations(WIDE.attributes, 2))
    layout: Layout = lay_out(
        [MarginalQuery(clique=c) for c in cliques],
        domain=WIDE,
        levels={"fine": Grouping()},
        rows=2_000,
        covered=False,
    )
    totals = layout.zeros()
    compiled_kernel().add(columns, layout=layout, totals=totals)
    for clique, counts in zip(cliques, layout.answers(totals), strict=True):
        assert np.array_equal(counts, _count_by_ravel(columns, clique))


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
