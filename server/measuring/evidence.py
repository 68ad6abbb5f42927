"""What the model of a run is fitted to, and over which codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema.schema import Schema
from silosynth.common.schema.zeros import ImpossibleCells
from silosynth.server.measuring.aim import choose_cliques, score_by_workload
from silosynth.server.measuring.mst import MOST_AIM_GROUPS, coarse_groups
from silosynth.server.measuring.sum import regroup
from silosynth.server.measuring.working_domain import (
    coarse_grouping,
    keep_zeros_apart,
    working_grouping,
)
from silosynth.server.model.device import Device
from silosynth.server.model.fit import ITERATIONS, GraphicalModel, fit
from silosynth.server.model.junction_tree import build_junction_tree

WORKING_DEVIATIONS = 1.5
"""Standard deviations of a round's noise in a cell of two of AIM's working attributes."""

AIM_RARE_DEVIATIONS = 1.0
"""AIM merges by mass in any case; merging more rare codes first blurs what 1-ways know."""
ROUND_ITERATIONS = 150
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
    fitted, _ = _part_coarse(measured, domain=domain, grouping=grouping)
    return fitted


def _part_coarse(
    measured: Measured, *, domain: Domain, grouping: Grouping
) -> tuple[tuple[Measurement, ...], tuple[Measurement, ...]]:
    """Return what a model is fitted to, and the coarse pairs that lie outside its cliques."""
    over = {
        phase: [regroup(m, domain=domain, grouping=grouping) for m in measurements]
        for phase, measurements in measured.items()
    }
    coarse = over.pop(PhaseName.COARSE, [])
    full = [m for measurements in over.values() for m in measurements]
    tree = build_junction_tree([m.clique for m in full], domain=grouping.domain(domain))
    inside = [m for m in coarse if tree.holders(m.clique)]
    outside = [m for m in coarse if not tree.holders(m.clique)]
    return (*full, *inside), tuple(outside)


def fit_run(
    plan: Plan, schema: Schema, measured: Measured, *, grouping: Grouping
) -> tuple[GraphicalModel, tuple[Measurement, ...]]:
    """Fit the model of a finished run, and return it with what it was fitted to.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    domain, zeros = grouping.domain(schema.domain), merged_zeros(schema, grouping=grouping)
    fitted, outside = _part_coarse(measured, domain=schema.domain, grouping=grouping)
    if plan.method is Method.AIM and outside:
        fitted += joining_pairs(plan, fitted, outside=outside, domain=domain, zeros=zeros)
    model = fit(
        fitted,
        domain=domain,
        iterations=AIM_ITERATIONS if plan.method is Method.AIM else ITERATIONS,
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
    )
    return model, fitted


def joining_pairs(
    plan: Plan,
    fitted: Sequence[Measurement],
    *,
    outside: Sequence[Measurement],
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
) -> tuple[Measurement, ...]:
    """Return the pairs of ``outside`` that join a run's last fit: coarse ones that no round asked.

    The model takes those that it is furthest from while it stays within the plan's limit, and then
    all that lie inside one of its cliques. They are measured already, so this costs no privacy.
    """
    model = fit_to_choose(plan, fitted, domain=domain, zeros=zeros)
    present = [*(m.clique for m in fitted), *(z.clique for z in zeros)]
    chosen = choose_cliques(
        score_by_workload(model, outside, workload=plan.workload, weights=plan.weights),
        present=present,
        domain=domain,
        count=len(outside),
        limit_bytes=[plan.max_model_mb * 2**20] * len(outside),
    )
    tree = build_junction_tree([*present, *chosen], domain=domain)
    return tuple(m for m in outside if tree.holders(m.clique))


def fit_to_choose(
    plan: Plan,
    fitted: Sequence[Measurement],
    *,
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
) -> GraphicalModel:
    """Fit a model that pairs are scored against."""
    return fit(
        fitted,
        domain=domain,
        iterations=ROUND_ITERATIONS,
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
        # A replay must choose the same again, and sums on a GPU differ from run to run.
        device=Device.CPU,
    )
