"""Whose noise protects whom: each silo its own, or shares of it that add up over the silos."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from silosynth.common.plan.training import OF_GRADIENTS, OF_UPDATES, Optimiser

MOST_MEMBERS = 100
OF_SHARED = "colluders, absent, attempts, sum_bits: belong to shared trust"


class TrustMode(StrEnum):
    """Who may see what: each silo's own noised release, or the sum alone."""

    OWN = "own"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Every silo adds all the noise, so nobody is trusted with anything."""

    mode: ClassVar[TrustMode] = TrustMode.OWN
    masked: ClassVar[bool] = False
    """Whether nobody sees a silo's own release, but the sum of masked ones."""

    optimisers: ClassVar[tuple[Optimiser, ...]] = OF_UPDATES
    steps: ClassVar[int] = 0
    """How often silos are asked before the first phase."""

    colluders: ClassVar[int] = 0
    absent: ClassVar[int] = 0
    attempts: ClassVar[int] = 1

    def shares(self, silos: int) -> int:
        """Return how many silos' noise makes up a phase's: one's."""
        return 1

    def fault(self, silos: int) -> str | None:
        """Return why so many silos cannot have this trust: they always can."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Every silo adds a share of the noise to masked vectors, and their sum alone is seen.

    It holds while at most ``colluders`` silos work with the coordinator; up to ``absent`` may stay
    away; a sum may be begun ``attempts`` times, each paid for in advance.
    """

    mode: ClassVar[TrustMode] = TrustMode.SHARED
    masked: ClassVar[bool] = True
    optimisers: ClassVar[tuple[Optimiser, ...]] = OF_GRADIENTS
    steps: ClassVar[int] = 2
    """How often silos are asked before the first phase: for keys and for votes on a set."""

    colluders: int = 0
    absent: int = 0
    attempts: int = 1

    def shares(self, silos: int) -> int:
        """Return how many silos' noise makes up a phase's: all that surely add honest noise."""
        return silos - self.colluders - self.absent

    def fault(self, silos: int) -> str | None:
        """Return why so many silos cannot have this trust; None where they can."""
        if not 2 <= silos <= MOST_MEMBERS:
            return f"silos: shared noise needs 2 to {MOST_MEMBERS}"
        if self.shares(silos) < 2:
            return "silos: without colluders and absent ones, two must be left"
        return None


Trust = Own | Shared


def trust_of(
    mode: TrustMode | str, *, colluders: int = 0, absent: int = 0, attempts: int = 1
) -> Trust:
    """Return the trust of a mode; raise ValueError where own trust is given what is shared's."""
    if TrustMode(mode) is TrustMode.SHARED:
        return Shared(colluders=colluders, absent=absent, attempts=attempts)
    if (colluders, absent, attempts) != (0, 0, 1):
        raise ValueError(OF_SHARED)
    return Own()
