"""The noise of one phase as an inert value: how much it is in a sum, and what it costs exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from silosynth.common.accounting.sum_law import PLAIN_SHARE, check_share, excess_rho
from silosynth.common.errors import InvalidPlan

RHO_UNIT = 2**40
SMOOTHING = 4
"""Variance that a sampled sum gives up so that a continuous one dominates it."""

_SMOOTHING = 2
"""Variance that any other noise gives up for that."""

_LARGEST_DISCRETE, _SMALLEST_DISCRETE = 2**14, Fraction(1, 16)
_LEAST_NOISE = 2**14
"""Noise below 1/128 of what a person adds hides nothing, and its losses need grids without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianCost:
    """``count`` marginals, each with discrete Gaussian noise of parameter ``sigma2``.

    ``sensitivity`` bounds the L2 change that one person makes to every marginal, whichever cells
    the rows fall into: for counts, the most rows of one person. ``cells`` is the most cells of a
    marginal that one person can change, ``sensitivity`` when None. With ``shares``, the noise is
    the sum of so many equal discrete Gaussians of ``sigma2`` together, each of at least 1.
    ``rate`` is the chance with which a person takes part at all, in each of them anew.
    """

    sigma2: Fraction
    count: int
    sensitivity: int = 1
    cells: int | None = None
    shares: int = 1
    rate: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if isinstance(self.sigma2, bool) or not isinstance(self.sigma2, Fraction | int):
            raise InvalidPlan("sigma2 must be exact", hint="give a Fraction, not a float")
        if self.sigma2 <= 0:
            raise InvalidPlan(f"sigma2 is {self.sigma2}", hint="noise needs sigma2 above 0")
        for name, value in (
            ("count", self.count),
            ("sensitivity", self.sensitivity),
            ("cells", self.touched),
            ("shares", self.shares),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidPlan(f"{name} is {value!r}", hint="give an integer of at least 1")
        if not isinstance(self.rate, Fraction) or not 0 < self.rate <= 1:
            raise InvalidPlan(f"rate is {self.rate!r}", hint="give a Fraction above 0, at most 1")
        object.__setattr__(self, "sigma2", Fraction(self.sigma2))
        if self.shares > 1:
            check_share(self.share)

    @property
    def share(self) -> Fraction:
        """Return the noise that each of the shares adds."""
        return self.sigma2 / self.shares

    @property
    def scale(self) -> float:
        """Return the standard deviation of the noise, as libraries that count in floats take it."""
        return math.sqrt(self.sigma2)

    @property
    def multiplier(self) -> float:
        """Return the noise of the continuous Gaussian that dominates it, per unit of distance.

        A person moves the integer sum by at most ``sensitivity`` in L2. N_Z(c, sigma2) is the
        randomised rounding of N(c, sigma2 - 4) to N_Z(., 4), within a factor
        1 +- 2 exp(-8 pi²) < 1 +- 1e-33 a coordinate, and rounding does not look at c (Peikert 2010,
        Theorem 3.1). So at 2^60 coordinates in all the loss grows by less than 1e-14. Rounded down.

        Raises InvalidPlan when sigma2 is at most 4.
        """
        if self.sigma2 <= SMOOTHING:
            raise InvalidPlan(
                "noise of sampled sums needs sigma2 above 4", hint="use more fraction bits"
            )
        return math.sqrt(self.sigma2 - SMOOTHING) / self.sensitivity * (1 - 1e-12)

    @property
    def convolved(self) -> bool:
        """Return whether its shares are so small that the law of their sum is worked out."""
        return self.shares > 1 and self.share < PLAIN_SHARE

    @property
    def smooth(self) -> bool:
        """Return whether a continuous Gaussian that dominates it stands for it."""
        large = self.sensitivity > 1 or self.sigma2 > _LARGEST_DISCRETE
        return large and self.rate == 1 and not self.convolved

    @property
    def composes(self) -> bool:
        """Return whether its privacy loss distribution can be had; where not, zCDP bounds it."""
        if self.sensitivity**2 > _LEAST_NOISE * self.sigma2 or self.sigma2 < _SMALLEST_DISCRETE:
            return False
        if self.rate < 1:
            return self.sigma2 > SMOOTHING and self.share >= PLAIN_SHARE
        if self.convolved:
            return self.sensitivity == 1
        return not self.smooth or self.sigma2 > _SMOOTHING

    @property
    def dominating_rho(self) -> Fraction:
        """Return the rho of the continuous Gaussians that dominate it; see :attr:`smooth`."""
        lessened = self.sigma2 - _SMOOTHING
        return self.count * gaussian_rho(sigma2=lessened, sensitivity=self.sensitivity)

    @property
    def alone(self) -> Self:
        """Return the cost of one share of the noise, if nobody added another."""
        return replace(self, sigma2=self.share, shares=1)

    def scaled(self, factor: Fraction) -> Self:
        """Return the cost with ``factor`` times the deviation of the noise."""
        return replace(self, sigma2=self.sigma2 * factor**2)

    def in_each_of(self, silos: int) -> Self:
        """Return the cost of so many as often, each with an equal part of the noise."""
        return replace(self, count=self.count * silos, sigma2=self.sigma2 / silos)

    @property
    def touched(self) -> int:
        """Return the most cells of a marginal that one person can change."""
        return self.sensitivity if self.cells is None else self.cells

    @property
    def rho(self) -> Fraction:
        """Return the zCDP cost of all ``count`` marginals together, as if nobody were left out."""
        plain = gaussian_rho(sigma2=self.sigma2, sensitivity=self.sensitivity)
        return self.count * (
            plain + self.touched * excess_rho(share=self.share, shares=self.shares)
        )


def gaussian_rho(*, sigma2: Fraction, sensitivity: int = 1) -> Fraction:
    """Return the zCDP cost of one marginal, sensitivity² / (2 sigma2), exactly.

    Source: Canonne, Kamath, Steinke 2020, Theorem 14 (discrete Gaussian, L2 sensitivity).
    """
    return Fraction(sensitivity**2) / (2 * sigma2)


def total_rho(costs: Iterable[GaussianCost]) -> Fraction:
    """Return the zCDP cost of all ``costs``; it adds up, also when they are chosen adaptively."""
    return sum((c.rho for c in costs), Fraction(0))


def rho_units(rho: Fraction) -> int:
    """Return ``rho`` in ledger units of 2^-40, rounded up.

    >>> rho_units(Fraction(1, 2)) == RHO_UNIT // 2, rho_units(Fraction(1, 2**50))
    (True, 1)
    """
    if rho < 0:
        raise InvalidPlan("a cost is below 0", hint="costs only add up; nothing is refunded")
    return -((-rho * RHO_UNIT) // 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Discrete Gaussian noise of ``sigma2`` on a vector to which a row adds at most ``bound``.

    It is the sum of ``shares`` equal ones, each a silo's. With the chance ``rate`` a person takes
    part in the vector at all.
    """

    sigma2: Fraction
    bound: int = 1
    rate: Fraction = Fraction(1)
    shares: int = 1

    @classmethod
    def at_least(cls, variance: Fraction, *, step: Fraction = Fraction(1), bound: int = 1) -> Self:
        """Return noise of ``variance``, rounded up to a multiple of ``step``."""
        return cls(sigma2=-((-variance / step) // 1) * step, bound=bound)

    @classmethod
    def for_rho(cls, rho: Fraction, *, count: int, least: Fraction) -> Self:
        """Return the noise with which ``count`` vectors of counts cost ``rho`` at most.

        It is a whole number, and not below ``least``.

        >>> Noise.for_rho(Fraction(3, 4), count=3, least=Fraction(1)).deviation == math.sqrt(2)
        True
        """
        noise = cls.at_least(count / (2 * rho))
        return replace(noise, sigma2=max(noise.sigma2, least))

    @property
    def share(self) -> Self:
        """Return the noise that one silo draws."""
        return replace(self, sigma2=self.sigma2 / self.shares, shares=1)

    @property
    def deviation(self) -> float:
        """Return the standard deviation of all shares together."""
        return math.sqrt(self.sigma2)

    @property
    def stated(self) -> dict[str, str]:
        """Return what is written down of all shares together, wherever it is."""
        return {"sigma2": str(self.sigma2)}

    def variance(self, *, silos: int) -> Fraction:
        """Return the noise of a cell summed over ``silos``, each of which adds its share."""
        return silos * self.sigma2 / self.shares

    def cost(self, *, count: int, rows_per_person: int, cells: int) -> GaussianCost:
        """Return what ``count`` vectors of ``cells`` in all cost a person of so many rows.

        >>> Noise(sigma2=Fraction(2)).cost(count=3, rows_per_person=1, cells=9).rho
        Fraction(3, 4)
        """
        return GaussianCost(
            sigma2=self.sigma2,
            count=count,
            sensitivity=rows_per_person * self.bound,
            cells=cells if self.bound > 1 else None,
            shares=self.shares,
            rate=self.rate,
        )
