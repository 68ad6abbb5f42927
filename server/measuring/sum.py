"""Sum the silos' releases into measurements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import RunFailed
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.messages import Release
from silosynth.common.plan import Phase, Plan


def sum_releases(
    releases: Sequence[Release],
    *,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
    plan: Plan,
    phase: Phase,
) -> tuple[Measurement, ...]:
    """Sum own-noise releases of the same queries, cell by cell, over the silos that hold them.

    Guarantees: the sum is exact in int64; each cell's variance is the number of silos that hold
    its columns times the noise of one. A query that none of the releases answers is left out.
    """
    if not releases:
        raise RunFailed(f"no silo answered in phase {phase.name.value} of plan {plan.id}")
    answered: dict[int, list[np.ndarray]] = {}
    for release in releases:
        asked = [i for i, q in enumerate(queries) if plan.holds(release.receipt.silo, q.clique)]
        for i, marginal in zip(asked, release.marginals, strict=True):
            answered.setdefault(i, []).append(marginal)
    return tuple(
        measurement
        for i, marginals in sorted(answered.items())
        for measurement in _measurements(
            [np.sum(marginals, axis=0)],
            variance=float(plan.noise(phase).variance(silos=len(marginals))),
            queries=[queries[i]],
            levels=levels,
        )
    )


def to_all_rows(
    measurements: Sequence[Measurement],
    *,
    others: Sequence[Measurement],
    plan: Plan,
    silos: Sequence[str],
) -> tuple[Measurement, ...]:
    """Bring sums over the silos that hold a clique to the rows of all ``silos``.

    Each is divided by the noised total of its own silos and multiplied by that of all; so is its
    noise. Totals are means over all sums of the same silos, by their variance.

    Args: others: sums whose totals count as well, such as the 1-ways.
    """
    totals: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for measurement in (*measurements, *others):
        holders = plan.holders(measurement.clique, silos=silos)
        total = float(measurement.values.sum()), float(measurement.variance.sum())
        totals.setdefault(holders, []).append(total)
    rows = {
        h: sum(t / v for t, v in found) / sum(1 / v for _, v in found)
        for h, found in totals.items()
    }
    everywhere = max(rows.get(tuple(silos), max(rows.values())), 1.0)
    scaled = []
    for measurement in measurements:
        holders = plan.holders(measurement.clique, silos=silos)
        factor = 1.0 if len(holders) == len(silos) else everywhere / max(rows[holders], 1.0)
        scaled.append(
            replace(
                measurement,
                values=measurement.values * factor,
                variance=measurement.variance * factor**2,
            )
        )
    return tuple(scaled)


def sum_masked(
    releases: Sequence[Release],
    *,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
    plan: Plan,
    phase: Phase,
) -> tuple[Measurement, ...]:
    """Add up the masked vectors of one set of silos; the masks cancel.

    Guarantees: the sum is exact modulo 2^bits and read as a signed number; each cell's variance is
    that of the shares of noise of all who took part.

    Raises RunFailed when the vectors were not masked for one and the same set.
    """
    summed = add_masked(releases)
    variance = float(plan.noise(phase).variance(silos=len(releases)))
    return _measurements(summed, variance=variance, queries=queries, levels=levels)


def add_masked(releases: Sequence[Release]) -> list[np.ndarray]:
    """Return the sum of masked vectors, one (cells,) int64 per marginal.

    Anybody who holds the signed releases can do this again and compare: a wrong sum shows. What a
    silo was charged is its own, as it may lack columns that others hold.
    """
    masked = [(r.receipt.cells, r.receipt.sum) for r in releases]
    if any(receipt is None for _, receipt in masked):
        raise RunFailed("a release in shared trust is not masked")
    if len({(cells, s.session, s.set_digest, s.bits) for cells, s in masked if s}) != 1:
        raise RunFailed("the masked vectors of a phase belong to different sets of silos")
    width = releases[0].marginals[0].dtype
    totals = [np.zeros(cells, dtype=f"u{width.itemsize}") for cells in releases[0].receipt.cells]
    for release in releases:
        for total, marginal in zip(totals, release.marginals, strict=True):
            total += marginal.view(total.dtype)
    return [total.view(width).astype(np.int64) for total in totals]


def estimate_rows(one_way: Iterable[Measurement]) -> float:
    """Estimate the number of rows, at least 1, from the noised 1-way marginals."""
    return max(float(np.mean([m.values.sum() for m in one_way])), 1.0)


def _measurements(
    summed: Sequence[np.ndarray],
    *,
    variance: float,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
) -> tuple[Measurement, ...]:
    """Return sums as measurements whose cells have one variance."""
    return tuple(
        Measurement(
            clique=query.clique,
            values=values.astype(np.float64),
            variance=np.full(values.shape, variance),
            grouping=levels[query.level],
        )
        for query, values in zip(queries, summed, strict=True)
    )


def regroup(measurement: Measurement, *, domain: Domain, grouping: Grouping) -> Measurement:
    """Carry a measurement made on fine codes over to the domain that ``grouping`` makes of it.

    A fine measurement is summed within groups; one that was made on codes coarser than
    ``grouping`` keeps its cells and gets the map from groups to its own codes.

    Args: domain: the fine domain.
    """
    if not measurement.grouping.groups:
        return _merge(measurement, domain=domain, grouping=grouping)
    return Measurement(
        clique=measurement.clique,
        values=measurement.values,
        variance=measurement.variance,
        grouping=_coarsen(measurement, domain=domain, grouping=grouping),
    )


def _merge(measurement: Measurement, *, domain: Domain, grouping: Grouping) -> Measurement:
    """Sum the cells of a fine measurement within groups; variances add."""
    sizes = domain.sizes(measurement.clique)
    values, variance = measurement.values.reshape(sizes), measurement.variance.reshape(sizes)
    for axis, (attribute, size) in enumerate(zip(measurement.clique, sizes, strict=True)):
        if attribute in grouping.groups:
            membership = np.eye(max(grouping.groups[attribute]) + 1)[
                grouping.lookup(attribute, size)
            ]
            values = np.moveaxis(np.tensordot(values, membership, (axis, 0)), -1, axis)
            variance = np.moveaxis(np.tensordot(variance, membership, (axis, 0)), -1, axis)
    return Measurement(clique=measurement.clique, values=values.ravel(), variance=variance.ravel())


def _coarsen(measurement: Measurement, *, domain: Domain, grouping: Grouping) -> Grouping:
    """Return the map from ``grouping``'s groups to the measurement's codes."""
    maps: dict[str, tuple[int, ...]] = {}
    for attribute in measurement.clique:
        size = domain.sizes((attribute,))[0]
        groups = grouping.lookup(attribute, size)
        coarse = measurement.grouping.lookup(attribute, size)
        step = np.full(int(groups.max()) + 1, -1)
        step[groups] = coarse
        if not np.array_equal(step[groups], coarse):
            raise RunFailed(f"the codes measured for {attribute!r} cut through its groups")
        if not np.array_equal(step, np.arange(len(step))):
            maps[attribute] = tuple(int(s) for s in step)
    return Grouping(groups=maps)
