"""The points that values are drawn from are those of the declared form."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from silosynth.common.codec import Codec, Form
from silosynth.common.plan.values import check_trees, plan_trees
from silosynth.common.schema import parse_schema
from silosynth.common.values import Spread, grid_of, parse_spread, sum_levels

DAY = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-12-31"}


def spelled(attribute: dict[str, Any]) -> list[str]:
    """Draw from one even piece a code, and spell the values."""
    schema = parse_schema(
        {"name": "t", "attributes": [{"name": "x", "source": "public"} | attribute]}
    )
    (number,) = schema.numbers
    grid = grid_of(number)
    assert grid is not None
    edges = tuple(int(k) for k in np.linspace(0, grid.points, number.values + 1)[1:-1])
    none = np.zeros(0, dtype=np.int64)
    spread = Spread(grid=grid, edges=edges, start=none, stop=none, mass=none)
    codes = np.arange(200, dtype=np.uint16) % number.values
    table = Codec(schema).decode(
        (codes,), uniform=np.random.default_rng(1).random, form=Form.SPELLED, spreads={"x": spread}
    )
    texts: list[str] = table["x"].to_pylist()
    return texts


@pytest.mark.parametrize(
    ("attribute", "pattern"),
    [
        (DAY | {"resolution": "day"}, r"2020-\d\d-\d\d"),
        (DAY | {"resolution": "day", "format": "%d.%m.%Y"}, r"\d\d\.\d\d\.2020"),
        (DAY | {"resolution": "hour"}, r"2020-\d\d-\d\d \d\d:00"),
        (DAY | {"resolution": "minute", "zone": "UTC"}, r"2020-\d\d-\d\d \d\d:\d\d\+00:00"),
        ({"kind": "time", "resolution": "minute"}, r"\d\d:\d\d"),
        ({"kind": "duration", "minimum": 0, "maximum": 9000, "format": "clock"}, r"\d:\d\d:\d\d"),
        ({"kind": "integer", "minimum": 0, "maximum": 500, "step": 50}, r"\d*[05]0|0"),
        ({"kind": "real", "minimum": 0, "maximum": 9, "decimals": 2}, r"\d(\.\d{1,2})?"),
        ({"kind": "real", "minimum": 0, "maximum": 9, "step": 0.25}, r"\d(\.0|\.25|\.5|\.75)?"),
        (DAY | {"resolution": "month", "minimum": "1990-01-01"}, r"(19|20)\d\d-\d\d"),
        (DAY | {"resolution": "month", "format": "%d/%m/%Y"}, r"01/\d\d/2020"),
        (
            {"kind": "real", "minimum": 0, "maximum": 9000, "decimals": 2}
            | {"spelled": {"prefix": "$", "thousands": ",", "places": 2}},
            r"\$[\d,]+\.\d\d",
        ),
    ],
)
def test_values_drawn_from_pieces_have_the_form(attribute: dict[str, Any], pattern: str) -> None:
    assert all(re.fullmatch(pattern, text) for text in spelled(attribute))


@pytest.mark.parametrize(
    ("attribute", "first", "last", "points"),
    [
        ({"kind": "real", "minimum": 0, "maximum": 9, "step": 0.25}, 0.0, 9.0, 37),
        ({"kind": "real", "minimum": 0.1, "maximum": 1.5, "step": 0.3}, 0.1, 1.3, 5),
        ({"kind": "real", "minimum": -1e6, "maximum": 1e6, "step": 0.01}, -1e6, 1e6, 200_000_001),
        ({"kind": "real", "minimum": 0, "maximum": 3e22, "step": 1e21}, 0.0, 3e22, 31),
        (DAY | {"resolution": "month"}, "2020-01-01", "2020-12-01", 12),
        (
            {"kind": "datetime", "minimum": "1919-12-31", "maximum": "2001-01-01"}
            | {"resolution": "year"},
            "1920-01-01",
            "2001-01-01",
            82,
        ),
    ],
)
def test_points_are_those_of_the_step_whatever_it_is(
    attribute: dict[str, Any], first: float | str, last: float | str, points: int
) -> None:
    schema = parse_schema({"name": "t", "attributes": [{"name": "x"} | attribute]})
    grid = grid_of(schema.numbers[0])
    assert grid is not None
    assert grid.points == points
    ends = grid.values(np.array([0, points - 1])).tolist()
    if isinstance(first, str):
        ends = [str(np.datetime64(n, "us").astype("datetime64[D]")) for n in ends]
    assert ends == [first, last]


@pytest.mark.parametrize(
    "attribute",
    [
        {"kind": "real", "minimum": -0.3, "maximum": 70, "step": 0.7},
        {"kind": "real", "minimum": 0, "maximum": 40, "step": 0.01},
        DAY | {"resolution": "month", "minimum": "1871-03-05"},
        DAY | {"resolution": "year", "minimum": "1707-03-05"},
    ],
)
def test_every_value_of_a_step_has_a_point_of_its_own(attribute: dict[str, Any]) -> None:
    schema = parse_schema({"name": "t", "attributes": [{"name": "x"} | attribute]})
    grid = grid_of(schema.numbers[0])
    assert grid is not None
    points = np.arange(grid.points)
    numbers = grid.values(points)
    assert grid.find(numbers.astype(np.float64)).tolist() == points.tolist()
    assert [grid.at_or_above(float(n)) for n in numbers] == points.tolist()
    far = np.array([-np.inf, -1e300, 1e300, np.inf])
    assert grid.find(far).tolist() == [0, 0, grid.points - 1, grid.points - 1]
    for point in (1, grid.points // 2, grid.points - 1):
        edge = grid.edge(point)
        below = np.nextafter(edge, -np.inf) if grid.real else edge - 1.0
        assert grid.find(np.array([below - 1e-9, edge + 1e-9 * grid.real])).tolist() == [
            point - 1,
            point,
        ]


def test_a_plan_whose_stepped_numbers_have_no_tree_is_read_as_ever() -> None:
    step = {"name": "x", "kind": "real", "minimum": 0, "maximum": 90, "step": 0.5}
    schema = parse_schema({"name": "t", "attributes": [step, {"name": "d"} | DAY]})
    trees = plan_trees(schema)
    assert set(trees) == {"x", "d"}
    check_trees({"d": trees["d"]}, schema)
    assert "months" not in trees["x"].model_dump(mode="json")


@pytest.mark.parametrize("resolution", ["month", "year"])
def test_a_spread_of_months_is_read_again_as_it_was_written(resolution: str) -> None:
    months = DAY | {"name": "m", "resolution": resolution, "minimum": "1920-01-01"}
    schema = parse_schema({"name": "t", "attributes": [months]})
    (number,) = schema.numbers
    grid = grid_of(number)
    assert grid is not None
    tree = plan_trees(schema)["m"]
    assert type(tree).model_validate(tree.model_dump(mode="json")).grid == grid
    none = np.zeros(0, dtype=np.int64)
    spread = Spread(grid=grid, edges=(3,), start=none, stop=none, mass=none)
    assert parse_spread(spread.dump()).grid == grid


@pytest.mark.parametrize(
    "attribute",
    [
        {"kind": "real", "minimum": -0.3, "maximum": 7000, "step": 0.7},
        DAY | {"resolution": "month", "minimum": "1871-03-05"},
        DAY | {"resolution": "year", "minimum": "1707-03-05"},
    ],
)
def test_one_row_more_moves_one_node_of_each_level_by_one(attribute: dict[str, Any]) -> None:
    schema = parse_schema({"name": "t", "attributes": [{"name": "x"} | attribute]})
    tree = plan_trees(schema)["x"]
    numbers = tree.grid.values(np.arange(tree.points)).astype(np.float64)
    odd = np.concatenate((numbers - 0.3, numbers + 0.3, [-np.inf, np.inf, 0.0]))
    for number in np.append(numbers[::7], odd[::11]):
        cell = tree.leaves.find(tree.grid.find(np.array([number])))
        one = np.bincount(cell, minlength=tree.leaves.cells)
        assert len(one) == tree.leaves.cells
        assert all(level.sum() == level.max() == 1 for level in sum_levels(one, leaves=tree.leaves))
