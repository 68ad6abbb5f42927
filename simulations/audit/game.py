"""One run of the real gateways, ledgers and coordinator, and what it tells of each canary.

The attacker knows everybody but one canary, so the rest is taken off the releases and noise is
left, with the canary or without. Of all that a canary adds, weighed by the noise, one sum is the
best test there is (Neyman and Pearson); canaries that share cells share noise, which is taken apart
again, so that a run is as many games as it has canaries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.noise import BitSource, SystemBits
from silosynth.client.source import open_table
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.messages import Release, Request
from silosynth.common.plan import OF_VOTES, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.driver import Generator, no_generator
from silosynth.server.measuring import add_masked
from silosynth.simulations.audit.made_up import ATTRIBUTES, CANARIES, PERSON, MadeUp, People


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
    """What left the silos in a run, and the most ledger units that one of them was charged.

    ``secrets`` tell who is held out in each silo; ``sampler`` makes what the run ends in.
    """

    releases: Mapping[PhaseName, Mapping[str, Release]]
    units: int
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
        asked: Callable[[Request], None],
        sampler: bytes | None = None,
        imagine: Generator = no_generator,
    ) -> Ran:
        """Run it in a directory, telling of every request; ``sampler`` is what it evaluates."""


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
    imagine: Generator = no_generator
    adds: Callable[[People, str], np.ndarray] | None = None
    """What people of a silo add to the one question of an evaluation."""
    _exact: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    _places: dict[str, _Places] = field(default_factory=dict)

    def play(self, inside: np.ndarray, *, directory: Path) -> Played:
        """Run the plan in a fresh directory with the canaries of ``inside``, (canaries,) bool."""
        requests: list[Request] = []
        ran = self.run(
            self.plan,
            self.people.schema,
            tables=self.people.tables(inside),
            person_column=PERSON,
            directory=directory,
            bits=self._bits(),
            asked=requests.append,
            sampler=self.sampler,
            imagine=self.imagine,
        )
        seen = self._seen(requests, releases=ran.releases)
        scores, gaps = self._scores(seen, inside=inside)
        return Played(scores=scores, gaps=gaps, charged=math.sqrt(2 * ran.units / RHO_UNIT))

    def _seen(
        self, requests: Sequence[Request], *, releases: Mapping[PhaseName, Mapping[str, Release]]
    ) -> list[_Seen]:
        """Return what the coordinator sees: every silo's cells, or in shared trust their sums."""
        seen = []
        shared = self.plan.shares > 1
        for phase, answers in releases.items():
            asked = {r.silo: r for r in requests if r.phase == phase}
            noise = self.plan.noise(self.plan.phase(phase))
            groups = [tuple(answers)] if shared else [(silo,) for silo in answers]
            for silos in groups:
                given = [answers[silo] for silo in silos]
                cells = add_masked(given) if shared else given[0].marginals
                seen.append(
                    _Seen(
                        request=asked[silos[0]],
                        question=asked[silos[0]].asked_of_all,
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
                added = np.array([self._canary(i, part) for i in mine], dtype=np.float64)
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
        """Return what the people whom the attacker knows add to a request's cells."""
        return self._added(f"silo {silo}", self.people.known[silo], part, silo=silo)

    def _added(self, who: str, people: People, part: _Seen, *, silo: str) -> np.ndarray:
        """Return what people add to a request's cells, each question worked out once."""
        key, request = (who, part.question), part.request
        if key not in self._exact and self.adds is not None:
            self._exact[key] = self.adds(people, silo)
        if key not in self._exact:
            counts = self.plan.noise(self.plan.phase(request.phase)).bound == 1
            counts &= request.phase not in OF_VOTES
            count = self._count if counts else self._embed
            self._exact[key] = count(people, part)
        return self._exact[key]

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
