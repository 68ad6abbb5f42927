"""Hours of the day and weekdays: every point in the cell of its clock, and drawn by its weight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidSampler
from silosynth.common.plan import PlannedTree, plan_trees
from silosynth.common.plan.values import check_trees
from silosynth.common.schema import parse_schema
from silosynth.common.values import (
    HOURS,
    WEEKDAYS,
    Clocks,
    DayLaw,
    Spread,
    ValueGrid,
    parse_spread,
    told_by,
)
from silosynth.common.values.clocks import LaidOut

YEAR = {"minimum": "2023-01-01", "maximum": "2023-12-31T23:59:00", "resolution": "minute"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _tree(**attribute: Any) -> PlannedTree:
    whole = {"name": "x", "kind": "datetime", "source": "public"} | YEAR | attribute
    return plan_trees(parse_schema({"name": "t", "attributes": [whole]}))["x"]


@pytest.mark.parametrize(
    ("attribute", "units"),
    [
        ({}, (HOURS, WEEKDAYS)),
        ({"resolution": "second", "maximum": "2023-12-31T23:59:59"}, (HOURS, WEEKDAYS)),
        ({"resolution": "millisecond"}, (HOURS, WEEKDAYS)),
        ({"resolution": "day", "maximum": "2023-12-31"}, (WEEKDAYS,)),
        ({"resolution": "week", "maximum": "2025-12-31"}, ()),
        ({"resolution": "month", "maximum": "2033-12-31"}, ()),
        ({"maximum": "2023-01-07T23:59:00"}, (HOURS,)),
        ({"maximum": "2023-01-01T23:59:00"}, ()),
        ({"kind": "time", "minimum": "00:00", "maximum": "23:59:00"}, ()),
        ({"kind": "duration", "minimum": "P0D", "maximum": "P90D"}, ()),
    ],
)
def test_clocks_are_counted_of_moments_that_a_tree_leaves_open(
    attribute: dict[str, Any], units: tuple[str, ...]
) -> None:
    tree = _tree(**attribute)
    assert tuple(tree.shown) == units
    assert [u for u in (HOURS, WEEKDAYS) if u in tree.asked()] == list(units)
    assert ("clocks" in tree.model_dump(mode="json")) is bool(units)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "+01:00", "Australia/Lord_Howe"]
)
def test_points_of_utc_are_counted_by_the_clocks_of_their_zone(zone: str) -> None:
    tree = _tree(zone=zone)
    points = np.random.default_rng(1).integers(0, tree.points, 2_000)
    there = (
        ZoneInfo(zone) if "/" in zone else datetime.fromisoformat(f"2020-01-01T00:00{zone}").tzinfo
    )
    local = [
        (EPOCH + timedelta(microseconds=int(us))).astimezone(there)
        for us in tree.grid.values(points)
    ]
    assert tree.shown[HOURS].find(points).tolist() == [t.hour for t in local]
    assert tree.shown[WEEKDAYS].find(points).tolist() == [t.weekday() for t in local]
    assert tree.clocks is not None
    assert len(tree.clocks.turns) == (
        2 if zone in ("Europe/Berlin", "America/New_York") else 0
    ) or (zone == "Australia/Lord_Howe")


def test_steps_are_of_the_zones_own_clocks_already() -> None:
    tree = _tree(zone="Europe/Berlin", step=15, maximum="2023-12-31T23:45:00")
    assert tree.clocks is not None
    assert (tree.clocks.turns, tree.clocks.ahead) == ((), (0,))


grids = st.builds(
    lambda first, points, stride: ValueGrid(
        first=first * 250_000, stride=stride, decimals=0, points=points
    ),
    st.integers(-(10**10), 10**10),
    st.integers(5_000, 9_000),
    st.sampled_from([500_000, 1_000_000, 60_000_000, 420_000_000, 900_000_000, 5_400_000_000]),
)


@given(grids, st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_law_lays_points_out_by_their_weight(grid: ValueGrid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clocks = Clocks(turns=(1_000, 2_500), ahead=(3_600, 7_200, -1_800))
    law = DayLaw(
        clocks=clocks,
        hours=(*rng.integers(0, 4, 23).tolist(), 1),
        weekdays=(*rng.integers(0, 3, 6).tolist(), 1),
    )
    laid = LaidOut(law, grid)
    points = np.arange(grid.points)
    if grid.stride >= 1_000_000:
        ends = laid.below(np.arange(grid.points + 1))
        assert np.diff(ends) == pytest.approx(laid.weigh(points), abs=1e-6 * max(ends[-1], 1))
    start = rng.integers(0, grid.points - 400, 500)
    stop = start + rng.integers(1, 400, 500)
    drawn = laid.draw(start, stop, inner=rng.random(500))
    assert (drawn >= start).all()
    assert (drawn < stop).all()
    held = laid.below(stop) - laid.below(start) > 0
    if grid.stride >= 1_000_000:
        assert (laid.weigh(drawn)[held] > 0).all()


def _one_piece(grid: ValueGrid, **more: Any) -> Spread:
    """Return one code of one piece, over all points of a grid."""
    return Spread(
        grid=grid,
        edges=(),
        start=np.array([0]),
        stop=np.array([grid.points]),
        mass=np.array([1]),
        **more,
    )


def test_drawn_points_have_the_shares_of_the_day_and_keep_their_pieces() -> None:
    tree = _tree()
    hours = tuple(0 if h < 7 or h > 18 else 1 + (h == 9) for h in range(24))
    law = DayLaw(clocks=Clocks(), hours=hours, weekdays=(1, 1, 1, 1, 1, 1, 0))
    half = tree.points // 2
    spread = Spread(
        grid=tree.grid,
        edges=(half,),
        start=np.array([0, half]),
        stop=np.array([half, tree.points]),
        mass=np.array([1, 1]),
        day=law,
    )
    codes = np.repeat([0, 1], 20_000)
    points = spread.draw(codes, uniform=np.random.default_rng(0).random)
    assert ((points >= half) == codes).all()
    at = tree.grid.values(points).astype("datetime64[us]")
    hour = (at - at.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    assert np.bincount(hour, minlength=24) / len(at) == pytest.approx(
        np.array(hours) / sum(hours), abs=0.01
    )
    weekday = (at.astype("datetime64[D]").astype(int) + 3) % 7
    assert (weekday < 6).all()
    assert np.bincount(weekday)[:6] / len(at) == pytest.approx(np.full(6, 1 / 6), abs=0.01)
    again = parse_spread(spread.dump())
    assert (again.draw(codes, uniform=np.random.default_rng(0).random) == points).all()
    # Of a range, the share of a piece that lies in it goes by the law too.
    night = spread.between(0, 6 * 60).draw(
        np.zeros(5, np.int64), uniform=np.random.default_rng(0).random
    )
    assert (night < half).all()
    assert spread.share_between(0, 31 * 1440)[0] == pytest.approx(31 / 182.5, abs=0.01)
    assert spread.share_between(1440, 1440 + 6 * 60)[0] == 0


def test_round_numbers_stay_at_hours_that_there_are() -> None:
    grid = _tree(resolution="second", maximum="2023-12-31T23:59:59").grid
    spread = _one_piece(
        grid,
        moduli=(3_600, 43_200),
        heaps=(2**30, 2**28),
        day=DayLaw(clocks=Clocks(), hours=(0,) * 7 + (1,) * 12 + (0,) * 5),
    )
    points = spread.draw(np.zeros(20_000, np.int64), uniform=np.random.default_rng(0).random)
    hour = points // 3_600 % 24
    assert ((hour >= 7) & (hour < 19)).all()
    assert 0.5 < (points % 3_600 == 0).mean() < 0.6


def test_nobody_is_in_a_range_of_closed_hours_however_sums_are_rounded() -> None:
    grid = ValueGrid(first=0, stride=60_000_000, decimals=0, points=30 * 525_600)
    rng = np.random.default_rng(0)
    for _ in range(20):
        law = DayLaw(
            clocks=Clocks(turns=(100_000, 400_000), ahead=(3_600, 7_200, 3_600)),
            hours=(*[0] * 7, *rng.integers(1, 2**20, 12).tolist(), *[0] * 5),
            weekdays=tuple(rng.integers(1, 2**20, 7).tolist()),
        )
        spread = _one_piece(
            grid,
            day=law,
        )
        laid = LaidOut(law, grid)
        for start in rng.integers(400_000, grid.points - 3 * 1_440, 20):
            weight = laid.weigh(np.arange(start, start + 3 * 1_440))
            opens = np.flatnonzero(np.diff(weight > 0)) + 1
            low, high = int(start + opens[1]), int(start + opens[2])
            if weight[opens[1]] > 0:
                low, high = high, int(start + opens[3])
            assert spread.share_between(low, high).tolist() == [0.0]
            assert spread.share_between(low, high + 1)[0] > 0


@pytest.mark.parametrize("hours", [(0, 6, 12, 18), (3,)])
def test_where_no_point_is_at_an_hour_that_weighs_rows_are_drawn_evenly(
    hours: tuple[int, ...],
) -> None:
    """Points six hours apart are at none of the hours once the clocks are put forward."""
    grid = ValueGrid(first=0, stride=6 * 3_600_000_000, decimals=0, points=1_460)
    law = DayLaw(
        clocks=Clocks(turns=(700,), ahead=(0, 3_600)),
        hours=tuple(int(h in hours) for h in range(24)),
    )
    whole = np.array([1, 1])
    spread = Spread(
        grid=grid,
        edges=(700,),
        start=np.array([0, 700]),
        stop=np.array([700, 1_460]),
        mass=whole,
        day=law,
    )
    points = spread.draw(np.ones(10_000, np.int64), uniform=np.random.default_rng(0).random)
    assert np.histogram(points, bins=4, range=(700, 1_460))[0] == pytest.approx(2_500, rel=0.01)
    assert spread.share_between(700, 1_080) == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize(
    "change",
    [
        {"hours": (1,) * 23},
        {"hours": (0,) * 24},
        {"weekdays": (1,) * 8},
        {"clocks": Clocks(turns=(5,))},
        {"clocks": Clocks(turns=(10**9,), ahead=(0, 0))},
        {"clocks": Clocks(ahead=(90_000,))},
    ],
)
def test_a_law_that_cannot_be_is_not_built(change: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"clocks": Clocks(), "hours": (1,) * 24}
    with pytest.raises(InvalidSampler):
        _one_piece(
            _tree().grid,
            day=DayLaw(**(facts | change)),
        )


@pytest.mark.parametrize("clocks", [{"ahead": [0, 1]}, {"turns": [2**40], "ahead": [0, 1]}])
def test_a_plan_with_clocks_that_cannot_be_is_refused(clocks: dict[str, Any]) -> None:
    data = _tree().model_dump(mode="json") | {"clocks": clocks}
    with pytest.raises(ValueError, match="clocks"):
        PlannedTree.model_validate(data)


def test_a_plan_is_checked_without_a_database_of_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"name": "x", "kind": "datetime", "source": "public"} | YEAR
    schema = parse_schema({"name": "t", "attributes": [whole | {"zone": "Europe/Berlin"}]})
    trees = plan_trees(schema)

    def lost(*_: Any, **__: Any) -> None:
        raise pa.ArrowInvalid("Cannot locate timezone")

    monkeypatch.setattr(pc, "local_timestamp", lost)
    check_trees(trees, schema)


def test_whole_numbers_have_no_clocks() -> None:
    grid = ValueGrid(first=0, stride=1, decimals=2, points=10**6, real=True)
    assert told_by(grid) == ()
