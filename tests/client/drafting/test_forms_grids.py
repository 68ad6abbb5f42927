"""Drafts find the points that values lie on, and those values come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import Codec
from silosynth.common.schema import parse_schema

RNG = np.random.default_rng(5)
MONTHS = [f"{2000 + k // 12}-{k % 12 + 1:02}-01" for k in RNG.integers(0, 200, 900)]


def drafted(values: Any) -> dict[str, Any]:
    draft = draft_schema(pa.table({"x": values, "y": [True] * len(values)}), name="t")
    attribute: dict[str, Any] = yaml.safe_load(draft.text())["attributes"][0]
    return attribute


def through_codes(values: pa.Array, attribute: dict[str, Any]) -> pa.ChunkedArray:
    """Encode and decode values by an attribute's schema."""
    schema = parse_schema({"name": "t", "attributes": [attribute | {"source": "public"}]})
    codec = Codec(schema)
    encoded = codec.encode(pa.table({attribute["name"]: values}))
    return codec.decode(encoded.codes, uniform=np.random.default_rng(1).random)[attribute["name"]]


@pytest.mark.parametrize(
    ("ticks", "places", "step"),
    [(5, 1, 0.5), (25, 2, 0.25), (20, 2, 0.2), (7, 1, 0.7), (50, 0, 50.0), (125, 3, 0.125)],
)
@pytest.mark.parametrize("text", [False, True])
def test_reals_on_a_coarser_grid_have_its_step(
    ticks: int, places: int, step: float, text: bool
) -> None:
    numbers = RNG.integers(-40, 90, 800) * ticks / 10**places
    values = [f"{n:.3f}" for n in numbers] if text else numbers
    found = drafted(pa.array(values))
    if step == 0.2 or (step == 50.0 and not text):
        assert found.get("step") in (step, None)
    else:
        assert (found["step"], found.get("decimals")) == (step, None)
    back = through_codes(pa.array(values), found | ({"stored": "double"} if text else {}))
    assert set(np.rint(np.asarray(back, dtype=float) * 10**places).astype(int) % ticks) == {0}


def test_whole_numbers_off_zero_have_their_step() -> None:
    found = drafted(pa.array(RNG.integers(0, 100, 900) * 5 + 3))
    assert (found["kind"], found["step"], found["minimum"] % 5) == ("integer", 5, 3)
    assert found["maximum"] % 5 == 3


def test_few_values_or_many_off_the_grid_have_no_step() -> None:
    assert "step" not in drafted(pa.array([0.5, 1.5, 2.5] * 30))
    loose = np.append(RNG.integers(0, 90, 800) * 5 / 10, 0.3)
    found = drafted(pa.array(loose))
    assert (found.get("step"), found["decimals"]) == (None, 1)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(MONTHS),
        pa.array([f"{m[8:]}/{m[5:7]}/{m[:4]}" for m in MONTHS]),
        pa.array(MONTHS).cast(pa.date32()),
        pa.array(MONTHS).cast(pa.timestamp("ns")),
    ],
    ids=["iso", "slashes", "date32", "timestamp"],
)
def test_firsts_of_months_are_months_and_stay_days_as_they_are_written(values: pa.Array) -> None:
    found = drafted(values)
    assert found["resolution"] == "month"
    back = through_codes(values, found)
    parsed = pd.to_datetime(
        pd.Series(back.to_pylist()), dayfirst=values[0].as_py().__str__()[2] == "/", format=None
    )
    assert set(parsed.dt.day) == {1}
    if found.get("stored"):
        assert back.type == values.type or pa.types.is_temporal(back.type)


def test_days_that_are_not_firsts_or_few_stay_days() -> None:
    assert drafted(pa.array(["2020-01-01", "2021-01-01", "2022-01-01"]))["resolution"] == "day"
    assert drafted(pa.array([*MONTHS, "2003-04-02"]))["resolution"] == "day"


@pytest.mark.parametrize(
    "zone", ["America/New_York", "America/Sao_Paulo", "Asia/Beirut", "Europe/Berlin", "+05:30"]
)
def test_midnights_of_a_zone_are_its_days_whatever_its_clocks_do(zone: str) -> None:
    days = pd.date_range("2010-01-01", "2018-12-31", freq="D")
    local = pa.array(days.to_numpy().astype("datetime64[us]"))
    midnights = pc.assume_timezone(local, timezone=zone, ambiguous="earliest", nonexistent="latest")
    usual = midnights if zone not in ("America/Sao_Paulo", "Asia/Beirut") else None
    if usual is not None:
        found = drafted(usual)
        assert (found["resolution"], found["zone"]) == ("day", zone)
    declared = {"name": "x", "kind": "datetime", "minimum": "2010-01-01", "maximum": "2018-12-31"}
    declared |= {"resolution": "day", "zone": zone, "bins": {"kind": "width", "count": 3287}}
    back = through_codes(midnights, declared)
    assert back.type == pa.timestamp("us", tz=zone)
    assert back.to_pylist() == midnights.to_pylist()


def test_text_with_the_offsets_of_a_zone_is_days_of_it() -> None:
    days = pd.date_range("2019-01-01", periods=900, tz="Europe/Berlin")
    texts = pa.array([d.strftime("%Y-%m-%dT%H:%M:%S%z") for d in days])
    found = drafted(texts)
    assert (found["resolution"], found["zone"]) == ("day", "Europe/Berlin")
    back = through_codes(texts, found)
    assert set(
        pd.to_datetime(pd.Series(back.to_pylist()), utc=True).dt.tz_convert("Europe/Berlin").dt.hour
    ) == {0}
