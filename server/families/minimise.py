"""The least of a convex function within bounds, by limited-memory quasi-Newton steps.

The two-loop recursion (Nocedal 1980) on what is not at its bound, points brought back inside
(Bertsekas 1982). Beside a law's rows its unknowns are few, but ten thousand of them are many for a
method that looks for the bound that each step meets first: SciPy's took two thirds of a fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

MEMORY = 8
STILL = 2e-7
"""The share of the value that the last step must have gained for another."""
_ENOUGH = 1e-4
_TRIES = 8
Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def minimise(loss: Loss, *, start: np.ndarray, most: np.ndarray, iterations: int) -> np.ndarray:
    """Return (unknowns,) float64 where ``loss`` is least, none beyond ``most`` either way.

    Args:
        loss: the value and its slope at a point.
        start: (unknowns,) float64, brought inside first.
        iterations: how many steps at most.
    """
    point: np.ndarray = np.clip(start, -most, most)
    value, slope = loss(point)
    steps: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=MEMORY)
    for _ in range(iterations):
        free = ((point > -most) | (slope < 0)) & ((point < most) | (slope > 0))
        downhill = np.where(free, slope, 0.0)
        step = np.where(free, -_curved(downhill, steps), 0.0)
        if step @ downhill >= 0:
            steps.clear()
            step = -downhill
        length = 1.0 if steps else min(1.0, 1.0 / max(float(np.linalg.norm(step)), 1e-12))
        for _ in range(_TRIES):
            ahead = np.clip(point + length * step, -most, most)
            moved = ahead - point
            new, turned = loss(ahead)
            if new <= value + _ENOUGH * float(downhill @ moved):
                break
            length /= 2
        else:
            return point
        change = turned - slope
        if moved @ change > 1e-10 * (change @ change):
            steps.append((moved, change))
        gained = value - new
        point, value, slope = ahead, new, turned
        if gained <= STILL * max(abs(value), 1.0):
            break
    return point


def _curved(slope: np.ndarray, steps: deque[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the slope by what is known of the curvature from the last steps."""
    found, parts = slope.copy(), []
    for moved, change in reversed(steps):
        scale = 1.0 / float(moved @ change)
        part = scale * float(moved @ found)
        found -= part * change
        parts.append((moved, change, scale, part))
    if steps:
        moved, change = steps[-1]
        found *= float(moved @ change) / float(change @ change)
    for moved, change, scale, part in reversed(parts):
        found += (part - scale * float(change @ found)) * moved
    return found
