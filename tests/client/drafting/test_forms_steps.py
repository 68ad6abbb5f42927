"""Moments and spans that lie a step apart are drafted so, and come back on their points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import Codec, Form
from silosynth.common.schema import parse_schema
from silosynth.common.values import Spread, grid_of

RNG = np.random.default_rng(3)
BEGIN = pd.Timestamp("2021-03-01")
QUARTERS = [BEGIN + pd.Timedelta(minutes=15 * int(k)) for k in RNG.integers(0, 30_000, 900)]
LATER = [t + pd.Timedelta(minutes=7) for t in QUARTERS]


def drafted(values: Any) -> dict[str, Any]:
    draft = draft_schema(pa.table({"x": values, "y": [True] * len(values)}), name="t")
    attribute: dict[str, Any] = yaml.safe_load(draft.text())["attributes"][0]
    return attribute


def drawn(attribute: dict[str, Any], *, form: Form, rows: int = 500) -> pa.Array:
    """Draw evenly over the points of an attribute's tree."""
    schema = parse_schema({"name": "t", "attributes": [attribute | {"source": "public"}]})
    (number,) = schema.numbers
    grid = grid_of(number)
    assert grid is not None
    edges = tuple(int(k) for k in np.linspace(0, grid.points, number.values + 1)[1:-1])
    none = np.zeros(0, dtype=np.int64)
    spread = Spread(grid=grid, edges=edges, start=none, stop=none, mass=none)
    codes = np.arange(rows, dtype=np.uint16) % number.values
    random = np.random.default_rng(1).random
    table = Codec(schema).decode((codes,), uniform=random, form=form, spreads={"x": spread})
    return table[attribute["name"]].combine_chunks()


@pytest.mark.parametrize(
    ("texts", "resolution", "step", "minimum"),
    [
        ([f"{t:%Y-%m-%d %H:%M}" for t in QUARTERS], "minute", 15, "2021-01-01T00:00:00"),
        ([f"{t:%Y-%m-%d %H:%M:%S}" for t in QUARTERS], "minute", 15, "2021-01-01T00:00:00"),
        ([f"{t:%d.%m.%Y %H:%M:%S}" for t in QUARTERS], "minute", 15, "2021-01-01T00:00:00"),
        ([f"{t:%d/%m/%Y %I:%M %p}" for t in LATER], "minute", 15, "2021-01-01T00:07:00"),
        ([f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in LATER], "minute", 15, "2021-01-01T00:07:00"),
        ([f"{t:%Y-%m-%d %H:%M:%S} UTC" for t in QUARTERS], "minute", 15, "2021-01-01T00:00:00"),
        ([f"{t.round('h'):%Y-%m-%d} 12:00" for t in QUARTERS], "hour", 24, "2021-01-01T12:00:00"),
        (
            [f"{BEGIN + pd.Timedelta(days=7 * int(k)):%Y-%m-%d}" for k in RNG.integers(0, 99, 900)],
            *("day", 7, "2021-01-04T00:00:00"),
        ),
        (
            [f"{BEGIN + pd.Timedelta(hours=6 * int(k)):%Y-%m-%d %H:%M}" for k in range(900)],
            *("hour", 6, "2021-01-01T00:00:00"),
        ),
        (
            [f"{BEGIN + pd.Timedelta(seconds=10 * int(k)):%Y-%m-%d %H:%M:%S}" for k in range(900)],
            *("second", 10, "2021-01-01T00:00:00"),
        ),
    ],
)
def test_moments_of_a_step_are_drafted_with_it_and_come_back_on_it(
    texts: list[str], resolution: str, step: int, minimum: str
) -> None:
    found = drafted(pa.array(texts))
    assert (found["kind"], found["resolution"], found["step"]) == ("datetime", resolution, step)
    assert str(found["minimum"]).replace(" ", "T") == minimum
    schema = parse_schema({"name": "t", "attributes": [found | {"source": "public"}]})
    back = drawn(found, form=Form.SPELLED)
    again = drafted(back)
    assert (again["step"], again["resolution"]) == (step, resolution)
    assert str(again["minimum"])[10:] == str(found["minimum"])[10:]
    # What was written is read, at a point of its own.
    (number,) = schema.numbers
    encoded = Codec(schema).encode(pa.table({"x": pa.array(texts)}))
    assert not any(note.unreadable or note.clipped for note in encoded.notes)
    assert number.edges()[0] == number.limits()[0]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "+05:45", "UTC"])
def test_a_step_beside_a_zone_is_of_its_clocks_whatever_they_do(zone: str) -> None:
    sixths = pa.array(pd.date_range("2019-01-01", "2022-12-31", freq="6h").values)
    typed = pc.assume_timezone(
        sixths.cast(pa.timestamp("us")), timezone=zone, ambiguous="earliest", nonexistent="latest"
    )
    found = drafted(typed)
    assert (found["resolution"], found["step"], found["zone"]) == ("hour", 6, zone)
    back = drawn(found, form=Form.TYPED)
    local = pc.local_timestamp(back.cast(pa.timestamp("us", tz=zone)))
    assert {t.hour for t in local.to_pylist()} == {0, 6, 12, 18}


def test_what_clocks_leave_out_or_have_twice_comes_out_as_a_moment() -> None:
    """Half past two is left out in March and comes twice in October: one of each comes out."""
    facts = {"name": "x", "kind": "datetime", "resolution": "minute", "step": 30}
    facts |= {"zone": "Europe/Berlin", "bins": {"kind": "width", "count": 4096}}
    for day, clocks in (("2021-03-28", {"01:30", "03:00"}), ("2021-10-31", {"02:00", "02:30"})):
        ends = {"minimum": f"{day}T01:30", "maximum": f"{day}T03:00"}
        back = drawn(facts | ends, form=Form.TYPED)
        local = {f"{t:%H:%M}" for t in pc.local_timestamp(back).to_pylist()}
        assert clocks <= local <= {"01:30", "02:00", "02:30", "03:00"}
        assert back.null_count == 0
    twice = pa.array(["2021-10-31T02:30:00+02:00", "2021-10-31T02:30:00+01:00"])
    declared = facts | {"minimum": "2021-01-01", "maximum": "2021-12-31T23:30"}
    schema = parse_schema({"name": "t", "attributes": [declared | {"source": "public"}]})
    one, other = Codec(schema).encode(pa.table({"x": twice})).codes[0].tolist()
    assert one == other


@pytest.mark.parametrize(
    ("values", "kind", "facts"),
    [
        ([f"{t:%H:%M}" for t in QUARTERS], "time", {"resolution": "minute", "step": 15}),
        (
            [f"{t:%H:%M}" for t in LATER],
            *("time", {"step": 15, "minimum": "00:07:00", "maximum": "23:52:00"}),
        ),
        ([t.time() for t in QUARTERS], "time", {"resolution": "second", "step": 900}),
        (
            [pd.Timedelta(minutes=30 * int(k)) for k in RNG.integers(0, 200, 900)],
            *("duration", {"resolution": "minute", "step": 30}),
        ),
        (
            [f"{k // 2}:{k % 2 * 30 + 5:02}:00" for k in RNG.integers(1, 200, 900)],
            *("duration", {"resolution": "minute", "step": 30, "minimum": "0 00:05:00"}),
        ),
    ],
)
def test_clocks_and_spans_of_a_step_are_drafted_with_it(
    values: list[Any], kind: str, facts: dict[str, Any]
) -> None:
    found = drafted(pa.array(values))
    assert found["kind"] == kind
    assert {name: found.get(name) for name in facts} == facts
    unit = {"second": 1, "minute": 60}[found["resolution"]]
    back = drawn({**found, "stored": None, "format": None}, form=Form.TYPED)
    spans = back.cast(pa.int64()) if kind == "duration" else back.cast(pa.time64("us"))
    ticks = spans.cast(pa.int64()).to_numpy()
    low = 0 if kind == "time" and "minimum" not in found else ticks.min()
    assert set((ticks - low) % (unit * found["step"] * 10**6)) == {0}


def test_the_end_of_a_day_comes_out_as_its_last_point() -> None:
    found = {"name": "x", "kind": "time", "resolution": "minute", "step": 15}
    back = drawn(found | {"minimum": "23:30"}, form=Form.TYPED)
    assert {f"{t:%H:%M:%S}" for t in back.to_pylist()} == {"23:30:00", "23:45:00"}


def test_few_moments_or_one_beside_the_points_have_no_step() -> None:
    assert "step" not in drafted(pa.array([f"2021-03-01 {h:02}:15" for h in range(20)] * 9))
    odd = [*QUARTERS, BEGIN + pd.Timedelta(minutes=4)]
    assert "step" not in drafted(pa.array([f"{t:%Y-%m-%d %H:%M}" for t in odd]))


def test_a_drafts_step_says_why() -> None:
    values = pa.array([f"{t:%Y-%m-%d %H:%M}" for t in QUARTERS])
    notes = draft_schema(pa.table({"x": values, "y": [True] * 900}), name="t").notes
    assert "x: all lie a multiple of 15 minutes apart; take step out if others may not" in notes


@settings(max_examples=60, deadline=None)
@given(
    step=st.sampled_from([5, 10, 12, 15, 20, 30, 45, 90, 360, 720, 1440, 2880, 10080]),
    off=st.integers(0, 1439),
    seed=st.integers(0, 99),
    zone=st.sampled_from([None, "UTC", "Europe/Berlin", "America/Sao_Paulo"]),
)
def test_any_step_of_minutes_is_found_and_kept(
    step: int, off: int, seed: int, zone: str | None
) -> None:
    rng = np.random.default_rng(seed)
    ticks = (off % min(step, 1440) + step * rng.integers(0, 4_000, 600)) * 60_000_000
    values = pa.array(ticks + 1_546_300_800_000_000).cast(pa.timestamp("us"))
    if zone is not None:
        values = pc.assume_timezone(
            values, timezone=zone, ambiguous="earliest", nonexistent="latest"
        )
    found = drafted(values)
    if "step" not in found:
        # Days are a resolution, and a clock that was left out lies on no point.
        assert (step, off) == (1440, 0) or zone in ("Europe/Berlin", "America/Sao_Paulo")
        return
    back = drawn(found, form=Form.TYPED, rows=200)
    local = back if zone is None else pc.local_timestamp(back.cast(pa.timestamp("us", tz=zone)))
    unit = {"minute": 1, "hour": 60, "day": 1440}[found["resolution"]]
    apart = unit * found["step"] * 60_000_000
    whole = local.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    low = np.datetime64(str(found["minimum"]).replace(" ", "T"), "us").astype(np.int64)
    off_points = (whole - low) % apart != 0
    assert off_points.mean() <= (0 if zone in (None, "UTC") else 0.01)


@pytest.mark.parametrize(
    ("hours", "apart", "days", "told"),
    [
        (range(7, 19), 15, 300, True),
        (range(7, 19), 1, 300, True),
        (range(24), 15, 300, False),
        (range(7, 19), 15, 20, False),
        ((0, 6, 12, 18), 360, 300, False),
        ((9,), 1, 300, True),
    ],
)
def test_hours_of_the_day_that_are_hardly_kept_are_told(
    hours: Any, apart: int, days: int, told: bool
) -> None:
    rng = np.random.default_rng(2)
    at = rng.integers(0, days, 1200) * 1440 + rng.choice(list(hours), 1200) * 60
    at += 0 if apart == 360 else rng.integers(0, 60 // apart, 1200) * apart
    values = pa.array([f"{BEGIN + pd.Timedelta(minutes=int(k)):%Y-%m-%d %H:%M}" for k in at])
    notes = draft_schema(pa.table({"x": values, "y": [True] * 1200}), name="t").notes
    assert any("part the column into a day and a time of day" in n for n in notes) is told
