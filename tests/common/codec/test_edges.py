"""An edge that is a value but for rounding is that value: none lies in its neighbour's bin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import Codec
from silosynth.common.schema import parse_schema


def bins_come_back(facts: dict[str, Any]) -> None:
    codec = Codec(parse_schema({"name": "t", "attributes": [{"name": "x"} | facts]}))
    codes = np.repeat(np.arange(codec.domain.shape[0], dtype=np.uint16), 4)
    back = codec.encode(codec.decode((codes,), uniform=np.random.default_rng(0).random))
    assert not back.notes
    np.testing.assert_array_equal(back.codes[0], codes)


ROUNDED = {
    "from .1 to .5": {"kind": "real", "minimum": 0.1, "maximum": 0.5, "decimals": 1},
    "from .1 to .3": {"kind": "real", "minimum": 0.1, "maximum": 0.3, "decimals": 1},
    "about zero": {"kind": "real", "minimum": -0.3, "maximum": 0.3, "decimals": 1},
    "cents": {"kind": "real", "minimum": 0.01, "maximum": 0.57, "decimals": 2},
    "a step": {"kind": "real", "minimum": 0.1, "maximum": 2.1, "step": 0.2},
    "a step off zero": {"kind": "real", "minimum": 0.05, "maximum": 1.3, "step": 0.125},
    "sums of tenths": {"kind": "real", "minimum": 0, "maximum": 1, "decimals": 1}
    | {"bins": {"kind": "edges", "edges": [0.1, 0.2, 0.1 + 0.2, 0.1 * 6, 0.7, 0.8, 0.1 * 9]}},
    "quantiles": {"kind": "real", "minimum": 0.1, "maximum": 0.9, "decimals": 2}
    | {"bins": {"kind": "quantiles", "count": 4, "grid": 80}},
    "microseconds": {"kind": "duration", "minimum": 0, "maximum": 0.000990}
    | {"resolution": "microsecond", "bins": {"kind": "width", "count": 990}},
    "milliseconds": {"kind": "duration", "minimum": 0, "maximum": 0.99}
    | {"resolution": "millisecond", "bins": {"kind": "width", "count": 990}},
    "milliseconds about zero": {"kind": "duration", "minimum": -0.3, "maximum": 0.3}
    | {"resolution": "millisecond", "bins": {"kind": "width", "count": 600}},
    "moments": {"kind": "datetime", "minimum": "2019-01-01", "maximum": "2019-01-01T00:00:02"}
    | {"resolution": "millisecond", "bins": {"kind": "width", "count": 2000}},
    "a tick's fraction": {"kind": "datetime", "minimum": "2219-01-01"}
    | {"maximum": "2219-01-01T00:00:00.000700", "bins": {"kind": "width", "count": 7}},
}


@pytest.mark.parametrize("facts", ROUNDED.values(), ids=ROUNDED)
def test_every_bin_holds_the_values_that_are_drawn_in_it(facts: dict[str, Any]) -> None:
    bins_come_back(facts)


@given(
    low=st.integers(-2_000, 2_000),
    points=st.integers(1, 300),
    decimals=st.integers(0, 6),
    step=st.integers(1, 9),
    count=st.integers(1, 300),
    by_step=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_so_does_every_bin_of_any_grid(
    low: int, points: int, decimals: int, step: int, count: int, by_step: bool
) -> None:
    unit = step if by_step else 1
    grid = {"step": step / 10**decimals} if by_step else {"decimals": decimals}
    bins_come_back(
        {"kind": "real", "minimum": low / 10**decimals}
        | {"maximum": (low + points * unit) / 10**decimals}
        | {"bins": {"kind": "width", "count": count}}
        | grid
    )
    bins_come_back(
        {"kind": "duration", "minimum": low / 1e6, "maximum": (low + points) / 1e6}
        | {"resolution": "microsecond", "bins": {"kind": "width", "count": min(count, points)}}
    )
