"""Whether an analyst would draw the same conclusion: coefficients and their intervals."""

from __future__ import annotations

import numpy as np

from silosynth.common.report import Axis, Better, Measure
from silosynth.common.scores import Column, Fit, Sides, Values, fit_linear, fit_logistic

MOST_NUMBERS = 5
_SIDE = 1.96


def coefficient_measures(sides: Sides, *, target: str) -> list[Measure]:
    """Return the overlap of 95 % intervals of a regression on up to five numbers.

    Logistic for the rarer of two labels, linear for a number; none for longer lists. Numbers are
    standardised by the real rows. 1 says that both intervals are one.
    """
    real = sides.real
    column = real.columns[real.names.index(target)]
    counts = np.bincount(column.codes)[1:] if column.listed else np.zeros(0)
    places = [
        i
        for i, c in enumerate(real.columns)
        if not c.listed and c.name != target and c.numbers[~c.missing].size and _moves(c)
    ][:MOST_NUMBERS]
    if not places or (column.listed and len(counts[counts > 0]) != 2):
        return []
    positive = None
    if column.listed:
        there = np.flatnonzero(counts) + 1
        positive = int(min(there, key=lambda code: counts[code - 1]))
    scales = [_scale(real.columns[i]) for i in places]
    fits = [
        _fit(side, places, scales, target=target, positive=positive)
        for side in (real, *sides.others())
    ]
    overlaps = [float(_overlap(fits[0], f).mean()) for f in fits[1:]]
    gap = float(np.abs(fits[1][0] - fits[0][0]).max())
    return [
        Measure(
            axis=Axis.UTILITY,
            name="overlap of the intervals of coefficients",
            target=target,
            value=overlaps[0],
            ceiling=overlaps[1],
            floor=overlaps[2],
            better=Better.HIGH,
        ),
        Measure(
            axis=Axis.UTILITY,
            name="largest gap of a coefficient",
            target=target,
            value=gap,
            ceiling=float(np.abs(fits[2][0] - fits[0][0]).max()),
            floor=float(np.abs(fits[3][0] - fits[0][0]).max()),
            better=Better.LOW,
        ),
    ]


def _moves(column: Column) -> bool:
    present = column.numbers[~column.missing]
    return bool(present.min() < present.max())


def _scale(column: Column) -> tuple[float, float]:
    """Return mean and standard deviation of the real numbers."""
    present = column.numbers[~column.missing]
    return float(present.mean()), float(present.std())


def _fit(
    values: Values,
    places: list[int],
    scales: list[tuple[float, float]],
    *,
    target: str,
    positive: int | None,
) -> Fit:
    """Return coefficients and their standard errors; a missing number takes the mean."""
    inputs = [
        np.nan_to_num((values.columns[i].numbers - mean) / spread, nan=0.0)
        for i, (mean, spread) in zip(places, scales, strict=True)
    ]
    design = np.stack([np.ones(values.rows), *inputs], axis=1)
    column = values.columns[values.names.index(target)]
    kept = ~column.missing
    if positive is not None:
        return fit_logistic(design[kept], (column.codes[kept] == positive).astype(np.float64))
    return fit_linear(design[kept], column.numbers[kept])


def _overlap(first: Fit, second: Fit) -> np.ndarray:
    """Return by coefficient how much of both intervals is common, at least 0 (Karr et al. 2006)."""
    low = np.maximum(first[0] - _SIDE * first[1], second[0] - _SIDE * second[1])
    high = np.minimum(first[0] + _SIDE * first[1], second[0] + _SIDE * second[1])
    shared = np.maximum(high - low, 0)
    widths = [2 * _SIDE * np.maximum(f[1], 1e-12) for f in (first, second)]
    found: np.ndarray = (shared / widths[0] + shared / widths[1]) / 2
    return found
