"""Whether a table can be made again, and what its sampler weighs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from silosynth.common.report import Axis, Better, Measure
from silosynth.common.sampler import DrawsRows
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import rows_with_keys

AGAIN = "made again from what left the silos, same bytes"
_ROWS = 1_000
_TIMED_ROWS = 20_000


def reuse_measures(
    sampler: DrawsRows, *, sampler_bytes: int, epsilon: float | None, seed: int
) -> list[Measure]:
    """Ask the sampler twice with one seed, and compare every value; it costs no privacy."""
    rows = _rows_of(sampler, most=_ROWS)
    same = draw(sampler, rows=rows, seed=seed).equals(draw(sampler, rows=rows, seed=seed))
    found = [
        _measure("drawn again, same rows", float(same), Better.HIGH),
        _measure("bytes of the sampler", float(sampler_bytes), Better.LOW),
    ]
    if epsilon is not None:
        found.append(_measure("epsilon spent once, for any number of rows", epsilon, Better.LOW))
    return found


def again_measure(same: bool) -> Measure:
    """Say whether the sampler came out the same, byte for byte, from what left the silos."""
    return _measure(AGAIN, float(same), Better.HIGH)


def run_measures(figures: Mapping[str, float]) -> list[Measure]:
    """Return what a run cost, to three digits: other runs of one plan differ by more."""
    return [_measure(n, float(f"{value:.3g}"), Better.LOW) for n, value in figures.items()]


def drawing_speed(sampler: DrawsRows, *, seed: int) -> Measure:
    """Return how many rows a second are drawn here, to two digits."""
    rows = _rows_of(sampler, most=_TIMED_ROWS)
    started = time.perf_counter()
    draw(sampler, rows=rows, seed=seed)
    speed = rows / max(time.perf_counter() - started, 1e-6)
    return _measure("rows drawn a second", float(f"{speed:.2g}"), Better.HIGH)


def _rows_of(sampler: DrawsRows, *, most: int) -> int:
    """Return how many rows can be drawn, whose keys may be few."""
    schema = sampler.schema
    return rows_with_keys(schema.attributes, schema.ruled, most=most)


def _measure(name: str, value: float, better: Better) -> Measure:
    return Measure(axis=Axis.REUSE, name=name, value=value, better=better)
