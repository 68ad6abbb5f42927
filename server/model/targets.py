"""Measurements merged into targets: one precision-weighted table per clique and grouping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidMeasurement, InvalidPlan
from silosynth.common.measurement import Measurement, weighed_mean
from silosynth.server.model.beliefs import Beliefs, Layout, Weight
from silosynth.server.model.engine import NUMPY, Engine
from silosynth.server.model.tables import axes_outside, broadcast_shape

LARGEST = 1e60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """The best estimate of one grouped marginal from all its measurements.

    ``values`` and ``precision`` are (cells,) float64, in rows and 1 / rows^2, row-major over the
    clique in column order. ``cell_of`` maps the codes of the clique to cells, None for identity.
    ``spread`` is the loss of ``values`` themselves: what no model can fit.
    """

    clique: Clique
    values: np.ndarray
    precision: np.ndarray
    cell_of: np.ndarray | None
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where a target is read from the tables of a tree, and where its cells stand."""

    scope: int
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    cell_of: np.ndarray | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objective:
    """0.5 * sum of precision * (values - marginal)^2 over all cells of all targets, one vector.

    ``values`` are shares of the total and ``precision`` is scaled to match.
    """

    places: tuple[Place, ...]
    values: np.ndarray
    precision: np.ndarray
    engine: Engine = NUMPY

    def loss(self, shares: np.ndarray) -> float:
        """Return the loss of (cells,) float64 ``shares``."""
        residual = shares - self.values
        # No dot product: on vectors this long it wakes threads, which stall on busy cores.
        return 0.5 * float((self.precision * residual * residual).sum())

    def only(self, place: Place) -> Objective:
        """Return the objective of one target."""
        cells = slice(place.start, place.stop)
        alone = replace(place, start=0, stop=place.stop - place.start)
        return Objective(
            places=(alone,), values=self.values[cells], precision=self.precision[cells]
        )


def check_measurements(measurements: Sequence[Measurement], *, domain: Domain) -> None:
    """Raise InvalidMeasurement unless there is a measurement and all fit ``domain``.

    Numbers whose squares would leave float64 are refused like those that are not finite.
    """
    if not measurements:
        raise InvalidMeasurement("there is no measurement to fit", hint="measure 1-way marginals")
    for measurement in measurements:
        try:
            measurement.check(domain)
        except InvalidPlan as err:
            raise InvalidMeasurement(f"measurement of {measurement.clique}: {err.message}") from err
        sizes = (np.abs(measurement.values), measurement.variance, 1.0 / measurement.variance)
        if any(size.max() > LARGEST for size in sizes):
            raise InvalidMeasurement(
                f"values or variance of {measurement.clique} are beyond {LARGEST:g}",
                hint="state counts of rows and their variance",
            )


def estimate_total(measurements: Sequence[Measurement]) -> float:
    """Estimate the number of rows, at least 1.

    Each measurement's sum is an unbiased estimate with the sum of its variances; they are weighted
    by inverse variance, which has the least variance of all weightings.
    """
    sums = np.array([m.values.sum() for m in measurements])
    precision = 1.0 / np.array([m.variance.sum() for m in measurements])
    shares = precision / precision.max()
    return max(float(sums @ shares / shares.sum()), 1.0)


def merge_measurements(measurements: Sequence[Measurement], *, domain: Domain) -> list[Target]:
    """Merge measurements of the same clique and grouping, in any order of attributes."""
    merged: dict[tuple[Clique, bytes], list[Measurement]] = {}
    cell_of: dict[tuple[Clique, bytes], np.ndarray | None] = {}
    for measurement in measurements:
        canonical = _in_column_order(measurement, domain=domain)
        cells = _cell_of(canonical, domain=domain)
        key = (canonical.clique, b"" if cells is None else cells.tobytes())
        merged.setdefault(key, []).append(canonical)
        cell_of[key] = cells
    return [_merge(merged[key], cell_of=cell_of[key]) for key in sorted(merged)]


def _in_column_order(measurement: Measurement, *, domain: Domain) -> Measurement:
    """Return the measurement with its attributes in column order."""
    clique = domain.ordered(measurement.clique)
    if clique == measurement.clique:
        return measurement
    sizes = measurement.grouping.domain(domain).sizes(measurement.clique)
    axes = [measurement.clique.index(a) for a in clique]
    values, variance = (
        a.reshape(sizes).transpose(axes).ravel() for a in (measurement.values, measurement.variance)
    )
    return Measurement(
        clique=clique, values=values, variance=variance, grouping=measurement.grouping
    )


def _cell_of(measurement: Measurement, *, domain: Domain) -> np.ndarray | None:
    """Return (codes of the clique,) int64, the cell each falls in; None when each has its own."""
    clique, grouping = measurement.clique, measurement.grouping
    if not set(clique) & set(grouping.groups):
        return None
    lookups = [
        grouping.lookup(a, size) for a, size in zip(clique, domain.sizes(clique), strict=True)
    ]
    cells = np.ravel_multi_index(np.ix_(*lookups), grouping.domain(domain).sizes(clique)).ravel()
    return None if np.array_equal(cells, np.arange(cells.size)) else cells


def _merge(measurements: Sequence[Measurement], *, cell_of: np.ndarray | None) -> Target:
    """Return the inverse-variance weighted mean and its precision."""
    values, precision = weighed_mean(measurements)
    return Target(
        clique=measurements[0].clique,
        values=values,
        precision=precision,
        cell_of=cell_of,
        spread=0.5
        * sum(float(((m.values - values) ** 2 / m.variance).sum()) for m in measurements),
    )


def place_targets(targets: Sequence[Target], *, layout: Layout, total: float) -> Objective:
    """Give each target to the smallest clique or separator that contains it."""
    places, start = [], 0
    for target in targets:
        places.append(_place(target, layout=layout, start=start))
        start += target.values.size
    return Objective(
        places=tuple(places),
        values=np.concatenate([t.values for t in targets]) / total,
        precision=np.concatenate([t.precision for t in targets]) * total**2,
    )


def _place(target: Target, *, layout: Layout, start: int) -> Place:
    """Choose the scope of one target."""
    wanted = set(target.clique)
    holders = [i for i, scope in enumerate(layout.scopes) if wanted <= set(scope)]
    scope = min(holders, key=lambda i: (math.prod(layout.shapes[i]), i))
    return Place(
        scope=scope,
        axes=axes_outside(layout.scopes[scope], kept=target.clique),
        shape=broadcast_shape(
            layout.tree.domain, source=target.clique, target=layout.scopes[scope]
        ),
        cell_of=target.cell_of,
        start=start,
        stop=start + target.values.size,
    )


def gather(objective: Objective, beliefs: Beliefs, *, out: np.ndarray) -> np.ndarray:
    """Write the model's shares of all target cells to ``out`` and return it."""
    for place in objective.places:
        table = beliefs.tables[place.scope]
        if place.axes:
            table = table.sum(axis=place.axes)
        cells = table.ravel()
        if place.cell_of is not None:
            count = place.stop - place.start
            cells = objective.engine.group(place.cell_of, weights=cells, count=count)
        out[place.start : place.stop] = cells
    return out


def scatter(objective: Objective, factors: np.ndarray) -> list[Weight]:
    """Return the weights that multiply the tables by ``factors``, one factor a target cell."""
    weights = []
    for place in objective.places:
        values = factors[place.start : place.stop]
        if place.cell_of is not None:
            values = values[place.cell_of]
        weights.append(Weight(scope=place.scope, values=values.reshape(place.shape)))
    return weights


def move_objective(objective: Objective, engine: Engine) -> Objective:
    """Return the objective where ``engine`` computes."""
    places = tuple(
        p if p.cell_of is None else replace(p, cell_of=engine.send(p.cell_of))
        for p in objective.places
    )
    return Objective(
        places=places,
        values=engine.send(objective.values),
        precision=engine.send(objective.precision),
        engine=engine,
    )
