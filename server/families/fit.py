"""Fit the sampler of several tables, top down: persons, then first rows, then later ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from silosynth.common.families import (
    Answer,
    first_of,
    later_of,
    single_views,
    view_domains,
)
from silosynth.common.forest import Chain, ForestSampler
from silosynth.common.tables import TablesSchema, ancestors, number_name
from silosynth.server.families.ask import has_later
from silosynth.server.families.chain import Effort, fit_chain
from silosynth.server.families.evidence import Evidence, read_evidence
from silosynth.server.families.population import Population, draw_population

EFFORT = Effort(rows=20_000, first=25, then=12)
ROUNDS = (
    Effort(rows=5_000, first=0, then=20, memory=False),
    Effort(rows=10_000, first=0, then=20),
    EFFORT,
)
"""Later rows follow later rows, so their laws are fitted on rows that the laws before drew.

The first time those follow nothing yet, and what the row before and the first row say would be at
odds; so the first row comes in after.
"""


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
    evidence = _by_view(schema, answers)
    chains: dict[str, Chain] = {}
    for name in schema.downward:
        if name == schema.person:
            chains[name] = _persons(schema, evidence[name])
        else:
            chains |= _rows(schema, name, evidence, chains)
    return ForestSampler(
        schema=schema,
        chains=chains,
        persons=round(evidence[schema.person].total),
        certificate=dict(certificate),
        plan_digest=plan_digest,
        left_out=tuple(left_out),
    )


def _by_view(schema: TablesSchema, answers: Sequence[Answer]) -> dict[str, Evidence]:
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        found[answer.question.view].append(answer)
    domains = view_domains(schema)
    return {view: read_evidence(found[view], domain=domain) for view, domain in domains.items()}


def _persons(schema: TablesSchema, evidence: Evidence) -> Chain:
    rows = schema.columns[schema.person].rows
    nothing = Population(known={}, weights=np.ones(EFFORT.rows))
    return fit_chain(
        evidence,
        nothing,
        own=rows.domain.attributes,
        zeros=rows.impossible(),
        order=None,
        effort=EFFORT,
    )


def _rows(
    schema: TablesSchema, name: str, evidence: Mapping[str, Evidence], above: Mapping[str, Chain]
) -> dict[str, Chain]:
    """Return the chains of a table's first rows and of its later ones."""
    first, later = first_of(name), later_of(name)
    chains = {**above}
    chains[first] = _chain(schema, name, first, evidence, chains, EFFORT, start=None)
    domain = view_domains(schema)[later]
    chains[later] = Chain(domain=domain, own=chains[first].own, steps=chains[first].steps)
    if has_later(schema, name):
        for effort in ROUNDS:
            start = chains[later] if effort is not ROUNDS[0] else None
            chains[later] = _chain(schema, name, later, evidence, chains, effort, start=start)
    return {first: chains[first], later: chains[later]}


def _chain(
    schema: TablesSchema,
    name: str,
    view: str,
    evidence: Mapping[str, Evidence],
    chains: Mapping[str, Chain],
    effort: Effort,
    *,
    start: Chain | None,
) -> Chain:
    rows = schema.columns[name].rows
    own = rows.domain.attributes
    population = draw_population(
        schema,
        chains,
        table=name,
        view=view,
        rows=effort.rows,
        marks={} if view in single_views(schema) else _marks(schema, name, evidence[view]),
    )
    return fit_chain(
        evidence[view],
        population,
        own=own,
        zeros=rows.impossible(),
        order=schema.tables[name].order if view == later_of(name) else None,
        effort=effort,
        start=start,
    )


def _marks(schema: TablesSchema, name: str, evidence: Evidence) -> dict[str, np.ndarray]:
    """Return how many weighed rows there are by the numbers of rows above: weights bend those."""
    path = [name, *ancestors(schema.tables, name)]
    columns = (f"{up}: {number_name(down)}" for down, up in pairwise(path))
    return {c: evidence.shares[c] for c in columns if c in evidence.shares}
