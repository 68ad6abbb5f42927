"""Noised marginals, as the coordinator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalQuery:
    """Ask for the counts over ``clique`` after merging codes by the request's ``level``."""

    clique: Clique
    level: str = "fine"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """A noised marginal with the variance of each of its cells.

    ``values[i]`` estimates the number of rows whose codes, merged by ``grouping``, fall into cell
    ``i`` (row-major over ``clique``). ``variance`` has the same shape.
    """

    clique: Clique
    values: np.ndarray
    variance: np.ndarray
    grouping: Grouping = field(default_factory=Grouping)

    def check(self, domain: Domain) -> None:
        """Raise InvalidMeasurement unless shapes fit ``domain`` and variances are positive."""
        cells = self.grouping.domain(domain).size(self.clique)
        for name, array in (("values", self.values), ("variance", self.variance)):
            if array.shape != (cells,):
                raise InvalidMeasurement(
                    f"{name} of {self.clique} have shape {array.shape}; {cells} cells expected"
                )
            if not np.isfinite(array).all():
                raise InvalidMeasurement(f"{name} of {self.clique} are not finite")
        if not (self.variance > 0).all():
            raise InvalidMeasurement(f"the variance of {self.clique} must be above 0")


def weighed_mean(measurements: Sequence[Measurement]) -> tuple[np.ndarray, np.ndarray]:
    """Return (cells,) the mean of what was measured of one marginal, and its precision.

    Each counts by its own precision, which add up. Args: measurements: over the same cells.
    """
    precision: np.ndarray = np.sum([1.0 / m.variance for m in measurements], axis=0)
    values: np.ndarray = np.sum([m.values / m.variance for m in measurements], axis=0) / precision
    return values, precision
