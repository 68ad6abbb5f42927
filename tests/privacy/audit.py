"""Audit a mechanism in one run: guess of many canaries which were in the data.

Source: Steinke, Nasr, Jagielski 2023, "Privacy Auditing with One (1) Training Run", Theorem 5.2.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom, norm


def audited_epsilon(*, guesses: int, right: int, canaries: int, delta: float) -> float:
    """Return an epsilon that a mechanism does not have, with 95 % confidence, at ``delta``."""
    low, high = 0.0, 20.0
    if _chance(low, guesses, right, canaries, delta) >= 0.05:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        refuted = _chance(middle, guesses, right, canaries, delta) < 0.05
        low, high = (middle, high) if refuted else (low, middle)
    return low


def best_audit(
    scores: np.ndarray, inside: np.ndarray, *, delta: float, counts: tuple[int, ...]
) -> float:
    """Return the largest epsilon that is refuted, guessing as many canaries as each count says.

    The highest half of the guessed are said to be in, the lowest half out; the confidence is of
    each count alone.
    """
    order = np.argsort(scores)
    found = []
    for count in counts:
        low, high = order[: count // 2], order[len(order) - count // 2 :]
        right = int(inside[high].sum() + (~inside[low]).sum())
        found.append(audited_epsilon(guesses=count, right=right, canaries=len(scores), delta=delta))
    return max(found)


def most_right(*, canaries: int, steps: int, rate: float, noise: float) -> int:
    """Return how many right guesses of all canaries the mechanism allows, but for one in a billion.

    A canary adds its own direction in Binomial(steps, rate) of the steps, to noise of sqrt(steps)
    times ``noise`` there. The best guess is by a threshold, and is right with the chance below.
    """
    grid = np.linspace(-1, steps + 1, 2001)
    deviation = math.sqrt(steps) * noise
    times = np.arange(steps + 1)
    above = binom.pmf(times, steps, rate) @ norm.sf((grid - times[:, None]) / deviation)
    chance = float(np.max((above + norm.cdf(grid / deviation)) / 2))
    return int(binom.isf(1e-9, canaries, chance))


def _chance(epsilon: float, guesses: int, right: int, canaries: int, delta: float) -> float:
    """Return the most chance of so many right guesses under (epsilon, delta)."""
    accuracy = 1 / (1 + math.exp(-epsilon))
    beta = binom.sf(right - 1, guesses, accuracy)
    back = np.arange(1, guesses + 1)
    alpha = float(np.max(np.cumsum(binom.pmf(right - back, guesses, accuracy)) / back))
    return float(min(beta + alpha * delta * 2 * canaries, 1.0))
