"""Whether an analyst would draw the same conclusion: coefficients and their intervals."""

from __future__ import annotations

import numpy as np

from silosynth.common.report import Axis, Better, Measure
from silosynth.common.scores import Column, Sides, Values

MOST_NUMBERS = 5
_SIDE = 1.96
_STEPS = 25
_RIDGE = 1e-6
_LARGEST = 20.0

_Fit = tuple[np.ndarray, np.ndarray]


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
) -> _Fit:
    """Return coefficients and their standard errors; a missing number takes the mean."""
    inputs = [
        np.nan_to_num((values.columns[i].numbers - mean) / spread, nan=0.0)
        for i, (mean, spread) in zip(places, scales, strict=True)
    ]
    design = np.stack([np.ones(values.rows), *inputs], axis=1)
    column = values.columns[values.names.index(target)]
    kept = ~column.missing
    if positive is not None:
        return _logistic(design[kept], (column.codes[kept] == positive).astype(np.float64))
    return _linear(design[kept], column.numbers[kept])


def _linear(design: np.ndarray, answer: np.ndarray) -> _Fit:
    """Fit by least squares; leave the intercept out of the answer."""
    inverse = np.linalg.inv(design.T @ design + _RIDGE * np.eye(design.shape[1]))
    found = inverse @ (design.T @ answer)
    rest = answer - design @ found
    variance = float(rest @ rest) / max(len(answer) - design.shape[1], 1)
    return found[1:], np.sqrt(np.maximum(np.diag(inverse) * variance, 0))[1:]


def _logistic(design: np.ndarray, answer: np.ndarray) -> _Fit:
    """Fit by Newton's method, with a ridge that keeps separable tables finite."""
    found = np.zeros(design.shape[1])
    inverse = np.eye(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -_LARGEST, _LARGEST)))
        weight = np.maximum(chance * (1 - chance), _RIDGE)
        inverse = np.linalg.inv((design * weight[:, None]).T @ design + 1e-3 * np.eye(len(found)))
        step = inverse @ (design.T @ (answer - chance) - 1e-3 * found)
        found = np.clip(found + step, -_LARGEST, _LARGEST)
        if np.abs(step).max() < 1e-8:
            break
    return found[1:], np.sqrt(np.diag(inverse))[1:]


def _overlap(first: _Fit, second: _Fit) -> np.ndarray:
    """Return by coefficient how much of both intervals is common, at least 0 (Karr et al. 2006)."""
    low = np.maximum(first[0] - _SIDE * first[1], second[0] - _SIDE * second[1])
    high = np.minimum(first[0] + _SIDE * first[1], second[0] + _SIDE * second[1])
    shared = np.maximum(high - low, 0)
    widths = [2 * _SIDE * np.maximum(f[1], 1e-12) for f in (first, second)]
    found: np.ndarray = (shared / widths[0] + shared / widths[1]) / 2
    return found
