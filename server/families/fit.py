"""Fit the sampler of several tables, top down: persons, then first rows, then later ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from silosynth.common.families import (
    LAST,
    Answer,
    drawn_domains,
    first_of,
    has_later,
    later_of,
    view_domains,
)
from silosynth.common.forest import (
    Chain,
    Drawer,
    ForestSampler,
    gap_scales,
    number_edges,
    own_attributes,
)
from silosynth.common.schema import ImpossibleCells
from silosynth.common.tables import TablesSchema, impossible_across, number_name, with_last
from silosynth.server.families.calibrate import calibrate
from silosynth.server.families.chain import Effort, fit_chain
from silosynth.server.families.evidence import Evidence, read_evidence
from silosynth.server.families.numbers import gaps_inside, numbers_inside
from silosynth.server.families.population import (
    SEED,
    Population,
    barred_gaps,
    draw_firsts,
    draw_places,
    follow_gaps,
)

EFFORT = Effort(rows=20_000, first=30, then=15)
ROUNDS = (
    Effort(rows=5_000, first=0, then=30),
    Effort(rows=5_000, first=0, then=30),
    Effort(rows=10_000, first=0, then=30),
    Effort(rows=20_000, first=0, then=20),
)
"""Later rows follow later rows: each law is fitted on rows that the laws before drew.

The first is given no row before it but the parent's first, the second one more, and so on.
"""
MOST_UNSURE = 0.03


def fit_families(
    schema: TablesSchema,
    answers: Sequence[Answer],
    *,
    certificate: Mapping[str, Any],
    plan_digest: str,
    left_out: Collection[str] = (),
) -> ForestSampler:
    """Return the sampler of what was measured; a function of the arguments.

    Guarantees: nothing but the answers and the schema is looked at.

    Args: answers: those of all phases, of any views, in any order.
    """
    fitting = Fitting(schema=schema, evidence=read_views(schema, answers))
    chains: dict[str, Chain] = {}
    for name in schema.downward:
        chains = {**chains, **fitting.fit(name, chains)}
    return ForestSampler(
        schema=schema,
        chains=chains,
        inside=fitting.inside,
        gaps=fitting.gaps,
        persons=round(fitting.evidence[schema.person].total),
        certificate=dict(certificate),
        plan_digest=plan_digest,
        left_out=tuple(left_out),
    )


def read_views(schema: TablesSchema, answers: Sequence[Answer]) -> dict[str, Evidence]:
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        found[answer.question.view].append(answer)
    domains = view_domains(schema)
    return {view: read_evidence(found[view], domain=domain) for view, domain in domains.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """What chains are fitted to, table by table."""

    schema: TablesSchema
    evidence: Mapping[str, Evidence] = field(repr=False)

    @cached_property
    def inside(self) -> dict[str, np.ndarray]:
        """Return how numbers lie inside their bins, of each table below the persons'."""
        found = {}
        for name in self.schema.downward[1:]:
            bins = len(number_edges(self.schema.tables[name])) - 1
            column, shares = number_name(name), np.full(bins, 1e-9)
            parent = str(self.schema.tables[name].parent)
            views = (
                (parent,) if parent == self.schema.person else (first_of(parent), later_of(parent))
            )
            for view in views:
                evidence = self.evidence[view]
                shares = shares + evidence.total * evidence.shares.get(column, np.zeros(bins))
            found[name] = numbers_inside(self.schema, name, shares / shares.sum())
        return found

    @cached_property
    def gaps(self) -> dict[str, np.ndarray]:
        """Return how gaps lie inside their bins, of each table that has some."""
        return {
            name: gaps_inside(scale, self.evidence[later_of(name)].shares.get(scale.name))
            for name, scale in gap_scales(self.schema).items()
        }

    def zeros(self, name: str) -> list[ImpossibleCells]:
        """Return the cells of a table's rows that cannot be, by its own rules and across tables."""
        found = list(self.schema.columns[name].rows.impossible())
        for rule in self.schema.across:
            if rule.tables[0] == name:
                cells = impossible_across(rule, schema=self.schema)
                found += [with_last(c, name=LAST) if rule.last else c for c in cells]
        return found

    def fit(self, name: str, above: Mapping[str, Chain]) -> dict[str, Chain]:
        """Return the chains of a table, given those of the tables above."""
        if name == self.schema.person:
            return {name: self._persons(name)}
        first, later = first_of(name), later_of(name)
        rows = draw_firsts(
            self.schema,
            above,
            inside=self.inside,
            gaps=self.gaps,
            table=name,
            rows=EFFORT.rows,
            marks=_marks(self.evidence[first]),
        )
        chain = self._chain(name, first, rows, EFFORT, start=None)
        if has_later(self.schema, name):
            laws = self._later(name, {**above, first: chain})
            fitted = {**above, first: chain, later: laws[-1]}
            laws.append(
                calibrate(
                    self.schema,
                    fitted,
                    inside=self.inside,
                    gaps=self.gaps,
                    table=name,
                    evidence=self.evidence[later],
                )
            )
            return {first: chain, later: laws[-1]}
        domain = drawn_domains(self.schema)[later]
        return {first: chain, later: Chain(domain=domain, own=chain.own, steps=chain.steps)}

    def _persons(self, name: str) -> Chain:
        """Return the chain of persons: first how many rows each has, evenly, then all else.

        Where persons are few, how many have many rows decides what most rows look like.
        """
        columns = self.schema.columns[name].rows
        numbers = tuple(number_name(below) for below in self.schema.below(name))
        rest = tuple(a for a in columns.domain.attributes if a not in numbers)
        return fit_chain(
            self.evidence[name],
            Population(known={}, weights=np.ones(EFFORT.rows)),
            domain=drawn_domains(self.schema)[name],
            own=(*numbers, *rest),
            zeros=columns.impossible(),
            order=None,
            effort=EFFORT,
            even=numbers,
        )

    def _later(self, name: str, chains: Mapping[str, Chain]) -> list[Chain]:
        """Return the laws of later rows, each fitted on what those before it drew."""
        view, most = later_of(name), max(effort.rows for effort in ROUNDS)
        places = draw_places(
            self.schema, chains, inside=self.inside, gaps=self.gaps, table=name, rows=most
        )
        marks = _marks(self.evidence[view])
        laws: list[Chain] = []
        for effort in ROUNDS:
            rows = places.taken(effort.rows).population(laws, marks=marks)
            start = laws[-1] if len(laws) > 1 else None
            laws.append(self._chain(name, view, rows, effort, start=start))
        return laws

    def _chain(
        self, name: str, view: str, rows: Population, effort: Effort, *, start: Chain | None
    ) -> Chain:
        table = self.schema.tables[name]
        drawer = Drawer(
            schema=self.schema, chains={}, inside=self.inside, gaps=self.gaps, seed=SEED
        )
        gaps = drawer.gap_drawer(name)
        return fit_chain(
            self.evidence[view],
            rows,
            domain=drawn_domains(self.schema)[view],
            own=own_attributes(self.schema)[view],
            zeros=self.zeros(name),
            order=table.order if view == later_of(name) else None,
            barred=barred_gaps(gaps, rows),
            follows=follow_gaps(gaps, rows),
            effort=effort,
            start=start,
        )


def _marks(evidence: Evidence) -> dict[str, np.ndarray]:
    """Return the shares that drawn rows are weighed to: what weights, and what draws before, bend.

    Those of columns that noise leaves sure.
    """
    return {c: s for c, s in evidence.shares.items() if evidence.unsure[c] < MOST_UNSURE}
