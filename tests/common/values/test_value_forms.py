"""The points that values are drawn from are those of the declared form."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from silosynth.common.codec import Codec, Form
from silosynth.common.schema import parse_schema
from silosynth.common.values import Spread, grid_of

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
    "attribute",
    [
        {"kind": "real", "minimum": 0, "maximum": 9, "step": 0.25},
        DAY | {"resolution": "month"},
    ],
)
def test_what_has_no_such_points_is_drawn_inside_its_bins(attribute: dict[str, Any]) -> None:
    schema = parse_schema({"name": "t", "attributes": [{"name": "x"} | attribute]})
    assert grid_of(schema.numbers[0]) is None
