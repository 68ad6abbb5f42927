"""Steps of moments and spans: what is refused, and what rules, gaps and trees make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from silosynth.common.codec import Codec, Form
from silosynth.common.errors import InvalidSchema
from silosynth.common.plan.values import check_trees, plan_trees
from silosynth.common.schema import DatetimeAttribute, Schema, dump_schema, parse_schema
from silosynth.common.schema.compiled.orders import narrowed
from silosynth.common.tables.gaps import Gaps, gap_scale
from silosynth.common.values import grid_of

YEAR = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-12-31T23:45"}
QUARTERS = YEAR | {"resolution": "minute", "step": 15}


def schema_of(*attributes: dict[str, Any], **more: Any) -> Schema:
    named = [{"name": f"x{i}", "source": "public"} | a for i, a in enumerate(attributes)]
    return parse_schema({"name": "t", "attributes": named} | more)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (YEAR | {"step": 15}, "step counts days, hours, minutes, seconds or finer"),
        (YEAR | {"resolution": "month", "step": 6}, "declare such a resolution"),
        (YEAR | {"resolution": "week", "step": 2}, "resolution: day with step: 7"),
        (QUARTERS | {"step": 20}, "multiple of step; take 0 00:05:00 off it"),
        (QUARTERS | {"step": 0}, "step: input should be greater"),
        (QUARTERS | {"minimum": "2020-01-01T00:07"}, "take 0 00:08:00 off it"),
        (QUARTERS | {"step": 10**9}, "multiple of step"),
        ({"kind": "time", "resolution": "minute", "step": 7}, "take 0 00:05:00 off it"),
        (
            {"kind": "duration", "minimum": 0, "maximum": 90, "resolution": "second", "step": 20},
            "take 0 00:00:10 off it",
        ),
    ],
)
def test_a_step_that_does_not_fit_is_refused_in_one_line(
    attribute: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSchema, match=message) as refused:
        schema_of(attribute)
    assert "\n" not in str(refused.value)


def test_a_step_is_of_version_two_is_kept_and_tells_schemas_apart() -> None:
    schema = schema_of(QUARTERS)
    assert schema.version == 2
    assert parse_schema(yaml.safe_load(dump_schema(schema))) == schema
    plain = schema_of(YEAR | {"resolution": "minute"})
    assert "step" not in dump_schema(plain)
    assert plain.digest != schema.digest


@pytest.mark.parametrize(
    ("attribute", "first", "last", "points"),
    [
        (QUARTERS, "2020-01-01T00:00", "2020-12-31T23:45", 366 * 96),
        (
            QUARTERS | {"minimum": "2020-01-01T00:07", "maximum": "2020-12-31T23:52"},
            *("2020-01-01T00:07", "2020-12-31T23:52", 366 * 96),
        ),
        (
            YEAR | {"resolution": "day", "step": 7, "maximum": "2020-12-30"},
            *("2020-01-01T00:00", "2020-12-30T00:00", 53),
        ),
        (
            {"kind": "datetime", "minimum": "1850-03-01T12:00", "maximum": "2020-03-01T12:00"}
            | {"resolution": "hour", "step": 24},
            *("1850-03-01T12:00", "2020-03-01T12:00", 62_093),
        ),
    ],
)
def test_trees_are_over_the_points_of_the_step(
    attribute: dict[str, Any], first: str, last: str, points: int
) -> None:
    schema = schema_of(attribute)
    grid = grid_of(schema.numbers[0])
    assert grid is not None
    ends = grid.values(np.array([0, grid.points - 1])).astype("datetime64[us]")
    assert [str(end)[:16] for end in ends] == [first, last]
    assert grid.points == points
    assert grid.find(grid.values(np.arange(points)).astype(float)).tolist() == [*range(points)]
    check_trees(plan_trees(schema), schema)
    # What lies between two points is at the one before it.
    between = np.array([grid.edge(3) + 1, grid.edge(4) - 1])
    assert grid.find(between).tolist() == [3, 3]


def test_a_plan_over_other_points_is_refused() -> None:
    trees = plan_trees(schema_of(QUARTERS))
    with pytest.raises(Exception, match="not over the points"):
        check_trees(trees, schema_of(YEAR | {"resolution": "minute", "step": 5}))


def test_an_order_of_two_such_columns_is_kept_in_steps() -> None:
    schema = schema_of(QUARTERS, QUARTERS, rules=["x0 <= x1"])
    rng = np.random.default_rng(1)
    begin = rng.integers(0, 20_000, 800)
    after = begin + rng.integers(0, 90, 800)
    moments = [
        np.datetime64("2020-01-01T00:00", "us") + k * 15 * 60_000_000 for k in (begin, after)
    ]
    table = pa.table({f"x{i}": pa.array(m) for i, m in enumerate(moments)})
    codec = Codec(schema)
    back = codec.decode(codec.encode(table).codes, uniform=rng.random, form=Form.TYPED)
    ticks = [back[n].cast(pa.int64()).to_numpy() for n in ("x0", "x1")]
    assert (ticks[0] <= ticks[1]).all()
    assert all(set(t // 60_000_000 % 15) == {0} for t in ticks)


def test_what_a_rule_takes_away_leaves_bounds_on_points() -> None:
    weekly = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-12-30"}
    (days,) = schema_of(weekly | {"resolution": "day", "step": 7}).numbers
    ends = [int(np.datetime64(day, "us").astype(np.int64)) for day in ("2020-02-02", "2020-11-11")]
    left = narrowed(days, (float(ends[0]), float(ends[1])))
    assert isinstance(left, DatetimeAttribute)
    assert [f"{x:%Y-%m-%d}" for x in (left.minimum, left.maximum)] == ["2020-02-05", "2020-11-11"]


def test_gaps_of_such_an_order_are_counted_in_steps() -> None:
    weekly = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-12-30"}
    schema = schema_of(weekly | {"resolution": "day", "step": 7}, QUARTERS)
    scale = gap_scale(Gaps(edges=(0, 7, 14, 91)), schema.attributes[0])
    assert (scale.edges.tolist(), scale.most) == ([0, 1, 2, 13], 52)
    hours = gap_scale(Gaps(edges=(0, 1, 24), unit="hours"), schema.attributes[1])
    assert hours.edges.tolist() == [0, 4, 96]
    with pytest.raises(ValueError, match="edges that lie as far apart"):
        gap_scale(Gaps(edges=(0, 1, 2, 30)), schema.attributes[0])


@pytest.mark.parametrize(
    ("attribute", "values", "off"),
    [
        (QUARTERS, ["2020-01-01 00:15", "2020-01-01 00:16", "2021-05-01 00:16", None, "?"], 1),
        ({"kind": "integer", "minimum": 3, "maximum": 93, "step": 5}, [3, 8, 9, 200], 1),
        ({"kind": "real", "minimum": 0, "maximum": 9, "step": 0.1}, [0.1 + 0.2, 0.35, 8.9], 1),
        ({"kind": "real", "minimum": 0, "maximum": 9, "decimals": 1}, [0.35, 8.9], 0),
        ({"kind": "time", "resolution": "minute", "step": 15}, ["10:15", "10:20", "23:59"], 2),
    ],
)
def test_values_off_the_step_are_told_and_counted_where_they_fit(
    attribute: dict[str, Any], values: list[Any], off: int
) -> None:
    schema = schema_of(attribute | {"missing": True})
    (note,) = Codec(schema).encode(pa.table({"x0": values})).notes or (None,)
    assert (0 if note is None else note.off_step) == off
    assert off == 0 or "off the declared step" in str(note)
