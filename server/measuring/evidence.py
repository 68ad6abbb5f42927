"""What the model of a run is fitted to, and over which codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import ROUNDS, PhaseName, Plan
from silosynth.common.schema import ImpossibleCells, Schema
from silosynth.server.measuring.sum import regroup
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit

Measured = Mapping[PhaseName, Sequence[Measurement]]


def merged_zeros(schema: Schema, *, grouping: Grouping) -> tuple[ImpossibleCells, ...]:
    """Return the impossible cells over merged codes: those of which every code is impossible."""
    return tuple(
        zeros.merged(
            [
                np.asarray(grouping.lookup(a, size))
                for a, size in zip(zeros.clique, zeros.mask.shape, strict=True)
            ]
        )
        for zeros in schema.impossible()
    )


def phase_deviation(phase: PhaseName, *, plan: Plan, one_way: Sequence[Measurement]) -> float:
    """Return the noise of a cell of ``phase`` after summing over as many silos as answered."""
    variance = float(np.median([m.variance[0] for m in one_way]))
    silos = variance / float(plan.phase(PhaseName.ONE_WAY).noise.variance(silos=1))
    return math.sqrt(silos * float(plan.phase(phase).noise.variance(silos=1)))


def fitting_measurements(
    measured: Measured,
    *,
    domain: Domain,
    grouping: Grouping,
    zeros: Sequence[ImpossibleCells],
) -> tuple[Measurement, ...]:
    """Return the measurements that the model is fitted to, over the working domain.

    Coarse pairs take part where they lie inside a clique that the others and the impossible cells
    make: those cost nothing. The rest would join every attribute with every other one in a single
    clique.
    """
    fitted, _ = part_coarse(measured, domain=domain, grouping=grouping, zeros=zeros)
    return fitted


def part_coarse(
    measured: Measured,
    *,
    domain: Domain,
    grouping: Grouping,
    zeros: Sequence[ImpossibleCells],
) -> tuple[tuple[Measurement, ...], tuple[Measurement, ...]]:
    """Return what a model is fitted to, and the coarse pairs that lie outside its cliques.

    Guarantees: with the coarse pairs the model is no larger than it is without them.
    """
    over = {
        phase: [regroup(m, domain=domain, grouping=grouping) for m in measurements]
        for phase, measurements in measured.items()
    }
    coarse = over.pop(PhaseName.COARSE, [])
    full = [m for measurements in over.values() for m in measurements]
    present = [*(m.clique for m in full), *(z.clique for z in zeros)]
    inside = held_inside(coarse, present=present, domain=grouping.domain(domain))
    held = {id(m) for m in inside}
    return (*full, *inside), tuple(m for m in coarse if id(m) not in held)


def held_inside(
    measurements: Sequence[Measurement], *, present: Sequence[Clique], domain: Domain
) -> tuple[Measurement, ...]:
    """Return the measurements that lie inside a clique of the tree that ``present`` makes.

    With all of them a tree is the same one. Where some pairs of a clique were not measured, another
    order of elimination may come out, and a larger tree: then those alone that are present.
    """
    tree = build_junction_tree(present, domain=domain)
    inside = tuple(m for m in measurements if tree.holders(m.clique))
    joined = build_junction_tree([*present, *(m.clique for m in inside)], domain=domain)
    if joined.cells <= tree.cells:
        return inside
    known = {frozenset(clique) for clique in present}
    return tuple(m for m in inside if frozenset(m.clique) in known)


def fit_measured(
    plan: Plan, schema: Schema, measured: Measured, *, grouping: Grouping
) -> tuple[GraphicalModel, tuple[Measurement, ...]]:
    """Fit the model of a finished run, and return it with what it was fitted to.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    zeros = merged_zeros(schema, grouping=grouping)
    fitted = fitting_measurements(measured, domain=schema.domain, grouping=grouping, zeros=zeros)
    model = fit(
        fitted,
        domain=grouping.domain(schema.domain),
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
    )
    return model, fitted


def rounds_measured(measured: Measured) -> list[Measurement]:
    """Return what rounds have measured so far."""
    return [m for name in ROUNDS for m in measured.get(name, ())]
