"""Codes and cells where one attribute nearly says another's, by noised coarse counts alone.

Where a place has one density, the rows of a pair are in as few cells as there are places, and each
stands far out of the noise that would hide it if it were one of all cells. Such pairs are worth
measuring finer than others, and their codes are worth keeping apart: codes that are drawn alike
make combinations that nobody has. Post-processing of releases: it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.schema import Schema
from silosynth.server.measuring.working_domain import coarse_grouping
from silosynth.server.values import project

NEARLY_SAID_FROM = 0.4
"""Of what there is to say of the attribute that has less to say: the part that the other says."""


def rows_gather(pairs: Sequence[Measurement], *, domain: Domain) -> dict[Clique, float]:
    """Return, by pair, into how many times fewer cells its rows gather than independent ones would.

    The exponential of the mutual information of the noised counts, none of them below zero; 1 where
    neither attribute nearly says the other.

    Args: pairs: noised pairs; of one that stands there more than once the last counts. domain: the
        fine domain that their groupings merge.
    """
    found = {m.clique: _information(m, domain=domain) for m in pairs}
    return {
        pair: float(np.exp(said)) if said > NEARLY_SAID_FROM * least else 1.0
        for pair, (said, least) in found.items()
    }


def nearly_said(pairs: Sequence[Measurement], *, domain: Domain) -> dict[Clique, float]:
    """Return, by pair, what part of the smaller entropy its attributes say of one another.

    In [0, 1], and 0 where neither nearly says the other. On finer codes it is about the same,
    while there is more to say, so it tells in how few cells the rows of finer codes are.

    Args: as for :func:`rows_gather`.
    """
    found = {m.clique: _information(m, domain=domain) for m in pairs}
    return {
        pair: min(said / least, 1.0) if said > NEARLY_SAID_FROM * least else 0.0
        for pair, (said, least) in found.items()
    }


def cells_of_rows(
    clique: Clique, *, grouping: Grouping, one_way: Mapping[str, Measurement], said: float
) -> float:
    """Return in about how many cells the rows of a pair are: the exponential of their entropy.

    Args:
        grouping: the merge of fine codes that the cells are of.
        said: what part of the smaller entropy the attributes say of one another.
    """
    alone = []
    for name in clique:
        counts = one_way[name].values
        mass = np.clip(np.bincount(grouping.lookup(name, len(counts)), weights=counts), 0.0, None)
        alone.append(_entropy(mass / max(float(mass.sum()), 1.0)))
    return float(np.exp(sum(alone) - said * min(alone)))


def _information(pair: Measurement, *, domain: Domain) -> tuple[float, float]:
    """Return what the attributes of one pair say of one another, and the smaller entropy."""
    total = max(float(pair.values.sum()), 1.0)
    there = np.ones((1, pair.values.size), dtype=bool)
    counts = project(pair.values[None, :], there=there, total=np.array([total]))[0]
    table = counts.reshape(pair.grouping.domain(domain).sizes(pair.clique)) / total
    alone = [_entropy(table.sum(axis=axis)) for axis in (0, 1)]
    return sum(alone) - _entropy(table.ravel()), min(alone)


def _entropy(shares: np.ndarray) -> float:
    """Return the entropy of shares in nats."""
    some = shares[shares > 0]
    return -float((some * np.log(some)).sum())


def finer_codes(
    schema: Schema,
    one_way: Sequence[Measurement],
    *,
    gathered: Mapping[Clique, float],
    rare: Grouping,
    merged: Grouping,
    count: int,
    most: int,
) -> Grouping:
    """Split the groups of attributes that nearly say another, into more the more rows gather.

    Guarantees: every group of ``merged`` is a union of groups of what is returned, and every one of
    those a union of groups of ``rare``.

    Args:
        rare: the finest that may come of it. merged: what is split.
        count: the groups of attributes that say nothing of another.
        most: into at most so many groups an attribute is merged anew.
    """
    groups = dict(merged.groups)
    for attribute in schema.coded:
        name = attribute.name
        times = max((t for pair, t in gathered.items() if name in pair), default=1.0)
        wanted = min(round(count * times), most)
        if name in groups and wanted > len(set(groups[name])):
            anew = coarse_grouping(schema, one_way, working=rare, count=wanted, listed=True)
            finer = anew.lookup(name, attribute.size)
            whole = merged.lookup(name, attribute.size)
            groups[name] = _numbered(whole, finer)
    return Grouping.merging(groups)


def parted_by(asked: Iterable[Measurement], *, merged: Grouping, domain: Domain) -> Grouping:
    """Split groups as far as something was measured finer: the coarsest that has room for all.

    So what a run is fitted over follows from what it has measured, whoever left it since.
    """
    groups = dict(merged.groups)
    for measurement in asked:
        for name, size in zip(measurement.clique, domain.sizes(measurement.clique), strict=True):
            if name in groups:
                finer = measurement.grouping.lookup(name, size)
                groups[name] = _numbered(np.asarray(groups[name]), finer)
    return Grouping.merging(groups)


def _numbered(left: np.ndarray, right: np.ndarray) -> tuple[int, ...]:
    """Number the pairs of two groupings of the same codes, in the order of the codes."""
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    number = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    return tuple(number[pair] for pair in pairs)
