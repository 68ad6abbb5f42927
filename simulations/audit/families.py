"""What families add to what is asked of several tables, and runs of a plan on such families.

A family's rows, cells, length and weight are worked out here by their definition, in Python's own
integers, and by no code of a silo's. Only of rows that stand on one day it is the silo's to say, by
its secret, which comes first.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import isqrt
from pathlib import Path
from typing import TypeAlias

import numpy as np

from silosynth.client.families import FamilyRows
from silosynth.client.noise import BitSource
from silosynth.common.domain import Domain
from silosynth.common.families import (
    FIRST,
    NORM_BINS,
    PLACE,
    PREVIOUS,
    SAME,
    SECOND,
    first_of,
    later_of,
    view_domains,
)
from silosynth.common.messages import Request, TablesQuestions
from silosynth.common.plan import TABLES_PHASES, Plan
from silosynth.common.tables import TablesSchema, number_name
from silosynth.simulations.audit.game import Game, Ran, RunsFamilies
from silosynth.simulations.audit.made_up_families import (
    GAPS,
    Families,
    MadeUpFamilies,
    Named,
    Row,
    made_up_tables,
    made_up_tables_plan,
    number_code,
    written,
)

_EIGHTHS = 8
"""Of a parent's rows: in which of them a row stands."""

Codes: TypeAlias = Mapping[str, int]
Stacked: TypeAlias = Mapping[int, int]
"""By cell of all answers one after the other, how often a family is counted there, by scale."""


def open_families_game(plan: Plan, *, run: RunsFamilies) -> Game[Families]:
    """Return the game of a plan for several tables, with its promise, trust and fineness."""
    schema = made_up_tables(plan)
    played = made_up_tables_plan(plan, schema)
    people = MadeUpFamilies(schema=schema, silos=played.silos, colluders=played.colluders)
    secret = os.urandom(32)
    return Game(
        plan=played,
        people=people,
        run=_FamiliesRun(plan=played, people=people, run=run, secret=secret),
        adds=Added(plan=played, schema=schema, secret=secret),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FamiliesRun:
    """Runs a plan on made-up families."""

    plan: Plan
    people: MadeUpFamilies
    run: RunsFamilies
    secret: bytes = field(repr=False)

    def __call__(self, inside: np.ndarray, directory: Path, bits: Mapping[str, BitSource]) -> Ran:
        """Run it with the canaries of ``inside``, (canaries,) bool."""
        return self.run(
            self.plan,
            self.people.schema,
            tables=self.people.tables(inside),
            secret=self.secret,
            directory=directory,
            bits=bits,
        )


def seen_rows(schema: TablesSchema, family: Row) -> Iterator[tuple[str, Codes]]:
    """Yield every row of a family as it is seen: in which view, with which codes.

    The person's own row, and of each table below the first row of each parent apart from the
    others, which have beside them the row before, the one before that, and the first.
    """
    own = _own(schema, schema.person, family)
    yield schema.person, own
    yield from _below(schema, schema.person, family, above=_named(schema.person, own))


def _below(
    schema: TablesSchema, table: str, row: Row, *, above: Codes
) -> Iterator[tuple[str, Codes]]:
    for child in schema.below(table):
        rows = row.below.get(child, ())
        own = [_own(schema, child, other) for other in rows]
        for place, codes in enumerate(own):
            view = first_of(child) if place == 0 else later_of(child)
            later = {**_before(own, place), **_gaps(schema, child, place)} if place else {}
            yield view, {**codes, **above, **later}
            here = {**above, **_named(child, codes)}
            yield from _below(schema, child, rows[place], above=here)


def _before(own: list[Codes], place: int) -> Codes:
    """Return what a later row has of the rows before it, and where it stands among them."""
    before = own[place - 1]
    beside = {PREVIOUS: before, SECOND: own[max(place - 2, 0)], FIRST: own[0]}
    codes = {f"{name}{a}": code for name, row in beside.items() for a, code in row.items()}
    same = {f"{SAME}{a}": int(code == before[a]) for a, code in own[place].items()}
    return {**codes, **same, PLACE: _EIGHTHS * place // len(own)}


def _gaps(schema: TablesSchema, table: str, place: int) -> Codes:
    """Return how long after the row before it a later row comes: a day, of a table that tells it.

    A second row's row before has no gap, which is a code of its own.
    """
    gaps = schema.columns[table].gaps
    if gaps is None:
        return {}
    a_day = bisect_right(GAPS[1:-1], 1)
    none = len(GAPS) - 1
    return {gaps.name: a_day, f"{PREVIOUS}{gaps.name}": a_day if place > 1 else none}


def _own(schema: TablesSchema, table: str, row: Row) -> Codes:
    """Return the codes of a row, with how many rows it has in the tables below."""
    numbers = {
        number_name(child): number_code(below.children or (1,), len(row.below.get(child, ())))
        for child, below in schema.below(table).items()
    }
    return {**row.codes, **numbers}


def _named(table: str, codes: Codes) -> Codes:
    """Return a row's codes as the rows below it have them."""
    return {f"{table}: {attribute}": code for attribute, code in codes.items()}


@dataclass(frozen=True, kw_only=True)
class Added:
    """Own what each kind of family is counted as, and say what families add to a request's cells.

    ``secret`` says which of the rows of one day comes first.
    """

    plan: Plan
    schema: TablesSchema
    secret: bytes = field(repr=False)
    _stacks: dict[tuple[object, int], Stacked] = field(default_factory=dict)

    @cached_property
    def _domains(self) -> Mapping[str, Domain]:
        return view_domains(self.schema)

    def __call__(self, families: Families, silo: str, request: Request) -> np.ndarray:
        """Return what the families of a silo add, (cells,) int64."""
        asked = request.tables
        if asked is None:
            raise ValueError("of families it is said which of their rows are asked about")
        phase = self.plan.phase(request.phase)
        lengths = TABLES_PHASES[request.phase].lengths
        added = np.zeros(NORM_BINS if lengths else self._ends(asked)[-1], dtype=np.int64)
        kinds = {id(row): row for _, row in families.named}
        for kind, times in Counter(id(row) for _, row in families.named).items():
            stacked = self._stack(kinds[kind], asked)
            square = sum(count**2 for count in stacked.values())
            if lengths:
                added[length_bin(square)] += times if square else 0
                continue
            weight = 1
            if asked.length is not None and phase.fineness is not None:
                weight = weight_of(square, fineness=phase.fineness, length=asked.length)
            added[list(stacked)] += (
                times * weight * np.array(list(stacked.values()), dtype=np.int64)
            )
        return added + self._tied(families.tied, request)

    def _ends(self, asked: TablesQuestions) -> list[int]:
        """Return where each answer ends among the cells of all."""
        sizes = [self._domains[view].size(clique) for view, clique, _ in asked.questions]
        return list(accumulate(sizes))

    def _stack(self, row: Row, asked: TablesQuestions) -> Stacked:
        """Return what a family is counted as, before it is weighed."""
        key = (asked.questions, id(row))
        if key not in self._stacks:
            self._stacks[key] = self._counted(row, asked)
        return self._stacks[key]

    def _counted(self, row: Row, asked: TablesQuestions) -> Stacked:
        starts = [0, *self._ends(asked)]
        found: Counter[int] = Counter()
        for view, codes in seen_rows(self.schema, row):
            for start, (wanted, clique, scale) in zip(starts, asked.questions, strict=False):
                if wanted == view:
                    cell = 0
                    for attribute in clique:
                        cell *= self._domains[view].size((attribute,))
                        cell += codes[attribute]
                    found[start + cell] += scale
        return found

    def _tied(self, families: tuple[Named, ...], request: Request) -> np.ndarray | int:
        """Return what those add of whom the silo says which row comes first."""
        if not families or request.tables is None:
            return 0
        phase = self.plan.phase(request.phase)
        rows = FamilyRows(
            self.schema, written(self.schema, families, tied=True), secret=self.secret
        )
        found = rows.count(request.tables.asked(phase))
        if TABLES_PHASES[request.phase].lengths:
            return found.norms
        return np.concatenate(found.plain if phase.fineness is None else found.weighed)


def length_bin(square: int) -> int:
    """Return in which bin of the histogram a length lies whose square is given: quarters of log2.

    >>> [length_bin(length**2) for length in (1, 2, 4, 5)]
    [0, 4, 8, 9]
    """
    return min(max((square**2).bit_length() - 1, 0), NORM_BINS - 1)


def weight_of(square: int, *, fineness: int, length: int) -> int:
    """Return the largest whole number up to F by which counts of that length are F T long at most.

    >>> weight_of(25, fineness=256, length=3)
    153
    """
    return min(fineness, isqrt(fineness**2 * length**2 // square)) if square else 0
