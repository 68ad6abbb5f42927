"""From noised trees to pieces, codes and heaps: least squares, no made-up mass, what is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.values import (
    WHOLE,
    Closer,
    Leaves,
    Spread,
    ValueGrid,
    endings_of,
    factors,
    sum_levels,
)
from silosynth.server.values import project
from silosynth.server.values.codes import choose_edges, cut_at
from silosynth.server.values.heaps import find_heaps, look_closer, look_into
from silosynth.server.values.pieces import Pieces, find_pieces
from silosynth.server.values.tails import Noise, noise_of, thin_tails
from silosynth.server.values.tree import reconcile, share_out

SIGMA2 = 3600.0


def _grid(points: int, first: int = 0) -> ValueGrid:
    return ValueGrid(first=first, stride=1, decimals=0, points=points)


def _levels(
    points: np.ndarray, leaves: Leaves, *, sigma2: float, rng: np.random.Generator
) -> list[np.ndarray]:
    cells = np.bincount(leaves.find(points), minlength=leaves.cells)
    return [c + rng.normal(0, sigma2**0.5, len(c)) for c in sum_levels(cells, leaves=leaves)]


def _find(points: np.ndarray, leaves: Leaves, *, sigma2: float = SIGMA2, seed: int = 0) -> Pieces:
    rng = np.random.default_rng(seed)
    tree = reconcile(_levels(points, leaves, sigma2=sigma2, rng=rng), variance=sigma2)
    return find_pieces(tree, leaves=leaves, total=tree.total)


def _mass_at(pieces: Pieces, point: int) -> float:
    alone = (pieces.start == point) & (pieces.stop == point + 1)
    return float(pieces.mass[alone].sum())


@given(st.integers(1, 700), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_tree_is_the_least_squares_estimate(points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = Leaves(grid=_grid(points), join=1)
    rows = [
        np.stack([sum_levels(e, leaves=leaves)[i] for e in np.eye(points)], axis=1)
        for i in range(len(leaves.levels))
    ]
    design = np.concatenate(rows)
    noised = rng.normal(50, 30, len(design))
    exact = np.linalg.lstsq(design, noised, rcond=None)[0]
    split = np.cumsum(leaves.levels)[:-1]
    tree = reconcile(np.split(noised, split), variance=900.0)
    assert tree.levels[0] == pytest.approx(exact, abs=1e-6)
    assert len(tree.levels[-1]) == 1
    for level in tree.levels:
        assert level.sum() == pytest.approx(tree.total)


def test_the_variance_of_a_node_is_that_of_what_lies_below_and_on_it() -> None:
    leaves = Leaves(grid=_grid(256), join=1)
    rng = np.random.default_rng(0)
    shape = leaves.levels
    found = []
    for _ in range(2000):
        counts = [rng.normal(0, 10, n) for n in shape]
        found.append(reconcile(counts, variance=100.0).levels[1][0])
    tree = reconcile([np.zeros(n) for n in shape], variance=100.0)
    # The top level has no parent that was counted: its estimate is its own.
    assert np.var(found) == pytest.approx(tree.variance[1][0], rel=0.2)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=16),
    st.floats(0, 1e5),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_projection_is_the_nearest_point_of_the_simplex(
    values: list[float], total: float, data: st.DataObject
) -> None:
    row = np.array([values])
    there = np.array(
        [data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))]
    )
    there[0, 0] = True
    found = project(row, there=there, total=np.array([total]))[0]
    assert found.sum() == pytest.approx(total, abs=1e-6 + 1e-9 * total)
    assert (found >= 0).all()
    assert (found[~there[0]] == 0).all()
    # The conditions of Karush, Kuhn and Tucker: one constant off all that is left.
    constant = (row[0] - found)[there[0] & (found > 0)]
    if len(constant):
        assert constant == pytest.approx(constant[0], abs=1e-5)
        cut = row[0][there[0] & (found == 0)]
        assert (cut <= constant[0] + 1e-5).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e5))
@settings(max_examples=60, deadline=None)
def test_children_share_their_nodes_mass_and_no_more(seed: int, total: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.normal(0, 60, (5, 16)) + rng.choice([0, 0, 500], (5, 16))
    width = rng.choice([0, 1, 1, 40], (5, 16))
    width[:, 0] = 1
    shared = share_out(
        np.full(5, total), counts=counts, variance=np.full((5, 16), 3600.0), width=width
    )
    assert shared.mass.sum(axis=1) == pytest.approx(np.full(5, total), abs=1e-6 + 1e-9 * total)
    assert (shared.mass >= 0).all()
    assert (shared.mass[width == 0] == 0).all()


def test_noise_alone_is_shared_out_by_width() -> None:
    rng = np.random.default_rng(3)
    width = np.tile(np.arange(1, 17), (2000, 1))
    shared = share_out(
        np.full(2000, 1000.0),
        counts=1000 * width / width.sum(axis=1, keepdims=True) + rng.normal(0, 60, width.shape),
        variance=np.full(width.shape, 3600.0),
        width=width,
    )
    # Of chi squares of 15 degrees, 8 % are above the margin, and 4 deviations are rare.
    assert shared.even.mean() > 0.88
    assert shared.mass[shared.even] == pytest.approx(1000 * width[shared.even] / 136)


@pytest.mark.parametrize("join", [1, 10, 50])
def test_a_value_that_many_rows_have_is_a_piece_of_its_own(join: int) -> None:
    rng = np.random.default_rng(1)
    points = np.concatenate((np.zeros(20_000), rng.integers(0, 5000, 20_000))).astype(np.int64)
    pieces = _find(points, Leaves(grid=_grid(5000), join=join))
    assert _mass_at(pieces, 0) == pytest.approx(20_000, abs=6 * 60)
    assert pieces.mass.sum() == pytest.approx(40_000, abs=6 * 60 * 8)
    assert len(pieces.mass) < 400


def test_a_value_hidden_among_even_neighbours_is_found() -> None:
    # Its grandparents look alike, so only looking at all cells finds it.
    points = np.concatenate(
        [np.full(3000, 16 * 16 * i + 16 * 5 + 3, dtype=np.int64) for i in range(16)]
    )
    pieces = _find(points, Leaves(grid=_grid(4096), join=1))
    for i in range(16):
        assert _mass_at(pieces, 16 * 16 * i + 83) == pytest.approx(3000, abs=800)


def test_an_empty_column_makes_little_mass() -> None:
    totals = [
        _find(np.zeros(0, dtype=np.int64), Leaves(grid=_grid(100_000), join=1), seed=s).mass.sum()
        for s in range(10)
    ]
    assert max(totals) < 10 * 60 * 8


@pytest.mark.parametrize("join", [10, 1000, 10**6, 10**9])
def test_a_second_look_finds_the_exact_value(join: int) -> None:
    grid = _grid(join * 2000)
    leaves = Leaves(grid=grid, join=join)
    value = 1234 * join + join // 2 + 1
    rng = np.random.default_rng(0)
    points = np.concatenate((np.full(5000, value), rng.integers(0, grid.points, 5000)))
    pieces = _find(points, leaves)
    chosen = look_into(pieces, leaves=leaves, variance=SIGMA2, most_cells=2**17)
    assert 1234 in chosen
    digits, closer = [], Closer(leaves=leaves, chosen=chosen)
    for digit in range(len(factors(leaves))):
        closer = Closer(leaves=leaves, chosen=chosen, digit=digit)
        cells = closer.find(points)
        counts = np.bincount(cells[cells >= 0], minlength=closer.cells)
        digits.append(counts + rng.normal(0, 60, closer.cells))
    finer = look_closer(pieces, digits, closer=closer, variance=SIGMA2)
    assert _mass_at(finer, value) == pytest.approx(5000, abs=600)
    assert finer.mass.sum() == pytest.approx(pieces.mass.sum())


def test_leaves_without_room_are_left_out_lightest_first() -> None:
    leaves = Leaves(grid=_grid(1000), join=10)
    pieces = Pieces(np.array([1, 11, 21]), np.array([10, 20, 30]), np.array([500.0, 900.0, 10.0]))
    assert look_into(pieces, leaves=leaves, variance=SIGMA2, most_cells=25) == (0, 1)
    assert look_into(pieces, leaves=leaves, variance=SIGMA2, most_cells=15) == (1,)


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_there_are_as_many_codes_as_bins_and_every_piece_lies_in_one(
    codes: int, seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    points = codes + int(rng.integers(1, 200))
    cuts = np.unique(rng.integers(0, points + 1, 2 * min(count, points)))
    start, stop = cuts[:-1], cuts[1:]
    kept = rng.random(len(start)) < 0.7
    pieces = Pieces(start[kept], stop[kept], rng.exponential(100, kept.sum()))
    edges = choose_edges(pieces, codes=codes, points=points)
    assert len(edges) == codes - 1
    assert all(b > a for a, b in zip((0, *edges), (*edges, points), strict=True))
    cut = cut_at(pieces, edges=edges)
    assert cut.mass.sum() == pytest.approx(pieces.mass.sum())
    Spread(
        grid=_grid(points),
        edges=edges,
        start=cut.start,
        stop=cut.stop,
        mass=np.maximum(np.rint(cut.mass), 1).astype(np.int64),
    )


def test_a_value_of_half_the_rows_is_a_code_alone() -> None:
    pieces = Pieces(
        np.array([0, 40, 41]), np.array([40, 41, 1000]), np.array([400.0, 5000.0, 4600.0])
    )
    edges = choose_edges(pieces, codes=32, points=1000)
    assert {40, 41} <= set(edges)


def _noise(points: int, found: Pieces, *, nodes: int = 16, total: float = SIGMA2) -> Noise:
    """Two levels of equal nodes, the finer one sixteen times as many, without any error."""
    starts = tuple(np.linspace(0, points, n + 1).astype(np.int64) for n in (nodes, 16 * nodes))
    ends = np.append(found.start, found.stop[-1:])
    below = np.interp(starts[-1], ends, np.append(0.0, np.cumsum(found.mass)))
    return Noise(
        starts=starts,
        variance=(SIGMA2, SIGMA2),
        counts=np.diff(below),
        rows=float(found.mass.sum()),
        total=total,
    )


def _mean(pieces: Pieces) -> float:
    middle = (pieces.start + pieces.stop - 1) / 2
    return float((middle * pieces.mass).sum() / pieces.mass.sum())


def test_tails_thin_out_and_keep_their_mass() -> None:
    body = Pieces(
        np.array([0, 100, 1000]), np.array([100, 200, 10_000]), np.array([5000.0, 4900.0, 100.0])
    )
    thinned = thin_tails(body, noise=_noise(10_000, body))
    assert thinned.mass.sum() == pytest.approx(10_000)
    assert _mean(thinned) < 125


def test_a_tail_that_is_sure_stays() -> None:
    body = Pieces(np.array([0, 9990]), np.array([200, 10_000]), np.array([9000.0, 3000.0]))
    thinned = thin_tails(body, noise=_noise(10_000, body))
    assert thinned.mass[thinned.start >= 9990].sum() == pytest.approx(3000)


def test_a_value_that_stands_out_of_a_tail_stays_where_it_is() -> None:
    body = Pieces(
        np.array([0, 100, 1000, 8000, 8001]),
        np.array([100, 200, 8000, 8001, 10_000]),
        np.array([5000.0, 4900.0, 70.0, 400.0, 30.0]),
    )
    thinned = thin_tails(body, noise=_noise(10_000, body))
    assert _mass_at(thinned, 8000) == pytest.approx(400)
    assert thinned.mass.sum() == pytest.approx(10_400)
    assert (thinned.stop[:-1] <= thinned.start[1:]).all()


@pytest.mark.parametrize("power", [2.0, 4.0])
def test_a_tail_goes_on_as_the_rows_before_it_end(power: float) -> None:
    edges = np.array([0, *range(100, 2_000, 10)])
    beyond = 5_000 * (edges / 100.0).clip(1) ** -power
    beyond[0] = 12_000
    body = Pieces(edges[:-1], edges[1:], -np.diff(beyond))
    thinned = thin_tails(body, noise=_noise(12_800, body))
    for edge in (200, 400, 800):
        left = np.clip((thinned.stop - edge) / thinned.points, 0, 1)
        assert (left * thinned.mass).sum() == pytest.approx(
            5_000 * (edge / 100) ** -power, rel=0.5, abs=30
        )


def test_what_lies_above_is_known_by_what_lies_below_and_all_rows() -> None:
    body = Pieces(np.array([0]), np.array([16_000]), np.array([10_000.0]))
    known, unknown = (_noise(16_000, body, total=t) for t in (0.0, np.inf))
    near, far = np.array([1_000]), np.array([15_000])
    assert known.above(near)[0] < 1.8 * SIGMA2**0.5
    assert unknown.above(near)[0] > 3.8 * SIGMA2**0.5
    assert known.above(far)[0] == pytest.approx(known.mirrored().above(near)[0], rel=0.3)
    assert (known.above(np.arange(0, 16_000, 250)) <= 3 * SIGMA2**0.5).all()


@pytest.mark.parametrize("seed", range(5))
def test_bounds_far_beyond_the_values_do_not_move_the_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.minimum(rng.lognormal(4.3, 0.8, 25_000), 9_998).astype(np.int64)
    leaves = Leaves(grid=_grid(10_000), join=1)
    tree = reconcile(_levels(points, leaves, sigma2=90_000.0, rng=rng), variance=90_000.0)
    pieces = find_pieces(tree, leaves=leaves, total=25_000.0)
    thinned = thin_tails(pieces, noise=noise_of(tree, leaves=leaves, rows=25_000.0, total=0.0))
    assert abs(_mean(thinned) - points.mean()) < 0.25 * points.std()


def test_the_only_leaf_of_a_node_is_looked_into() -> None:
    leaves = Leaves(grid=_grid(16 * 16 + 1), join=1)
    points = np.concatenate([np.zeros(5_000, dtype=np.int64), np.full(2_000, 256)])
    pieces = _find(points, leaves)
    assert _mass_at(pieces, 256) > 1_500


def test_heaps_are_found_and_drawn() -> None:
    rng = np.random.default_rng(0)
    grid = _grid(100_000)
    endings = endings_of(grid)
    assert endings is not None
    points = rng.integers(0, 100_000, 50_000)
    rounded = np.where(rng.random(50_000) < 0.6, points // 1000 * 1000, points)
    counts = np.bincount(endings.find(rounded), minlength=endings.cells)
    pieces = Pieces(np.array([0]), np.array([100_000]), np.array([50_000.0]))
    noised = counts + rng.normal(0, 60, len(counts))
    heaps = find_heaps(pieces, noised, endings=endings, variance=SIGMA2)
    spread = Spread(
        grid=grid,
        edges=(),
        start=np.array([0]),
        stop=np.array([100_000]),
        mass=np.array([WHOLE]),
        moduli=endings.moduli,
        heaps=heaps,
    )
    drawn = spread.draw(np.zeros(50_000, dtype=np.int64), uniform=rng.random)
    again = np.bincount(endings.find(drawn), minlength=endings.cells)
    assert np.abs(again - counts).max() < 800
    assert (
        find_heaps(
            pieces,
            np.bincount(endings.find(points), minlength=endings.cells)
            + rng.normal(0, 60, len(counts)),
            endings=endings,
            variance=SIGMA2,
        )
        == ()
    )


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_edges_at_declared_bins_are_as_many_and_keep_single_values_apart(
    codes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start = np.unique(rng.integers(0, 900, 60))
    stop = np.append(start[1:], 1000)
    single = rng.random(len(start)) < 0.3
    pieces = Pieces(start, np.where(single, start + 1, stop), rng.gamma(0.5, 100, len(start)) + 1)
    declared = np.unique(rng.integers(1, 1000, 20)).tolist()
    plain = choose_edges(pieces, codes=codes, points=1000)
    moved = choose_edges(pieces, codes=codes, points=1000, declared=declared)
    assert len(moved) == codes - 1
    assert list(moved) == sorted({*moved})
    assert moved[0] > 0
    assert moved[-1] < 1000
    assert {*moved} - {*plain} <= {*declared}
    heavy = single & (pieces.mass > pieces.mass.sum() / codes)
    bounds = {0, *moved, 1000}
    assert {int(p) for p in start[heavy]} & {*plain} <= bounds


def test_codes_begin_where_declared_bins_do_where_nothing_shows_inside() -> None:
    pieces = Pieces(np.array([0]), np.array([1000]), np.array([1000.0]))
    declared = [130, 180, 340, 380, 530, 570, 720, 780, 910]
    moved = choose_edges(pieces, codes=10, points=1000, declared=declared)
    assert moved == tuple(declared)
    assert choose_edges(pieces, codes=10, points=1000) == tuple(range(100, 1000, 100))
