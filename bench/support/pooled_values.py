"""Run a plan on a pooled table without gateways, from its values to drawn rows: for figures alone.

As :mod:`pooled`, with the phases that look at values: counted by the code that silos count with,
noise normal, rounded to integers and seeded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from bench.aim.published import count_with_cache
from bench.support.pooled import run_pooled
from bench.support.tables import encode
from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.source import open_table
from silosynth.common.domain import Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import OF_VALUES, Phase, PhaseName, Plan
from silosynth.common.sampler import AnySampler
from silosynth.common.schema import Schema
from silosynth.server.coordinator.values import leaves_question, trees_question
from silosynth.server.methods import Question
from silosynth.server.values import Counted, Values, estimate_values, gather


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawable:
    """A sampler, and how many CPU seconds the values, and all of it, took."""

    sampler: AnySampler
    values_seconds: float
    seconds: float


def run_table(
    plan: Plan, table: pa.Table, *, schema: Schema, rng: np.random.Generator, silos: int = 1
) -> Drawable:
    """Ask every phase of ``plan`` of all rows, with the noise of ``silos`` silos in each sum."""
    start = time.process_time()
    values = look(plan, table, schema=schema, rng=rng, silos=silos)
    between = time.process_time()
    counts = count_with_cache(
        encode(table, schema=values.schema).astype(np.int64), domain=schema.domain
    )
    rest = plan.model_copy(
        update={"phases": tuple(p for p in plan.phases if p.name not in OF_VALUES)}
    )
    done = run_pooled(rest, counts, schema=values.schema, rng=rng, silos=silos)
    sampler = replace(done.sampler, schema=schema, spreads=values.spreads)
    end = time.process_time()
    return Drawable(sampler=sampler, values_seconds=between - start, seconds=end - start)


def look(
    plan: Plan, table: pa.Table, *, schema: Schema, rng: np.random.Generator, silos: int
) -> Values:
    """Return what the phases that look at values make of a table."""
    if not plan.values:
        return Values(schema=schema, edges={}, spreads={})
    found: dict[PhaseName, dict[str, Counted]] = {}
    leaves: Mapping[str, tuple[int, ...]] = {}
    source = open_table(table, schema=schema)
    for phase in (p for p in plan.phases if p.name in OF_VALUES):
        if phase.name is PhaseName.VALUES:
            question = trees_question(plan)
        else:
            question = leaves_question(plan, schema, found[PhaseName.VALUES])
            leaves = question.leaves or {}
        if question.empty:
            continue
        request = question.request(plan=plan, phase=phase.name, silo=plan.silos[0])
        asked = Asked(
            rows=source,
            schema=schema,
            plan=plan,
            request=request,
            rows_per_person=1,
            plan_digest=plan.digest,
        )
        sums = _measure(ask_rows(asked), question, phase=phase, rng=rng, silos=silos)
        levels = [q.level for q in question.queries]
        found[phase.name] = gather(plan.values, list(zip(levels, sums, strict=True)))
    return estimate_values(
        found[PhaseName.VALUES],
        schema=schema,
        leaves=leaves,
        closer=found.get(PhaseName.CLOSER, {}),
    )


def _measure(
    counts: Sequence[np.ndarray],
    question: Question,
    *,
    phase: Phase,
    rng: np.random.Generator,
    silos: int,
) -> list[Measurement]:
    """Return counts with noise."""
    variance = float(phase.sigma2) * silos
    return [
        Measurement(
            clique=query.clique,
            values=c + np.rint(rng.normal(0.0, variance**0.5, len(c))),
            variance=np.full(len(c), variance),
            grouping=Grouping(),
        )
        for query, c in zip(question.queries, counts, strict=True)
    ]
