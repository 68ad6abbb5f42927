"""What the last sampler says, beside what was measured now: each by its noise and by the drift.

A sampler that was handed out is public, so whatever is made of it costs nothing. Its counts are of
other people than today's: how far the two lie apart beyond the noise of both is estimated where
both are known, and is one more variance of the old (empirical Bayes, Efron and Morris 1973). So
old counts weigh much where nothing moved, and nothing where all did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from silosynth.common.certificate import Certificate
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import OF_COLUMNS, OF_PAIRS
from silosynth.common.sampler import Sampler, code_shares
from silosynth.server.measuring.standing import drawn_shares, standing_cliques
from silosynth.server.measuring.sum import estimate_rows, regroup
from silosynth.server.model import build_junction_tree
from silosynth.server.values import project

LARGEST = 1_000_000
"""Cells of a clique that is carried over whole; of a larger one its pairs are."""

_BYTES = 100
"""Of a cell of the model, generously: tables, potentials and steps."""

_RAKES = 20
SAMPLED = 2.0
"""The variance of a row of a cell where people are two samples of one kind."""

_DEVIATIONS = 2.0
"""Beyond so many, two tables are further apart than the noise of both explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a sampler says: of every column, over fine codes, and of its model's cliques.

    ``cliques`` are over the working codes that its run merged, which are their grouping. Values are
    in the rows that it was made of, variances what its certificate states of a cell.
    """

    one_way: tuple[Measurement, ...] = ()
    cliques: tuple[Measurement, ...] = ()

    @property
    def rows(self) -> float:
        """Return of how many rows it speaks."""
        return estimate_rows(self.one_way)

    def __bool__(self) -> bool:
        """Say whether anything was carried over."""
        return bool(self.one_way)


def carry(last: Sampler, *, pairs: Iterable[Clique] = ()) -> Carried:
    """Return what a sampler says, in its own rows.

    Args: pairs: what is measured again, which it is asked about as well where its model has none.
    """
    total = float(max(last.total, 1))
    alone, together = _noise(last)
    tables = standing_cliques(last)
    columns = {
        name: table.sum(axis=tuple(i for i in range(len(clique)) if i != axis))
        for clique, table in tables
        for axis, name in enumerate(clique)
    }
    one_way = []
    for name in last.domain.attributes:
        groups = np.asarray(last.grouping.lookup(name, last.domain.size((name,))))
        values = columns[name][groups] * code_shares(last, name) * total
        one_way.append(_measurement((name,), values, alone, Grouping()))
    model = [(clique, table) for clique, table in tables if len(clique) > 1]
    lacking = _lacking(pairs, model=[clique for clique, _ in model])
    return Carried(
        one_way=tuple(one_way),
        cliques=tuple(
            _measurement(clique, table.ravel() * total, together, _of(last.grouping, clique))
            for clique, table in (*model, *drawn_shares(last, lacking))
        ),
    )


def _noise(last: Sampler) -> tuple[float, float]:
    """Return the variance of a cell of a sampler's columns and pairs, by its certificate."""
    noise = Certificate.model_validate(dict(last.certificate)).cell_noise
    together = max([noise[name] for name in OF_PAIRS if name in noise] or noise.values())
    return max([noise[name] for name in OF_COLUMNS if name in noise] or [together]), together


def _lacking(pairs: Iterable[Clique], *, model: Collection[Clique]) -> list[Clique]:
    """Return the pairs that lie in no clique of the model."""
    known = {frozenset(pair) for clique in model for pair in combinations(clique, 2)}
    return [pair for pair in pairs if frozenset(pair) not in known]


def _measurement(
    clique: Clique, values: np.ndarray, variance: float, grouping: Grouping
) -> Measurement:
    """Return a measurement whose cells have one variance."""
    return Measurement(
        clique=clique,
        values=values,
        variance=np.full(values.shape, variance),
        grouping=grouping,
    )


def weigh_columns(one_way: Sequence[Measurement], carried: Carried) -> tuple[Measurement, ...]:
    """Return the 1-ways of now with those of then in them, each cell by its variance."""
    if not carried:
        return tuple(one_way)
    old = {m.clique: m for m in _brought(carried.one_way, rows=carried.rows, to=one_way)}
    return tuple(_joined(m, drifted(old[m.clique], beside=m)) for m in one_way)


def _brought(
    carried: Iterable[Measurement], *, rows: float, to: Sequence[Measurement]
) -> Iterator[Measurement]:
    """Yield what was carried over in the rows of now."""
    scale = estimate_rows(to) / rows
    for m in carried:
        yield replace(m, values=m.values * scale, variance=m.variance * scale**2)


def _joined(one: Measurement, other: Measurement) -> Measurement:
    """Return the mean of two measurements of the same cells by their variances."""
    weight = other.variance / (one.variance + other.variance)
    return replace(
        one,
        values=weight * one.values + (1 - weight) * other.values,
        variance=weight * one.variance,
    )


def drift_rate(old: Measurement, *, beside: Measurement) -> float:
    """Return how much variance a row of a cell has, beyond the noise of both.

    That of two samples of people, unless the two lie further apart than noise explains: then what
    they are apart, by the method of moments.
    """
    noise = old.variance + beside.variance
    held = float(_held(old, beside=beside).sum())
    apart = float(((beside.values - old.values) ** 2 - noise).sum()) - SAMPLED * held
    if apart <= _DEVIATIONS * float(np.sqrt(2 * (noise**2).sum())):
        return SAMPLED
    return SAMPLED + apart / max(held, 1.0)


def _held(old: Measurement, *, beside: Measurement) -> np.ndarray:
    """Return (cells,) about how many rows each cell holds, by both."""
    held: np.ndarray = (np.clip(old.values, 0, None) + np.clip(beside.values, 0, None)) / 2
    return held


def drifted(old: Measurement, *, beside: Measurement) -> Measurement:
    """Return the old counts with how far they lie from the new ones in their variance."""
    rate = drift_rate(old, beside=beside)
    return replace(old, variance=old.variance + rate * _held(old, beside=beside))


def take_over(
    measured: Iterable[Measurement],
    carried: Carried,
    *,
    one_way: Sequence[Measurement],
    columns: Sequence[Measurement],
    domain: Domain,
    grouping: Grouping,
) -> tuple[Measurement, ...]:
    """Return what the last sampler says of cliques, over the working codes of now.

    Each is brought to the columns of now, and so is no second word on them. A clique that holds a
    pair that was measured again is taken apart: each of its pairs drifts for itself.

    Args: measured: what was measured now of pairs. one_way: what was measured of columns.
        columns: those with the old in them. domain: the fine one.
    """
    old = {m.clique: m for m in _brought(carried.one_way, rows=carried.rows, to=one_way)}
    rates = {(m.clique[0],): drift_rate(old[m.clique], beside=m) for m in one_way}
    alone = {m.clique[0]: regroup(m, domain=domain, grouping=grouping) for m in columns}
    again = {frozenset(m.clique): m for m in measured if len(m.clique) == 2}
    found = []
    for m in _brought(carried.cliques, rows=carried.rows, to=one_way):
        for part in _parts(m, again=again, domain=domain):
            then = _recoded(part, old=old, domain=domain, grouping=grouping)
            then = _raked(then, alone=alone)
            beside = again.get(frozenset(then.clique))
            if beside is None:
                rate = max(rates[(name,)] for name in then.clique)
                drift = rate * np.clip(then.values, 0, None)
                found.append(replace(then, variance=then.variance + drift))
            else:
                found.append(drifted(then, beside=_turned(beside, to=then, domain=domain)))
    return tuple(found)


def _parts(
    m: Measurement, *, again: Collection[frozenset[str]], domain: Domain
) -> Iterator[Measurement]:
    """Yield a clique, or its pairs where one of them was measured again, or it is too large."""
    pairs = list(combinations(m.clique, 2))
    if len(m.clique) == 2 or (
        m.values.size <= LARGEST and not any(frozenset(pair) in again for pair in pairs)
    ):
        yield m
        return
    sizes = m.grouping.domain(domain).sizes(m.clique)
    table, variance = m.values.reshape(sizes), m.variance.reshape(sizes)
    for pair in pairs:
        axes = tuple(i for i, name in enumerate(m.clique) if name not in pair)
        yield Measurement(
            clique=pair,
            values=table.sum(axis=axes).ravel(),
            variance=variance.mean(axis=axes).ravel(),
            grouping=_of(m.grouping, pair),
        )


def _recoded(
    m: Measurement, *, old: Mapping[Clique, Measurement], domain: Domain, grouping: Grouping
) -> Measurement:
    """Return what was said of the working codes of then over those of now.

    A code of then that is several now is parted as its fine codes were.
    """
    sizes = m.grouping.domain(domain).sizes(m.clique)
    table, variance = m.values.reshape(sizes), m.variance.reshape(sizes)
    least = float(m.variance.min())
    for axis, name in enumerate(m.clique):
        step = _step(old[(name,)].values, name, then=m.grouping, now=grouping)
        table = np.moveaxis(np.tensordot(table, step, axes=(axis, 0)), -1, axis)
        variance = np.moveaxis(np.tensordot(variance, step**2, axes=(axis, 0)), -1, axis)
    return Measurement(
        clique=m.clique,
        values=table.ravel(),
        variance=np.maximum(variance.ravel(), least),
        grouping=_of(grouping, m.clique),
    )


def _step(fine: np.ndarray, name: str, *, then: Grouping, now: Grouping) -> np.ndarray:
    """Return (working codes of then, of now) float64: where the rows of a code of then are now."""
    before, after = then.lookup(name, len(fine)), now.lookup(name, len(fine))
    mass = np.clip(fine, 0, None) + 1e-9
    table = np.zeros((int(before.max()) + 1, int(after.max()) + 1))
    np.add.at(table, (before, after), mass / np.bincount(before, weights=mass)[before])
    return table


def _raked(m: Measurement, *, alone: Mapping[str, Measurement]) -> Measurement:
    """Return a clique's counts with the columns of now (Deming and Stephan 1940)."""
    wanted = [_projected(alone[name].values) for name in m.clique]
    table = np.clip(m.values, 0, None).reshape([len(w) for w in wanted])
    for _ in range(_RAKES):
        for axis, column in enumerate(wanted):
            others = tuple(i for i in range(table.ndim) if i != axis)
            now = table.sum(axis=others)
            factor = np.divide(column, now, out=np.ones_like(now), where=now > 0)
            table = table * np.expand_dims(factor, others)
    return replace(m, values=table.ravel())


def _projected(counts: np.ndarray) -> np.ndarray:
    """Return the nearest counts that are not negative and add up to as many rows."""
    total = np.array([max(float(counts.sum()), 0.0)])
    there = np.ones((1, len(counts)), dtype=bool)
    projected: np.ndarray = project(counts[None, :], there=there, total=total)[0]
    return projected


def _turned(m: Measurement, *, to: Measurement, domain: Domain) -> Measurement:
    """Return a pair with its axes in another's order."""
    if m.clique == to.clique:
        return m
    sizes = m.grouping.domain(domain).sizes(m.clique)
    return replace(
        to,
        values=m.values.reshape(sizes).T.ravel(),
        variance=m.variance.reshape(sizes).T.ravel(),
    )


def _of(grouping: Grouping, clique: Clique) -> Grouping:
    """Return the merges of a clique's columns."""
    groups = {name: tuple(g) for name, g in grouping.groups.items() if name in clique}
    return Grouping(groups=groups)


def within_memory(
    found: Collection[Measurement],
    *,
    present: Sequence[Clique],
    domain: Domain,
    max_model_mb: float,
) -> tuple[Measurement, ...]:
    """Return the candidates with which the model stays small; what was measured comes first.

    What is measured by then is paid for, so nothing of the last sampler may make the fit fail.
    """
    standing, kept = list(present), []
    for measurement in found:
        cells = build_junction_tree([*standing, measurement.clique], domain=domain).cells
        if cells * _BYTES <= max_model_mb * 2**20:
            standing.append(measurement.clique)
            kept.append(measurement)
    return tuple(kept)
