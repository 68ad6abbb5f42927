"""Statistical privacy of one count: what is hidden by not knowing the rows, beside the noise.

The attacker knows how many rows there are and with which chance each is in the cell, and no row.
Then the others' part of a count is binomial, and hides a row as noise does (Breutigam and Reischuk
2025, arXiv 2501.12893). It is a statement about such attackers alone, and no part of any budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from silosynth.common.accounting.noise import Noise
from silosynth.common.errors import InvalidArgument

MOST_ROWS = 10**9
_MOST_STEPS = 2**31
_MOST_WIDE = 2**24
_TAIL = 1e-15
"""What is left out at each end of a law; it is added to delta."""

_BISECTIONS = 60
_LARGEST_EPSILON = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLaw:
    """The law of a noised count whose rows an attacker does not know.

    ``chances`` are of consecutive whole numbers; ``outside`` is at least what they leave out.
    """

    chances: np.ndarray
    outside: float

    def delta(self, epsilon: float) -> float:
        """Return the delta at an epsilon, of one row in the cell beside the same row out of it.

        Guarantees: no less than the true one, but for the rounding of float64 sums.
        """
        out, within = np.append(self.chances, 0.0), np.insert(self.chances, 0, 0.0)
        grown = math.exp(epsilon)
        both = (out - grown * within, within - grown * out)
        return max(float(np.maximum(d, 0.0).sum()) for d in both) + (1 + grown) * self.outside

    def epsilon(self, delta: float) -> float:
        """Return the least epsilon at a delta, rounded up; infinity where there is none."""
        low, high = 0.0, 1.0
        if self.delta(low) <= delta:
            return low
        while self.delta(high) > delta:
            high *= 2
            if high > _LARGEST_EPSILON:
                return math.inf
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.delta(middle) > delta else (low, middle)
        return high


def count_law(*, rows: int, chance: float, noise: Noise | None) -> CountLaw:
    """Return the law of a count of ``rows - 1`` unknown rows with discrete Gaussian noise.

    Args:
        chance: of each row, by itself, to be in the cell. noise: None without any.

    Raises InvalidArgument for numbers out of range, or laws too wide to be convolved exactly.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise InvalidArgument(f"{rows} rows are not between 1 and {MOST_ROWS}")
    if not 0 <= chance <= 1:
        raise InvalidArgument(f"{chance} is no chance", hint="give a share between 0 and 1")
    others = _binomial(rows - 1, chance)
    widened = np.ones(1) if noise is None else _gaussian(float(noise.sigma2))
    if len(others) * len(widened) > _MOST_STEPS:
        raise _too_wide()
    ends = 2 * _TAIL * ((len(others) > 1) + (noise is not None))
    return CountLaw(chances=np.convolve(others, widened), outside=ends)


def _binomial(count: int, chance: float) -> np.ndarray:
    """Return the chances of the numbers around the mean, beyond which there is less than a tail.

    The window is by Bernstein's inequality.
    """
    if count == 0 or chance in (0.0, 1.0):
        return np.ones(1)
    log = -math.log(_TAIL)
    spread = log / 3 + math.sqrt(log**2 / 9 + 2 * log * count * chance * (1 - chance))
    mean = count * chance
    at = np.arange(max(math.floor(mean - spread), 0), min(math.ceil(mean + spread), count) + 1)
    # By ratios of neighbours: logarithms of factorials are too large to tell them apart.
    steps = np.log(count - at[:-1]) - np.log(at[:-1] + 1)
    logs = np.concatenate(([0.0], np.cumsum(steps + math.log(chance) - math.log1p(-chance))))
    return _normed(logs)


def _gaussian(sigma2: float) -> np.ndarray:
    """Return the chances of a discrete Gaussian, out to where less than a tail is left."""
    edge = math.ceil(math.sqrt(2 * sigma2 * -math.log(_TAIL / 2))) + 1
    if edge > _MOST_WIDE:
        raise _too_wide()
    return _normed(-(np.arange(-edge, edge + 1) ** 2) / (2 * sigma2))


def _too_wide() -> InvalidArgument:
    """Return the error of a law that would take too long."""
    return InvalidArgument(
        "the count's law and its noise are too wide to be convolved exactly",
        hint="give fewer rows",
    )


def _normed(logs: np.ndarray) -> np.ndarray:
    """Return chances that add up to one from their logarithms, which may all be off by as much."""
    chances = np.exp(logs - logs.max())
    normed: np.ndarray = chances / chances.sum()
    return normed
