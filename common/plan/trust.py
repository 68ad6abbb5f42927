"""Whose noise protects whom: each silo its own, or shares of it that add up over the silos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import ClassVar

from silosynth.common.plan.training import OF_GRADIENTS, OF_UPDATES, Optimiser

MOST_MEMBERS, MOST_COMPLETE = 1000, 100
"""Silos that a secret sum may have, and up to how many each masks against all others."""

LEAST_PEERS, RING_BITS = 32, 120
OF_SHARED = "colluders, absent, attempts, sum_bits, peers: belong to shared trust"


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

    def peers(self, silos: int) -> int | None:
        """Return against how many others a silo masks at least: nobody masks."""
        return None

    def fault(self, silos: int, *, peers: int | None) -> str | None:
        """Return why so many silos cannot have this trust: only for what belongs to the other."""
        return OF_SHARED if peers is not None else None


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

    def peers(self, silos: int) -> int | None:
        """Return against how many others a silo masks at least; None where against all."""
        if silos <= MOST_COMPLETE:
            return None
        return fewest_peers(silos - self.absent, colluders=self.colluders)

    def fault(self, silos: int, *, peers: int | None) -> str | None:
        """Return why so many silos cannot have this trust, with so many peers each; else None."""
        if not 2 <= silos <= MOST_MEMBERS:
            return f"silos: shared noise needs 2 to {MOST_MEMBERS}"
        if self.shares(silos) < 2:
            return "silos: without colluders and absent ones, two must be left"
        least = self.peers(silos)
        if least is None:
            return None if peers is None else f"peers: up to {MOST_COMPLETE} silos, all are"
        if peers is None or peers < least or peers % 2:
            return f"peers: an even number, {least} or more, for so many silos and colluders"
        return None


Trust = Own | Shared


@cache
def fewest_peers(members: int, *, colluders: int) -> int:
    """Return against how many others each silo masks, so that honest silos hang together.

    The members stand in a ring whose order nobody chooses, and each masks against those up to k/2
    places away. Take t colluders out: what is left falls apart exactly where two runs of k/2
    colluders or more stand in the ring. Such runs can begin at m(m-1)/2 pairs of places, and all k
    places of a pair hold colluders with probability t(t-1)...(t-k+1) / m(m-1)...(m-k+1).

    Guarantees: the smallest even k from 32 on for which the product of both is at most 2^-120. It
    is 0 where k is above t: then no t silos part the others, whoever they are. It falls where there
    are more members or fewer colluders.
    """
    count, free = LEAST_PEERS, max(members - 2, 0)
    while math.perm(colluders, count) << RING_BITS > 2 * math.perm(free, count - 2):
        count += 2
    return count


def trust_of(
    mode: TrustMode | str, *, colluders: int = 0, absent: int = 0, attempts: int = 1
) -> Trust:
    """Return the trust of a mode; raise ValueError where own trust is given what is shared's."""
    if TrustMode(mode) is TrustMode.SHARED:
        return Shared(colluders=colluders, absent=absent, attempts=attempts)
    if (colluders, absent, attempts) != (0, 0, 1):
        raise ValueError(OF_SHARED)
    return Own()
