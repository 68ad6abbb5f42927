"""Model updates as integers, so that they can be noised exactly, masked and summed.

An update is clipped to an L2 norm, multiplied by 2^fraction_bits and rounded to the nearest
integer. What that costs is stated: rounding moves each coordinate by at most half a step, and so a
person's influence by a little, which the sensitivity counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from silosynth.common.errors import InvalidPlan

MOST_FRACTION_BITS = 40
_TAIL = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """How updates of (dimension,) real numbers become integers and back.

    ``clip`` bounds the L2 norm of one person's contribution, ``records`` how many persons one
    silo's update may add up.

    >>> FixedPoint(clip=1.0, dimension=4, fraction_bits=10, records=1).sensitivity
    1026
    """

    clip: float
    dimension: int
    fraction_bits: int
    records: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise InvalidPlan(f"clip is {self.clip!r}", hint="give a finite number above 0")
        if not 0 <= self.fraction_bits <= MOST_FRACTION_BITS:
            raise InvalidPlan(f"fraction_bits is {self.fraction_bits}", hint="at most 40")
        if self.dimension < 1 or self.records < 1:
            raise InvalidPlan("dimension and records must be at least 1")

    @property
    def step(self) -> float:
        """Return the real number that one integer step stands for."""
        return math.ldexp(1.0, -self.fraction_bits)

    @property
    def sensitivity(self) -> int:
        """Return the most that one person moves a silo's integers, in L2 norm, rounded up.

        Neighbouring sums differ by at most ``clip``; each is rounded, by at most half a step a
        coordinate, so the integers differ by at most clip * 2^fraction_bits + sqrt(dimension).
        """
        root = math.isqrt(self.dimension)
        root += root * root < self.dimension
        return math.ceil(Fraction(self.clip) * (1 << self.fraction_bits)) + root

    @property
    def rounding_error(self) -> float:
        """Return the most that rounding moves one coordinate of one silo's decoded update."""
        return self.step / 2

    def encode(self, contributions: np.ndarray) -> np.ndarray:
        """Clip each person's contribution, add them up, and round to integers.

        Clipping scales a contribution down to norm ``clip`` and leaves shorter ones as they are.

        Args:    contributions: (persons, dimension) float64, at most ``records`` persons.
        Returns: (dimension,) int64.
        Raises InvalidPlan for another shape, or numbers that are not finite.
        """
        values = np.asarray(contributions, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.dimension or len(values) > self.records:
            raise InvalidPlan(f"contributions must be at most {self.records} x {self.dimension}")
        if not np.isfinite(values).all():
            raise InvalidPlan("contributions must be finite")
        norms = np.sqrt((values * values).sum(axis=1))
        # One part in 2^40 less than clip, so that float rounding cannot lift a norm above it.
        factors = np.minimum(1.0, self.clip * (1 - 2.0**-40) / np.where(norms > 0, norms, 1.0))
        total = (values * factors[:, None]).sum(axis=0)
        rounded: np.ndarray = np.rint(total / self.step).astype(np.int64)
        return rounded

    def decode(self, total: np.ndarray) -> np.ndarray:
        """Return the real numbers that a sum of encoded updates stands for, (dimension,) float64.

        Each differs from the sum of what was clipped by at most ``rounding_error`` for each silo.
        """
        values: np.ndarray = np.asarray(total, dtype=np.float64) * self.step
        return values

    def sum_bits(self, *, silos: int, sigma2: Fraction) -> int:
        """Return 32 where the sum of ``silos`` noised updates cannot leave 32 bits, else 64.

        The bound is silos * records * clip in steps, half a step a silo, and 40 standard
        deviations of the sum's noise. Raises InvalidPlan when 64 bits are too few.
        """
        largest = math.ceil(Fraction(self.clip) * 2**self.fraction_bits * self.records * silos)
        largest += silos + _TAIL * (math.isqrt(math.ceil(sigma2)) + 1)
        if largest >= 2**63:
            raise InvalidPlan("sums of updates do not fit into 64 bits", hint="use fewer bits")
        return 32 if largest < 2**31 else 64
