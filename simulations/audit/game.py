"""One run of the real gateways, ledgers and coordinator, and what it tells of each canary.

The attacker knows everybody but one canary, so the rest is taken off the releases and noise is
left, with the canary or without. Of all that a canary adds, weighed by the noise, one sum is the
best test there is (Neyman and Pearson); canaries that share cells share noise, which is taken apart
again, so that a run is as many games as it has canaries. Where persons are sampled, what they add
on average is taken off, and what a canary adds on average is sought.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from silosynth.client.noise import BitSource, SystemBits
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.messages import Release, Request, decode_release
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.server.driver import Generator, no_generator
from silosynth.server.measuring import add_masked
from silosynth.simulations.audit.made_up import CANARIES

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
Adds: TypeAlias = Callable[[P, str, Request], np.ndarray]
"""What people of a silo add to a request's cells if they take part, as integers."""


class NoNoise:
    """Bits of which every draw of noise is 0: the largest, so that no tail lies above them."""

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        return np.full(count, (1 << 63) - 1, dtype=np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Scores of the canaries of one run, (canaries,), and what its silos' ledgers were charged."""

    scores: np.ndarray
    gaps: np.ndarray
    charged: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What left the silos in a run, and the ledger units of each silo's charges by their requests.

    ``secrets`` tell who is held out in each silo; ``sampler`` makes what the run ends in.
    """

    answers: Sequence[tuple[Request, bytes]]
    charges: Sequence[Mapping[str, int]]
    secrets: Mapping[str, bytes] = field(repr=False)
    sampler: Callable[[], bytes] = field(repr=False)


class RunsTable(Protocol):
    """Runs a plan on tables with real gateways, ledgers and coordinator."""

    def __call__(
        self,
        plan: Plan,
        schema: Schema,
        *,
        tables: Mapping[str, pa.Table],
        person_column: str,
        directory: Path,
        bits: Mapping[str, BitSource],
        sampler: bytes | None = None,
        imagine: Generator = no_generator,
    ) -> Ran:
        """Run it in a directory; ``sampler`` is what it evaluates."""


class RunsFamilies(Protocol):
    """Runs a plan for several tables likewise."""

    def __call__(
        self,
        plan: Plan,
        schema: TablesSchema,
        *,
        tables: Mapping[str, Mapping[str, pa.Table]],
        secret: bytes,
        directory: Path,
        bits: Mapping[str, BitSource],
    ) -> Ran:
        """Run it in a directory; ``secret`` orders in each silo what nothing else does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What runs a plan, for one table or for several."""

    table: RunsTable
    families: RunsFamilies


Plays: TypeAlias = Callable[[np.ndarray, Path, Mapping[str, BitSource]], Ran]
"""Runs a plan in a directory with the canaries of (canaries,) bool in, by the silos' bits."""


class Cast(Protocol[P_co]):
    """The people of a game by their silos; the ``colluders``, the last of those, hold no canary."""

    @property
    def silos(self) -> tuple[str, ...]:
        """Return the silos that play."""

    @property
    def colluders(self) -> int:
        """Return how many of them add no noise."""

    @property
    def known(self) -> Mapping[str, P_co]:
        """Return the people of each silo who are no secret."""

    def silo(self, canary: int) -> str:
        """Return whose patient, or customer, a canary would be."""

    def counted(self, canary: int) -> P_co:
        """Return what may count of a canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What everybody who added up to some cells gave: the cells, their noise, and of whom.

    ``question`` names what all of them were asked.
    """

    request: Request
    question: str
    cells: np.ndarray
    variance: float
    silos: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Game(Generic[P]):
    """Own the made-up people of a plan, and what each adds to a question, once it was asked."""

    plan: Plan
    people: Cast[P]
    run: Plays
    adds: Adds[P]
    _exact: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def play(self, inside: np.ndarray, *, directory: Path) -> Played:
        """Run the plan in a fresh directory with the canaries of ``inside``, (canaries,) bool."""
        ran = self.run(inside, directory, self._bits())
        scores, gaps = self._scores(self._seen(ran.answers), inside=inside)
        return Played(scores=scores, gaps=gaps, charged=self._charged(ran))

    def _charged(self, ran: Ran) -> float:
        """Return the mu of what the silo that was charged most was charged for.

        A ledger is charged as if nobody were left out; a person takes part by the phase's rate.
        """
        rates = {request.id: self._rate(request) for request, _ in ran.answers}
        paid = [
            sum(units * rates.get(name, 1) ** 2 for name, units in charges.items())
            for charges in ran.charges
        ]
        return math.sqrt(2 * max(paid) / RHO_UNIT)

    def _rate(self, request: Request) -> Fraction:
        """Return the chance with which a person takes part in what a request asks."""
        return self.plan.phase(request.phase).rate or Fraction(1)

    def _seen(self, answers: Sequence[tuple[Request, bytes]]) -> list[_Seen]:
        """Return what the coordinator sees: every silo's cells, or in shared trust their sums."""
        shared = self.plan.shares > 1
        groups: dict[tuple[str, ...], list[tuple[Request, bytes]]] = {}
        for request, data in answers:
            question = request.asked_of_all
            name = (question,) if shared else (question, request.silo)
            groups.setdefault(name, []).append((request, data))
        seen = []
        for (question, *_), group in groups.items():
            request = group[0][0]
            given = [r for _, data in group if isinstance(r := decode_release(data), Release)]
            cells = add_masked(given) if shared else given[0].marginals
            silos = tuple(request.silo for request, _ in group)
            length = (request.tables.length if request.tables else None) or 1
            noise = self.plan.noise(self.plan.phase(request.phase), length=length)
            seen.append(
                _Seen(
                    request=request,
                    question=question,
                    cells=np.concatenate(cells),
                    variance=float(noise.variance(silos=self._noisy(silos))),
                    silos=silos,
                )
            )
        return seen

    def _noisy(self, silos: Sequence[str]) -> int:
        """Return how many of some silos add noise."""
        return len(silos) - (self.people.colluders if len(silos) > 1 else 0)

    def _bits(self) -> dict[str, BitSource]:
        """Return where each silo's noise comes from: colluders add none."""
        honest = len(self.people.silos) - self.people.colluders
        return {
            silo: SystemBits() if i < honest else NoNoise()
            for i, silo in enumerate(self.people.silos)
        }

    def _scores(
        self, seen: Sequence[_Seen], *, inside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each canary's score, normal with variance 1, and its gap between in and out."""
        scores, gaps = np.zeros(CANARIES), np.zeros(CANARIES)
        groups = {s.silos for s in seen}
        for group in groups:
            mine = [i for i in range(CANARIES) if self.people.silo(i) in group]
            alone, gram = np.zeros(len(mine)), np.zeros((len(mine), len(mine)))
            for part in (s for s in seen if s.silos == group):
                rate = float(self._rate(part.request))
                added = rate * np.array([self._canary(i, part) for i in mine], dtype=np.float64)
                rest = part.cells - sum(self._known(silo, part) for silo in part.silos)
                noise = rest - inside[mine] @ added
                alone += added @ noise / part.variance
                gram += added @ added.T / part.variance
            root = _root(gram)
            gap = np.diag(root).copy()
            scores[mine] = np.linalg.solve(root, alone) + gap * inside[mine]
            gaps[mine] = gap
        return scores, gaps

    def _canary(self, canary: int, part: _Seen) -> np.ndarray:
        """Return what a canary adds to a request's cells, without noise."""
        people, silo = self.people.counted(canary), self.people.silo(canary)
        return self._added(f"canary {canary}", people, part, silo=silo)

    def _known(self, silo: str, part: _Seen) -> np.ndarray:
        """Return what the people whom the attacker knows add to a request's cells, on average.

        Bits without noise put all people of a silo that colludes into every sample.
        """
        colludes = silo in self.people.silos[len(self.people.silos) - self.people.colluders :]
        rate = 1.0 if colludes else float(self._rate(part.request))
        return rate * self._added(f"silo {silo}", self.people.known[silo], part, silo=silo)

    def _added(self, who: str, people: P, part: _Seen, *, silo: str) -> np.ndarray:
        """Return what people add to a request's cells, each question worked out once.

        A round of training is asked of weights that no other run has, so it is not kept.
        """
        key, count = (who, part.question), partial(self.adds, people, silo, part.request)
        if part.request.training:
            return count()
        if key not in self._exact:
            self._exact[key] = count()
        return self._exact[key]


def _root(gram: np.ndarray) -> np.ndarray:
    """Return the symmetric root of a positive matrix."""
    values, vectors = np.linalg.eigh(gram)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 1e-12))) @ vectors.T
    return root
