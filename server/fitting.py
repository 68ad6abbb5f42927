"""What the model of a run is fitted to, and over which codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.common.structural_zeros import ImpossibleCells
from silosynth.server.aggregate import regroup
from silosynth.server.compress import coarse_grouping, keep_zeros_apart, working_grouping
from silosynth.server.fit import ITERATIONS, GraphicalModel, fit
from silosynth.server.junction_tree import build_junction_tree
from silosynth.server.select import MOST_AIM_GROUPS, coarse_groups

WORKING_DEVIATIONS = 1.5
"""Standard deviations of a round's noise in a cell of two of AIM's working attributes."""

AIM_RARE_DEVIATIONS = 1.0
"""AIM merges by mass in any case; merging more rare codes first blurs what 1-ways know."""
AIM_ITERATIONS = 300
"""Of the last fit: on models of many cells, further ones follow the noise and take a minute."""

Measured = Mapping[PhaseName, Sequence[Measurement]]


def model_grouping(plan: Plan, schema: Schema, one_way: Sequence[Measurement]) -> Grouping:
    """Return the merge of fine codes into the codes that the model is over.

    Rare codes are merged for every method. AIM merges on, into as many groups as its rounds can
    tell apart in a pair: finer cells would only be noise that the model follows.
    """
    if plan.method is not Method.AIM:
        return working_grouping(schema, one_way)
    working = working_grouping(schema, one_way, rare_deviations=AIM_RARE_DEVIATIONS)
    deviation = WORKING_DEVIATIONS * phase_deviation(ROUNDS[0], plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=deviation, most=MOST_AIM_GROUPS)
    merged = coarse_grouping(schema, one_way, working=working, count=count)
    return keep_zeros_apart(merged, schema=schema)


def merged_zeros(schema: Schema, *, grouping: Grouping) -> tuple[ImpossibleCells, ...]:
    """Return the structural zeros over merged codes; ``grouping`` keeps them apart."""
    return tuple(
        ImpossibleCells(
            clique=zeros.clique,
            mask=zeros.mask[
                np.ix_(
                    *[
                        np.unique(grouping.lookup(a, size), return_index=True)[1]
                        for a, size in zip(zeros.clique, zeros.mask.shape, strict=True)
                    ]
                )
            ],
        )
        for zeros in schema.impossible()
    )


def phase_deviation(phase: PhaseName, *, plan: Plan, one_way: Sequence[Measurement]) -> float:
    """Return the noise of a cell of ``phase`` after summing over as many silos as answered."""
    silos = float(one_way[0].variance[0] / plan.phase(PhaseName.ONE_WAY).sigma2)
    return math.sqrt(silos * plan.phase(phase).sigma2)


def fitting_measurements(
    measured: Measured, *, domain: Domain, grouping: Grouping
) -> tuple[Measurement, ...]:
    """Return the measurements that the model is fitted to, over the working domain.

    Coarse pairs take part where they lie inside a clique that the others make: those cost nothing.
    The rest would join every attribute with every other one in a single clique.
    """
    full = [
        regroup(m, domain=domain, grouping=grouping)
        for phase, measurements in measured.items()
        if phase is not PhaseName.COARSE
        for m in measurements
    ]
    tree = build_junction_tree([m.clique for m in full], domain=grouping.domain(domain))
    inside = [m for m in measured.get(PhaseName.COARSE, ()) if tree.holders(m.clique)]
    return (*full, *(regroup(m, domain=domain, grouping=grouping) for m in inside))


def fit_run(
    plan: Plan, schema: Schema, measured: Measured, *, grouping: Grouping
) -> tuple[GraphicalModel, tuple[Measurement, ...]]:
    """Fit the model of a finished run, and return it with what it was fitted to.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    fitted = fitting_measurements(measured, domain=schema.domain, grouping=grouping)
    model = fit(
        fitted,
        domain=grouping.domain(schema.domain),
        iterations=AIM_ITERATIONS if plan.method is Method.AIM else ITERATIONS,
        max_model_mb=plan.max_model_mb,
        zeros=merged_zeros(schema, grouping=grouping),
    )
    return model, fitted
