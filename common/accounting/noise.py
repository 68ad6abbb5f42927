"""The noise of one phase as an inert value: how much it is in a sum, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from silosynth.common.accounting.cost import GaussianCost


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
