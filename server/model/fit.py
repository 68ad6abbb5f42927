"""Fit a graphical model to measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidArgument, InvalidMeasurement, ModelTooLarge
from silosynth.common.measurement import Measurement
from silosynth.common.schema import ImpossibleCells
from silosynth.server.model.beliefs import Beliefs, Layout, lay_out, move, reweight, uniform, view
from silosynth.server.model.descent import Descent, descend, impose_targets
from silosynth.server.model.device import Device, choose_engine
from silosynth.server.model.engine import Engine
from silosynth.server.model.graphical_model import GraphicalModel
from silosynth.server.model.junction_tree import JunctionTree, build_junction_tree, reorder
from silosynth.server.model.marginals import marginal_table
from silosynth.server.model.tables import sum_onto
from silosynth.server.model.targets import (
    Objective,
    Target,
    check_measurements,
    estimate_total,
    merge_measurements,
    move_objective,
    place_targets,
)

ITERATIONS = 1000
TOLERANCE = 1e-3
MAX_MODEL_MB = 256.0
# A warm start keeps this much of the uniform distribution, so that no cell is lost for good.
REFRESH = 0.01
# Loss per cell under which a warm start is left as it is; noise alone makes 0.5.
NOISE_LOSS = 1.0


def fit(
    measurements: Sequence[Measurement],
    *,
    domain: Domain,
    total: float | None = None,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    max_model_mb: float = MAX_MODEL_MB,
    warm_start: GraphicalModel | None = None,
    zeros: Sequence[ImpossibleCells] = (),
    device: Device | str = Device.AUTO,
) -> GraphicalModel:
    """Fit the distribution that explains noised marginals best.

    Minimises 0.5 * sum over measurements and cells of (values - marginal)^2 / variance over all
    distributions of ``total`` rows; what no measurement determines stays close to maximum entropy.

    Args:
        domain: the domain whose codes the measurements' groupings merge.
        total: rows; estimated from the measurements when None, and then at least 1.
        iterations, tolerance: stop after so many, or when 100 gain less than this share of the
            loss.
        max_model_mb: limit on the tables of the junction tree, in MiB of float64; fitting holds
            about four such copies.
        warm_start: a model of an earlier round to start from; any tree over the same domain. One
            that takes tables above ``max_model_mb`` to carry over is left aside.
        zeros: cells that get exactly 0, whatever was measured; their cliques join the tree.
        device: where the descent runs; large models go to a GPU where there is one.
    Errors: InvalidMeasurement; InvalidArgument; ModelTooLarge before anything is allocated.
    """
    check_measurements(measurements, domain=domain)
    for name, value in (("iterations", iterations), ("tolerance", tolerance)):
        if not value >= 0:
            raise InvalidArgument(f"{name} must be at least 0, not {value}")
    rows = _choose_total(measurements, total=total)
    cliques = [*(m.clique for m in measurements), *(z.clique for z in zeros)]
    tree = build_junction_tree(cliques, domain=domain)
    _check_size(tree, max_model_mb=max_model_mb)
    inner = _by_size(domain)
    layout = lay_out(reorder(tree, domain=inner), zeros=zeros)
    targets = merge_measurements(measurements, domain=inner)
    objective = place_targets(targets, layout=layout, total=rows)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        start = _start(warm_start, objective=objective, layout=layout, max_model_mb=max_model_mb)
        descent = _descend_on(
            choose_engine(device, cells=tree.cells),
            objective,
            start,
            layout=layout,
            iterations=iterations,
            tolerance=tolerance,
        )
    return _finish(descent, layout=layout, tree=tree, total=rows, targets=targets)


def _descend_on(
    engine: Engine,
    objective: Objective,
    start: Beliefs,
    *,
    layout: Layout,
    iterations: int,
    tolerance: float,
) -> Descent:
    """Descend where ``engine`` computes, and return NumPy's arrays."""
    there = move(layout, engine)
    descent = descend(
        move_objective(objective, engine),
        view(there, engine.send(start.flat)),
        layout=there,
        iterations=iterations,
        tolerance=tolerance,
    )
    return replace(descent, beliefs=view(layout, engine.fetch(descent.beliefs.flat)))


def _by_size(domain: Domain) -> Domain:
    """Return the domain with rising sizes: with a short last axis, sums are 20 times slower."""
    names = tuple(sorted(domain.attributes, key=lambda a: domain.size((a,))))
    return Domain(attributes=names, shape=domain.sizes(names))


def _choose_total(measurements: Sequence[Measurement], *, total: float | None) -> float:
    """Return the number of rows to fit; raise InvalidMeasurement when it cannot be used."""
    if total is None:
        return estimate_total(measurements)
    if not (total > 0 and math.isfinite(total)):
        raise InvalidMeasurement(
            f"a total of {total} rows cannot be fitted", hint="leave it out to estimate it"
        )
    return float(total)


def _check_size(tree: JunctionTree, *, max_model_mb: float) -> None:
    """Raise ModelTooLarge when the tables of ``tree`` are above the limit."""
    if not max_model_mb > 0:
        raise InvalidArgument(f"max_model_mb must be above 0, not {max_model_mb}")
    if tree.bytes > max_model_mb * 2**20:
        largest = tree.largest
        raise ModelTooLarge(
            f"the model has {tree.cells} cells, more than max_model_mb = {max_model_mb:g} holds; "
            f"its largest clique {largest} has {tree.domain.size(largest)}",
            hint="measure fewer or smaller cliques, merge codes, or raise max_model_mb",
        )


def _start(
    model: GraphicalModel | None, *, objective: Objective, layout: Layout, max_model_mb: float
) -> Beliefs:
    """Return where to start: what is known from ``model``, then what the targets add."""
    recalled = None
    if model is not None:
        if sorted(_sizes(model.domain)) != sorted(_sizes(layout.tree.domain)):
            raise InvalidArgument("the warm start is a model over another domain")
        recalled = _recall(model, layout=layout, max_cells=int(max_model_mb * 2**20) // 8)
    return impose_targets(
        _without_zeros(uniform(layout) if recalled is None else recalled, layout=layout),
        objective=objective,
        layout=layout,
        tolerated=0.0 if recalled is None else NOISE_LOSS,
    )


def _without_zeros(beliefs: Beliefs, *, layout: Layout) -> Beliefs:
    """Return the distribution without its impossible cells."""
    if not layout.zeros:
        return beliefs
    possible = view(layout, beliefs.flat.copy())
    if not math.isfinite(reweight(beliefs, (), layout=layout, out=possible)):
        raise InvalidArgument("the structural zeros leave no combination of all attributes")
    return possible


def _sizes(domain: Domain) -> list[tuple[str, int]]:
    """Return each attribute with its size."""
    return list(zip(domain.attributes, domain.shape, strict=True))


def _recall(model: GraphicalModel, *, layout: Layout, max_cells: int) -> Beliefs | None:
    """Return the tables that a model implies on a new tree, None when that takes too much."""
    beliefs = uniform(layout)
    for table, clique in zip(beliefs.tables, layout.tree.cliques, strict=False):
        try:
            known = marginal_table(
                clique, tree=model.tree, tables=model.tables, max_cells=max_cells
            )
        except ModelTooLarge:
            return None
        table *= REFRESH
        table += (1.0 - REFRESH) / model.total * known
    for edge, table in zip(layout.edges, beliefs.tables[layout.cliques :], strict=True):
        table[...] = beliefs.tables[edge.child].sum(axis=edge.child_axes)
    return beliefs


def _finish(
    descent: Descent,
    *,
    layout: Layout,
    tree: JunctionTree,
    total: float,
    targets: Sequence[Target],
) -> GraphicalModel:
    """Return the model at the end of a descent, with its axes in the order of the domain."""
    for weight in layout.zeros:
        descent.beliefs.tables[weight.scope].__imul__(weight.values)
    pairs = zip(descent.beliefs.tables, layout.tree.cliques, tree.cliques, strict=False)
    return GraphicalModel(
        tree=tree,
        total=total,
        tables=tuple(
            np.ascontiguousarray(sum_onto(table, clique=inner, kept=clique)) * total
            for table, inner, clique in pairs
        ),
        loss=descent.losses[-1] + sum(t.spread for t in targets),
        iterations=len(descent.losses) - 1,
    )
