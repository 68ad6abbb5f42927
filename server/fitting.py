"""What the model of a run is fitted to, and over which codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.aggregate import regroup
from silosynth.server.compress import coarse_grouping, working_grouping
from silosynth.server.junction_tree import build_junction_tree
from silosynth.server.select import MOST_AIM_GROUPS, coarse_groups

WORKING_DEVIATIONS = 1.5
"""Standard deviations of a round's noise in a cell of two of AIM's working attributes."""

Measured = Mapping[PhaseName, Sequence[Measurement]]


def model_grouping(plan: Plan, schema: Schema, one_way: Sequence[Measurement]) -> Grouping:
    """Return the merge of fine codes into the codes that the model is over.

    Rare codes are merged for every method. AIM merges on, into as many groups as its rounds can
    tell apart in a pair: finer cells would only be noise that the model follows.
    """
    working = working_grouping(schema, one_way)
    if plan.method is not Method.AIM:
        return working
    deviation = WORKING_DEVIATIONS * phase_deviation(ROUNDS[0], plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=deviation, most=MOST_AIM_GROUPS)
    return coarse_grouping(schema, one_way, working=working, count=count)


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
