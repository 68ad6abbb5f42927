"""The noise of one phase as an inert value: how much it is in a sum, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

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
