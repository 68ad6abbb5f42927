"""An estimate and its interval, from one sampler and its replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from silosynth.common.errors import InvalidArgument

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What is estimated of a group, its standard error, and the two ends of its interval.

    ``group`` is what the rows have in common, empty for all. An end may be infinite and the
    estimate NaN, where replicates do not have what is estimated.
    """

    name: str
    group: str
    estimate: float
    error: float
    low: float
    high: float


def check_level(level: float) -> None:
    """Raise InvalidArgument unless intervals can be meant to cover so often."""
    if not 0.5 <= level < 1:
        raise InvalidArgument(f"a level of {level:g} is not from 0.5 to below 1", hint="use 0.95")


def interval_of(
    estimate: float,
    others: Sequence[float],
    *,
    name: str,
    group: str = "",
    level: float = LEVEL,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Return the interval around an estimate whose replicates came to ``others``.

    The variance between replicates already holds the noise and that rows are a sample of people,
    so Rubin's rule (1987) is left with its second part, (1 + 1/M) times that variance, and M - 1
    degrees of freedom; the rows drawn add nothing that could be named, for as many are drawn as
    one likes.

    Args: within: what the estimate can be at all.
    """
    check_level(level)
    known = all(map(math.isfinite, (estimate, *others)))
    if not known or len(others) < 2:
        low, high = within
        return Interval(
            name=name, group=group, estimate=estimate, error=math.nan, low=low, high=high
        )
    count = len(others)
    error = float(np.std(others, ddof=1)) * math.sqrt(1 + 1 / count)
    side = float(student.ppf((1 + level) / 2, count - 1)) * error
    return Interval(
        name=name,
        group=group,
        estimate=estimate,
        error=error,
        low=max(estimate - side, within[0]),
        high=min(estimate + side, within[1]),
    )
