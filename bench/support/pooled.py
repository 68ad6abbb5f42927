"""Run a plan on pooled codes without gateways: fast, for figures alone.

What the coordinator learns in a federation is the sum over the silos of counts and of noise, so
its law depends on the pooled rows and on the variance of the summed noise, and not on who holds
which row. Noise is normal, rounded to integers, and seeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.aim.published import Counts
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.messages import FINE
from silosynth.common.plan import OF_VALUES, PhaseName, Plan
from silosynth.common.sampler import AnySampler
from silosynth.common.schema import CategoricalAttribute, OrdinalAttribute, Schema, Source
from silosynth.server.measuring import Carried, weigh_columns
from silosynth.server.methods import Known, ask_phase, finish_run
from silosynth.server.methods.method import Model

NOTHING = Carried()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PooledRun:
    """What a plan made: the model over the merged codes, and the sampler over fine ones."""

    model: Model
    sampler: AnySampler
    asked: Mapping[PhaseName, tuple[Clique, ...]]
    measured: Mapping[PhaseName, tuple[Measurement, ...]]


def run_pooled(
    plan: Plan,
    counts: Counts,
    *,
    schema: Schema,
    rng: np.random.Generator,
    silos: int = 1,
    carried: Carried = NOTHING,
) -> PooledRun:
    """Ask every phase of ``plan``, with the noise of ``silos`` silos in each sum, and fit.

    Numbers have the bins of ``schema``: their values are not looked at. ``carried`` is what the
    sampler says that a plan renews.
    """

    def known() -> Known:
        one_way = measured.get(PhaseName.ONE_WAY, ())
        merging = weigh_columns(one_way, carried) if one_way else ()
        return Known(plan=plan, schema=schema, measured=measured, merging=merging, carried=carried)

    measured: dict[PhaseName, tuple[Measurement, ...]] = {}
    asked: dict[PhaseName, tuple[Clique, ...]] = {}
    for phase in plan.phases:
        if phase.name in OF_VALUES:
            continue
        question = ask_phase(phase.name, known())
        levels = {FINE: Grouping()} | dict(question.levels)
        asked[phase.name] = tuple(q.clique for q in question.queries)
        if question.queries:
            measured[phase.name] = tuple(
                _measure(
                    counts,
                    q.clique,
                    grouping=levels[q.level],
                    domain=schema.domain,
                    variance=float(phase.sigma2) * silos,
                    rng=rng,
                )
                for q in question.queries
            )
    outcome = finish_run(known())
    return PooledRun(model=outcome.model, sampler=outcome.sampler, asked=asked, measured=measured)


def coded_schema(name: str, *, domain: Domain, ordered: frozenset[str]) -> Schema:
    """Return a schema whose codes are the domain's, the numbers among them in order."""
    kinds = {
        a: OrdinalAttribute if a in ordered else CategoricalAttribute for a in domain.attributes
    }
    return Schema(
        name=name,
        attributes=tuple(
            kinds[a](
                name=a, categories=tuple(map(str, range(size))), other=False, source=Source.PUBLIC
            )
            for a, size in zip(domain.attributes, domain.shape, strict=True)
        ),
    )


def _measure(
    counts: Counts,
    clique: Clique,
    *,
    grouping: Grouping,
    domain: Domain,
    variance: float,
    rng: np.random.Generator,
) -> Measurement:
    """Return the merged counts with noise."""
    table = counts(clique).reshape(domain.sizes(clique))
    for axis, attribute in enumerate(clique):
        groups = grouping.lookup(attribute, table.shape[axis])
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(int(groups.max()) + 1))
        table = np.add.reduceat(np.take(table, order, axis=axis), starts, axis=axis)
    values = table.ravel() + np.rint(rng.normal(0.0, variance**0.5, table.size))
    return Measurement(
        clique=clique,
        values=values,
        variance=np.full(values.size, variance),
        grouping=grouping,
    )
