"""Grids, partitions and spreads: every value in one cell, and drawn back where it was found."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import Codec, allowed_codes, narrow_spreads
from silosynth.common.errors import InvalidPlan, InvalidSampler
from silosynth.common.plan import plan_trees
from silosynth.common.plan.values import MOST_TREE_CELLS
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.values import (
    Closer,
    Leaves,
    Spread,
    ValueGrid,
    check_edges,
    declared_edges,
    endings_of,
    factors,
    leaves_within,
    parse_spread,
    refine,
    refined_attributes,
    sum_levels,
)


def _schema(**attribute: Any) -> Schema:
    return parse_schema(
        {"name": "t", "attributes": [{"name": "x", "source": "public"} | attribute]}
    )


def _grid(**attribute: Any) -> ValueGrid:
    return refined_attributes(_schema(**attribute))["x"]


grids = st.builds(
    lambda first, points, stride: ValueGrid(first=first, stride=stride, decimals=0, points=points),
    st.integers(-(10**6), 10**6),
    st.integers(2, 3000),
    st.sampled_from([1, 1, 5, 7]),
)
joins = st.sampled_from([1, 2, 5, 10, 50, 1000, 2000])


@given(grids, joins)
@settings(max_examples=60, deadline=None)
def test_every_point_is_in_the_one_cell_whose_points_hold_it(grid: ValueGrid, join: int) -> None:
    leaves = Leaves(grid=grid, join=join)
    points = np.arange(grid.points)
    cells, starts = leaves.find(points), leaves.starts()
    assert len(starts) == leaves.cells + 1
    assert (starts[cells] <= points).all()
    assert (points < starts[cells + 1]).all()


@given(grids, joins)
@settings(max_examples=60, deadline=None)
def test_a_leaf_begins_at_a_round_number_and_its_first_point_is_a_cell(
    grid: ValueGrid, join: int
) -> None:
    leaves = Leaves(grid=grid, join=join)
    points = np.arange(grid.points)
    round_ones = points[(points + grid.phase) % join == 0]
    if join > 1:
        assert (leaves.find(round_ones) % 2 == 0).all()
        assert len(set(leaves.find(round_ones).tolist())) == len(round_ones)


@given(grids, st.sampled_from([2, 10, 50, 1000, 2000, 5000]), st.data())
@settings(max_examples=60, deadline=None)
def test_digits_of_a_closer_look_name_the_place_of_a_point(
    grid: ValueGrid, join: int, data: st.DataObject
) -> None:
    leaves = Leaves(grid=grid, join=join)
    some = st.sets(st.integers(0, leaves.count - 1), min_size=1, max_size=6)
    chosen = tuple(sorted(data.draw(some)))
    points = np.arange(grid.points)
    place = np.zeros(len(points), dtype=np.int64)
    for digit in range(len(factors(leaves))):
        closer = Closer(leaves=leaves, chosen=chosen, digit=digit)
        cells = closer.find(points)
        inside = np.isin((points + leaves.offset) // join, chosen)
        assert ((cells >= 0) == inside).all()
        assert cells.max() < closer.cells
        place += np.where(inside, cells % closer.width * closer.below, 0)
        begins = np.array([closer.begin(r) for r in range(len(chosen))])
        rank = np.searchsorted(chosen, (points + leaves.offset) // join)
    rank = np.minimum(rank, len(chosen) - 1)
    assert (points[inside] == (begins[rank] + place)[inside]).all()


@pytest.mark.parametrize("join", [1, 2, 10, 1000, 2000, 5 * 10**6, 10**10, 21_600, 86_400])
def test_digits_multiply_to_the_leaf_and_are_small(join: int) -> None:
    sizes = factors(Leaves(grid=ValueGrid(first=0, stride=1, decimals=0, points=9), join=join))
    assert np.prod(sizes, initial=1) == join
    assert max(sizes, default=1) <= 1000


@given(grids, joins, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_levels_are_sums_of_their_cells(grid: ValueGrid, join: int, seed: int) -> None:
    leaves = Leaves(grid=grid, join=join)
    cells = np.random.default_rng(seed).integers(-5, 9, leaves.cells)
    levels = sum_levels(cells, leaves=leaves)
    assert tuple(map(len, levels)) == leaves.levels
    for below, above in pairwise(levels):
        assert above.tolist() == [below[i : i + 16].sum() for i in range(0, len(below), 16)]
    assert len(levels[-1]) <= 64


def test_a_real_number_belongs_to_the_point_that_spells_it() -> None:
    grid = _grid(kind="real", minimum=-1.0, maximum=12.0, decimals=2)
    spelled = [f"{k / 100:.2f}" for k in range(-100, 1201)]
    points = grid.find(np.array([float(s) for s in spelled]))
    assert points.tolist() == list(range(1301))
    assert [f"{v:.2f}" for v in grid.values(points)] == [s if float(s) else "0.00" for s in spelled]
    assert grid.values(grid.find(np.array([0.29, 1.005, 7.1]))).tolist() == [0.29, 1.0, 7.1]


def test_numbers_beyond_the_bounds_and_infinite_ones_take_the_nearest_point() -> None:
    grid = _grid(kind="real", minimum=0.0, maximum=50.0, decimals=0)
    assert grid.find(np.array([-np.inf, -3.0, 51.0, np.inf])).tolist() == [0, 0, 50, 50]


def test_instants_without_a_time_of_day_are_days_and_others_seconds() -> None:
    days = _grid(kind="datetime", minimum="2020-01-01", maximum="2021-01-01")
    assert days.points == 367
    moment = datetime(2020, 3, 1, tzinfo=UTC).timestamp() * 1e6
    assert days.values(days.find(np.array([moment + 5e9]))).tolist() == [int(moment)]
    seconds = _grid(
        kind="datetime",
        minimum="2020-01-01",
        maximum="2020-01-02",
        format="%Y-%m-%d %H:%M:%S",
    )
    assert seconds.points == 86_401


def test_bins_of_one_point_each_have_no_tree_nor_have_pixels() -> None:
    assert not refined_attributes(_schema(kind="integer", minimum=0, maximum=31))
    assert refined_attributes(_schema(kind="integer", minimum=0, maximum=32))
    pixels = parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": n, "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"}
                for n in "ab"
            ],
            "images": [{"name": "i", "width": 1, "height": 1, "attributes": ["a"]}],
        }
    )
    assert set(refined_attributes(pixels)) == {"b"}


def test_declared_edges_stay_and_a_request_may_not_move_them() -> None:
    schema = _schema(
        kind="integer", minimum=0, maximum=99, bins={"kind": "edges", "edges": [18, 65]}
    )
    grid = refined_attributes(schema)["x"]
    attribute = schema.coded[0]
    assert declared_edges(attribute, grid) == (18, 65)  # type: ignore[arg-type]  # it is numeric
    assert check_edges(schema, edges={"x": (10, 20)}) is not None


@pytest.mark.parametrize(
    "edges", [(1,), (0, *range(1, 31)), (*range(1, 30), 29, 40), tuple(range(70, 101))]
)
def test_edges_that_are_no_bins_of_the_schema_are_refused(edges: tuple[int, ...]) -> None:
    schema = _schema(kind="integer", minimum=0, maximum=99)
    assert check_edges(schema, edges={"x": tuple(range(1, 32))}) is None
    assert check_edges(schema, edges={"x": edges}) is not None
    assert check_edges(schema, edges={"y": tuple(range(1, 32))}) is not None


@given(st.sets(st.integers(1, 999), min_size=31, max_size=31))
@settings(max_examples=30, deadline=None)
def test_refined_codes_are_the_points_between_their_edges(cuts: set[int]) -> None:
    edges = tuple(sorted(cuts))
    for attribute in (
        {"kind": "integer", "minimum": -7, "maximum": 992},
        {"kind": "real", "minimum": 0.0, "maximum": 9.99, "decimals": 2},
        {"kind": "real", "minimum": -1.0, "maximum": 248.75, "step": 0.25},
        {"kind": "datetime", "minimum": "2019-01-01", "maximum": "2021-09-26"},
        {"kind": "datetime", "minimum": "1940-02-01", "maximum": "2023-05-31"}
        | {"resolution": "month"},
    ):
        schema = _schema(**attribute)
        grid = refined_attributes(schema)["x"]
        assert grid.points == 1000
        points = np.arange(1000)
        values = grid.values(points)
        kind = pa.timestamp("us") if attribute["kind"] == "datetime" else None
        table = pa.table({"x": pa.array(values) if kind is None else pa.array(values, kind)})
        refined = refine(schema, edges={"x": edges})
        codes = Codec(refined).encode(table).codes[0]
        assert refined.domain == schema.domain
        assert codes.tolist() == np.searchsorted(edges, points, side="right").tolist()
        found = Codec(schema).find_points(table, grids={"x": grid})["x"]
        assert found.tolist() == points.tolist()


def test_missing_values_have_no_point_where_they_have_a_code() -> None:
    table = pa.table({"x": pa.array([1, None, 99])})
    for missing, expected in ((True, [1, -1, 99]), (False, [1, 0, 99])):
        schema = _schema(kind="integer", minimum=0, maximum=99, missing=missing)
        grid = refined_attributes(schema)["x"]
        assert Codec(schema).find_points(table, grids={"x": grid})["x"].tolist() == expected


@given(st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_trees_of_a_plan_stay_within_their_cells(count: int) -> None:
    rng = np.random.default_rng(count)
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {
                    "name": f"x{i}",
                    "kind": "integer",
                    "minimum": 0,
                    "maximum": int(10 ** rng.uniform(2, 14)),
                    "source": "public",
                }
                for i in range(count)
            ],
        }
    )
    trees = plan_trees(schema)
    assert len(trees) == count
    assert sum(sum(t.asked().values()) for t in trees.values()) <= MOST_TREE_CELLS * 1.01
    if count == 1:
        assert trees["x0"].leaves.cells > MOST_TREE_CELLS // 8 or trees["x0"].join == 1


def test_leaves_that_cannot_be_are_refused() -> None:
    grid = ValueGrid(first=0, stride=1, decimals=0, points=100)
    leaves = Leaves(grid=grid, join=10)
    for chosen in ((), (3, 3), (5, 4), (10,), (-1,)):
        with pytest.raises(InvalidPlan):
            Closer(leaves=leaves, chosen=chosen)
    with pytest.raises(InvalidPlan):
        Closer(leaves=Leaves(grid=grid, join=1), chosen=(1,))
    with pytest.raises(InvalidPlan):
        leaves_within(ValueGrid(first=0, stride=1, decimals=0, points=2**48), most_cells=1)


def _spread(**changes: Any) -> Spread:
    grid = ValueGrid(first=0, stride=1, decimals=0, points=100)
    parts: dict[str, Any] = {
        "grid": grid,
        "edges": (10, 11, 50),
        "start": np.array([0, 10, 11, 30, 60]),
        "stop": np.array([5, 11, 20, 50, 100]),
        "mass": np.array([10, 100, 30, 10, 1]),
    }
    return Spread(**(parts | changes))


def test_values_are_drawn_as_often_as_their_pieces_weigh() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2, 3], [1000, 500, 40_000, 300])
    points = _spread().draw(codes, uniform=rng.random)
    bounds = np.array([0, 10, 11, 50])
    assert (np.searchsorted(bounds, points, side="right") - 1 == codes).all()
    assert (points[codes == 0] < 5).all()
    assert (points[codes == 1] == 10).all()
    # Systematic: within one row of three quarters.
    assert abs(int((points[codes == 2] < 20).sum()) - 30_000) <= 1
    assert (points[codes == 3] >= 60).all()
    places = np.bincount(points[codes == 2][points[codes == 2] < 20] - 11, minlength=9)
    assert abs(places - 30_000 / 9).max() <= 2


def test_which_row_gets_which_value_is_random() -> None:
    rng = np.random.default_rng(1)
    points = _spread().draw(np.full(10_000, 2), uniform=rng.random)
    assert abs(np.corrcoef(points, np.arange(10_000))[0, 1]) < 0.07


def test_a_code_without_pieces_is_drawn_evenly() -> None:
    spread = _spread(start=np.array([0]), stop=np.array([5]), mass=np.array([1]))
    points = spread.draw(np.full(4000, 3), uniform=np.random.default_rng(0).random)
    assert (np.bincount(points, minlength=100)[50:] == 80).all()


def test_no_rows_are_no_points() -> None:
    empty = _spread().draw(np.zeros(0, dtype=np.int64), uniform=np.random.default_rng(0).random)
    assert empty.tolist() == []


def test_round_numbers_come_as_often_as_heaps_say() -> None:
    grid = ValueGrid(first=0, stride=1, decimals=0, points=1000)
    endings = endings_of(grid)
    assert endings is not None
    spread = Spread(
        grid=grid,
        edges=(),
        start=np.array([0]),
        stop=np.array([1000]),
        mass=np.array([1]),
        moduli=(10,),
        heaps=(2**30,),
    )
    points = spread.draw(np.zeros(100_000, dtype=np.int64), uniform=np.random.default_rng(2).random)
    # Half are made multiples of ten, and a tenth of the others are.
    assert abs((points % 10 == 0).mean() - 0.55) < 0.02


@pytest.mark.parametrize(
    "change",
    [
        {"edges": (10, 10, 50)},
        {"edges": (10, 11, 100)},
        {"start": np.array([0, 10, 11, 30, 49])},
        {"stop": np.array([11, 11, 20, 50, 100])},
        {"stop": np.array([5, 11, 20, 50, 101])},
        {"mass": np.array([10, 0, 30, 10, 1])},
        {"mass": np.array([10, 1])},
        {"moduli": (10,)},
    ],
)
def test_a_spread_that_cannot_be_drawn_from_is_not_built(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampler):
        _spread(**change)


def test_a_spread_is_read_as_it_is_written() -> None:
    spread = _spread(moduli=(5, 10), heaps=(1, 2))
    again = parse_spread(spread.dump())
    assert again.dump() == spread.dump()
    for change in ({"points": 2}, {"points": -1}, {"more": 1}, {"mass": [0.5] * 5}, {"real": 3}):
        with pytest.raises(InvalidSampler):
            parse_spread(spread.dump() | change)


def test_a_range_may_begin_inside_a_bin() -> None:
    schema = _schema(kind="integer", minimum=0, maximum=99, bins={"kind": "width", "count": 4})
    spread = _spread()
    shares = allowed_codes(schema, {"x": "15..29"}, spreads={"x": spread})["x"]
    assert shares.tolist() == pytest.approx([0, 0, 30 * 5 / 9 / 40, 0])
    narrowed = narrow_spreads(schema, {"x": "15..29"}, spreads={"x": spread})["x"]
    points = narrowed.draw(np.full(1000, 2), uniform=np.random.default_rng(0).random)
    assert points.min() == 15
    assert points.max() == 19
