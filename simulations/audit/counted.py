"""What people of one table add to what is asked of them, and runs of a plan on such people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.noise import BitSource
from silosynth.client.source import open_table
from silosynth.common.messages import Request
from silosynth.common.plan import OF_VOTES, Plan
from silosynth.server.driver import Generator, no_generator
from silosynth.simulations.audit.game import Adds, Ran, RunsTable
from silosynth.simulations.audit.made_up import ATTRIBUTES, PERSON, MadeUp, People


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRun:
    """Runs a plan on the tables of made-up people."""

    plan: Plan
    people: MadeUp
    run: RunsTable
    sampler: bytes | None = field(default=None, repr=False)
    imagine: Generator = no_generator

    def __call__(self, inside: np.ndarray, directory: Path, bits: Mapping[str, BitSource]) -> Ran:
        """Run it with the canaries of ``inside``, (canaries,) bool."""
        return self.run(
            self.plan,
            self.people.schema,
            tables=self.people.tables(inside),
            person_column=PERSON,
            directory=directory,
            bits=bits,
            sampler=self.sampler,
            imagine=self.imagine,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where rows are counted in a request's cells: of each marginal its columns' merged codes."""

    columns: tuple[tuple[int, ...], ...]
    lookups: tuple[tuple[np.ndarray, ...], ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Added:
    """Own where rows are counted, and say what people add to a request's cells.

    ``learns`` is asked in the place of counting about rounds of training.
    """

    plan: Plan
    people: MadeUp
    learns: Adds[People] | None = None
    _places: dict[int, tuple[Request, _Places]] = field(default_factory=dict)

    def __call__(self, people: People, silo: str, request: Request) -> np.ndarray:
        """Return what people of a silo add, (cells,) int64."""
        if self.learns is not None and request.training:
            return self.learns(people, silo, request)
        if request.phase not in OF_VOTES and self._counts(request):
            return self._count(people, request)
        return self._embed(people, request)

    def _counts(self, request: Request) -> bool:
        """Say whether a row adds one to one cell of each marginal."""
        return self.plan.noise(self.plan.phase(request.phase)).bound == 1

    def _count(self, people: People, request: Request) -> np.ndarray:
        """Count people as a marginal is defined; nothing here is a silo's code."""
        places, counts = self._find(request), []
        for columns, lookups, shape in zip(
            places.columns, places.lookups, places.shapes, strict=True
        ):
            cells = np.zeros(len(people.codes), dtype=np.int64)
            for column, lookup, size in zip(columns, lookups, shape, strict=True):
                cells = cells * size + lookup[people.codes[:, column]]
            counts.append(np.bincount(cells, minlength=math.prod(shape)))
        return np.concatenate(counts)

    def _find(self, request: Request) -> _Places:
        """Return where rows are counted, the same for all people."""
        if id(request) not in self._places:
            levels, domain = request.groupings(), self.people.schema.domain
            cliques = [(q.clique, levels[q.level]) for q in request.marginals()]
            lookups = tuple(
                tuple(level.lookup(n, domain.size((n,))) for n in clique)
                for clique, level in cliques
            )
            self._places.clear()  # the others of a run have been counted
            found = _Places(
                columns=tuple(tuple(map(ATTRIBUTES.index, clique)) for clique, _ in cliques),
                lookups=lookups,
                shapes=tuple(tuple(int(look.max()) + 1 for look in each) for each in lookups),
            )
            self._places[id(request)] = request, found
        return self._places[id(request)][1]

    def _embed(self, people: People, request: Request) -> np.ndarray:
        """Return what people's whole rows add up to, as the silo's own code works it out."""
        schema = self.people.schema
        asked = Asked(
            rows=open_table(people.table().drop_columns([PERSON]), schema=schema),
            schema=schema,
            plan=self.plan,
            request=request,
            rows_per_person=self.people.rows_per_person,
            plan_digest=self.plan.digest,
        )
        return np.concatenate(ask_rows(asked))
