"""Hours and weekdays from noised counts: closed where nobody is, even where noise says all."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from silosynth.common.values import HOURS, WEEKDAYS, ClockCells, Clocks, ValueGrid
from silosynth.server.values.hours import _Places, find_law
from silosynth.server.values.pieces import Pieces

MONDAY = 4 * 86_400 * 1_000_000
GRID = ValueGrid(first=MONDAY, stride=900_000_000, decimals=0, points=52 * 7 * 96)
SHOWN = {u: ClockCells(grid=GRID, clocks=Clocks(), unit=u) for u in (HOURS, WEEKDAYS)}
OPEN = np.array([h in range(7, 19) for h in range(24)])


def _pieces(*more: tuple[int, int, float], rows: float = 5_000.0) -> Pieces:
    """Return two pieces of half a year, and others in their place at the end of it."""
    half, end = GRID.points // 2, GRID.points - 96 * 7
    wide = [(0, half, rows / 2), (half, end, rows / 2)]
    start, stop, mass = zip(*wide, *more, strict=True)
    return Pieces(np.array(start), np.array(stop), np.array(mass))


def _counts(rows: float, *, open_: np.ndarray, days: np.ndarray) -> dict[str, np.ndarray]:
    return {HOURS: rows * open_ / open_.sum(), WEEKDAYS: rows * days / days.sum()}


def test_hours_that_nobody_is_in_are_closed_and_so_are_days() -> None:
    days = np.array([1.0, 1, 1, 1, 1, 1, 0])
    counts = _counts(5_000.0, open_=OPEN, days=days)
    rng = np.random.default_rng(0)
    noised = {unit: c + rng.normal(0, 25, len(c)) for unit, c in counts.items()}
    law, pieces = find_law(_pieces(), shown=SHOWN, counts=noised, variance=625.0)
    assert law is not None
    assert (np.array(law.hours) > 0).tolist() == OPEN.tolist()
    assert (np.array(law.weekdays) > 0).tolist() == (days > 0).tolist()
    assert pieces.mass == pytest.approx(_pieces().mass)


def test_what_noise_alone_makes_is_no_law() -> None:
    even = _counts(5_000.0, open_=np.ones(24), days=np.ones(7))
    found = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        noised = {unit: c + rng.normal(0, 60, len(c)) for unit, c in even.items()}
        law, _ = find_law(_pieces(), shown=SHOWN, counts=noised, variance=3_600.0)
        found += law is not None
    assert found <= 10


def test_narrow_pieces_say_their_hour_themselves() -> None:
    """A night with 400 rows of its own: wide pieces stay away from it, and it stays."""
    night = (GRID.points - 96 * 2 + 8, GRID.points - 96 * 2 + 12, 400.0)
    counts = _counts(5_000.0, open_=OPEN, days=np.ones(7))
    counts[HOURS][2] += 400.0
    counts[WEEKDAYS][5] += 400.0
    law, pieces = find_law(_pieces(night), shown=SHOWN, counts=counts, variance=1.0)
    assert law is not None
    assert law.hours[2] < max(law.hours) / 20
    assert pieces.mass[-1] == pytest.approx(400.0, rel=0.1)


def test_narrow_pieces_where_nobody_was_counted_are_noise() -> None:
    night = (GRID.points - 96 * 2 + 8, GRID.points - 96 * 2 + 12, 30.0)
    counts = _counts(5_000.0, open_=OPEN, days=np.ones(7))
    _, pieces = find_law(_pieces(night), shown=SHOWN, counts=counts, variance=100.0)
    assert len(pieces.mass) == 2


def test_nothing_is_made_of_no_counts_and_no_pieces() -> None:
    none = Pieces(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    assert find_law(none, shown=SHOWN, counts={}, variance=1.0) == (None, none)
    counts = _counts(5_000.0, open_=OPEN, days=np.ones(7))
    assert find_law(none, shown=SHOWN, counts=counts, variance=1.0) == (None, none)


def test_a_piece_for_each_of_many_moments_takes_no_gigabytes() -> None:
    start = np.arange(GRID.points)
    pieces = Pieces(start, start + 1, np.ones(GRID.points))
    counts = _counts(GRID.points, open_=OPEN, days=np.ones(7))
    tracemalloc.start()
    try:
        law, left = find_law(pieces, shown=SHOWN, counts=counts, variance=4.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert law is not None
    assert left.start.tolist() == np.flatnonzero(np.tile(np.repeat(OPEN, 4), 52 * 7)).tolist()
    assert peak < 64 * 2**20


def test_pieces_are_in_the_cells_of_all_their_points() -> None:
    """Brief ones, those over an hour's or a day's end, and those in which clocks turn."""
    clocks = Clocks(turns=(1_001,), ahead=(0, 3_600))
    shown = {u: ClockCells(grid=GRID, clocks=clocks, unit=u) for u in (HOURS, WEEKDAYS)}
    start = np.array([0, 1, 6, 94, 200, 999, 1_001, 2_000, 3_000])
    stop = np.array([1, 4, 10, 98, 204, 1_001, 1_005, 2_040, 3_672])
    places = _Places.of(Pieces(start, stop, np.arange(1.0, 10.0)), parts=shown)
    assert places.mass.sum() == pytest.approx(45.0)
    assert places.rows[0] == places.rows[1] != places.rows[2]
    for unit, part in shown.items():
        brute = [
            np.bincount(part.find(np.arange(a, b)), minlength=part.cells) / (b - a)
            for a, b in zip(start, stop, strict=True)
        ]
        assert places.of_units([unit])[places.rows] == pytest.approx(np.array(brute), abs=0.01)
