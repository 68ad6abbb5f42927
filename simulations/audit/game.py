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
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.noise import BitSource, SystemBits
from silosynth.client.source import open_table
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.messages import Release, Request, decode_release
from silosynth.common.plan import OF_VOTES, Plan
from silosynth.common.schema import Schema
from silosynth.server.driver import Generator, no_generator
from silosynth.server.measuring import add_masked
from silosynth.simulations.audit.made_up import ATTRIBUTES, CANARIES, PERSON, MadeUp, People

Adds: TypeAlias = Callable[[People, str, Request], np.ndarray]
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


class RunsPlan(Protocol):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where rows are counted in a request's cells: of each marginal its columns' merged codes."""

    columns: tuple[tuple[int, ...], ...]
    lookups: tuple[tuple[np.ndarray, ...], ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Game:
    """Own the made-up people of a plan, and what each adds to a question, once it was asked."""

    plan: Plan
    people: MadeUp
    run: RunsPlan
    sampler: bytes | None = None
    adds: Adds | None = None
    """Asked in the place of counting: about an evaluation, or about rounds of training."""
    imagine: Generator = no_generator
    _exact: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    _places: dict[str, _Places] = field(default_factory=dict)

    def play(self, inside: np.ndarray, *, directory: Path) -> Played:
        """Run the plan in a fresh directory with the canaries of ``inside``, (canaries,) bool."""
        ran = self.run(
            self.plan,
            self.people.schema,
            tables=self.people.tables(inside),
            person_column=PERSON,
            directory=directory,
            bits=self._bits(),
            sampler=self.sampler,
            imagine=self.imagine,
        )
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
            noise = self.plan.noise(self.plan.phase(request.phase))
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
        people = self.people.canary(canary, rows=self.people.rows_per_person)
        return self._added(f"canary {canary}", people, part, silo=self.people.silo(canary))

    def _known(self, silo: str, part: _Seen) -> np.ndarray:
        """Return what the people whom the attacker knows add to a request's cells, on average.

        Bits without noise put all people of a silo that colludes into every sample.
        """
        colludes = silo in self.people.silos[len(self.people.silos) - self.people.colluders :]
        rate = 1.0 if colludes else float(self._rate(part.request))
        return rate * self._added(f"silo {silo}", self.people.known[silo], part, silo=silo)

    def _added(self, who: str, people: People, part: _Seen, *, silo: str) -> np.ndarray:
        """Return what people add to a request's cells, each question worked out once.

        A round of training is asked of weights that no other run has, so it is not kept.
        """
        key, request = (who, part.question), part.request
        learns = bool(request.training)
        if self.adds is not None and (learns or self.plan.chosen.evaluates):
            count = partial(self.adds, people, silo, request)
        elif request.phase not in OF_VOTES and self._counts(request):
            count = partial(self._count, people, part)
        else:
            count = partial(self._embed, people, part)
        if learns:
            return count()
        if key not in self._exact:
            self._exact[key] = count()
        return self._exact[key]

    def _counts(self, request: Request) -> bool:
        """Say whether a row adds one to one cell of each marginal."""
        return self.plan.noise(self.plan.phase(request.phase)).bound == 1

    def _count(self, people: People, part: _Seen) -> np.ndarray:
        """Count people as a marginal is defined; nothing here is a silo's code."""
        places, counts = self._find(part), []
        for columns, lookups, shape in zip(
            places.columns, places.lookups, places.shapes, strict=True
        ):
            cells = np.zeros(len(people.codes), dtype=np.int64)
            for column, lookup, size in zip(columns, lookups, shape, strict=True):
                cells = cells * size + lookup[people.codes[:, column]]
            counts.append(np.bincount(cells, minlength=math.prod(shape)))
        return np.concatenate(counts)

    def _find(self, part: _Seen) -> _Places:
        """Return where rows are counted, the same for all people."""
        key = part.question
        if key not in self._places:
            levels, domain = part.request.groupings(), self.people.schema.domain
            cliques = [(q.clique, levels[q.level]) for q in part.request.marginals()]
            lookups = tuple(
                tuple(level.lookup(n, domain.size((n,))) for n in clique)
                for clique, level in cliques
            )
            self._places.clear()  # the others of a run have been counted
            self._places[key] = _Places(
                columns=tuple(tuple(map(ATTRIBUTES.index, clique)) for clique, _ in cliques),
                lookups=lookups,
                shapes=tuple(tuple(int(look.max()) + 1 for look in each) for each in lookups),
            )
        return self._places[key]

    def _embed(self, people: People, part: _Seen) -> np.ndarray:
        """Return what people's whole rows add up to, as the silo's own code works it out."""
        schema = self.people.schema
        asked = Asked(
            rows=open_table(people.table().drop_columns([PERSON]), schema=schema),
            schema=schema,
            plan=self.plan,
            request=part.request,
            rows_per_person=self.people.rows_per_person,
            plan_digest=self.plan.digest,
        )
        return np.concatenate(ask_rows(asked))


def _root(gram: np.ndarray) -> np.ndarray:
    """Return the symmetric root of a positive matrix."""
    values, vectors = np.linalg.eigh(gram)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 1e-12))) @ vectors.T
    return root
