"""Choose the working domain: merge codes that the noise hides, from noised 1-way marginals alone.

Everything here is post-processing of releases, so it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from silosynth.common.codec import code_words, heavy_bins, quantile_groups
from silosynth.common.domain import Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.schema import CodedAttribute, Quantiles, Schema
from silosynth.server.values import project

RARE_STANDARD_DEVIATIONS = 3.0
MOST_SPLIT = 8
"""So many groups may come of keeping the zeros of rules apart, where twice as many are fewer."""
_ALIKE_DEVIATIONS = 1.5


def working_grouping(
    schema: Schema,
    one_way: Sequence[Measurement],
    *,
    rare_deviations: float = RARE_STANDARD_DEVIATIONS,
    listed: bool = False,
) -> Grouping:
    """Merge rare codes and quantile bins, per attribute, from its noised 1-way marginal.

    A code is rare when its noised count is below three standard deviations of its noise
    (McKenna, Miklau and Sheldon 2021, section 3.2). Rare neighbours of an ordered attribute merge
    with one another; rare codes of an unordered one merge into a single group, or with those that
    share what is above them where the schema has a hierarchy. ``missing`` stays by itself unless it
    is rare too.

    Args:
        rare_deviations: below how many standard deviations of its noise a code is rare.
        listed: whether rare codes of an unordered attribute merge with the next rare ones of its
            list. Lists of industries, diagnoses or places go by what is alike.
    """
    by_name = {m.clique[0]: m for m in one_way}
    groups = {
        a.name: working_groups(a, by_name[a.name], rare_deviations=rare_deviations, listed=listed)
        for a in schema.coded
    }
    return keep_zeros_apart(Grouping.merging(groups), schema=schema)


def keep_zeros_apart(grouping: Grouping, *, schema: Schema) -> Grouping:
    """Split the groups whose codes differ in what is impossible with them.

    Guarantees: every cell of the merged domain is either wholly impossible or free of declared
    zeros, so a code drawn inside its group never makes an impossible row. Zeros of rules, whose
    rows are looked at when they are drawn, split groups only where few come of it: in an order,
    every code would stand alone again.
    """
    groups = dict(grouping.groups)
    for zeros in sorted(schema.impossible(), key=lambda z: not z.declared):
        for axis, attribute in enumerate(zeros.clique):
            if attribute in groups:
                patterns = np.moveaxis(zeros.mask, axis, 0).reshape(zeros.mask.shape[axis], -1)
                keys = [(g, p.tobytes()) for g, p in zip(groups[attribute], patterns, strict=True)]
                number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
                before = len(set(grouping.groups[attribute]))
                if zeros.declared or len(number) <= max(2 * before, before + MOST_SPLIT):
                    groups[attribute] = tuple(number[key] for key in keys)
    return Grouping.merging(groups)


def working_groups(
    attribute: CodedAttribute,
    one_way: Measurement,
    *,
    rare_deviations: float = RARE_STANDARD_DEVIATIONS,
    listed: bool = False,
) -> tuple[int, ...]:
    """Return the working group of each fine code of one attribute; see :func:`working_grouping`."""
    counts, deviation = one_way.values, np.sqrt(one_way.variance)
    rare = counts < rare_deviations * deviation
    if attribute.above:
        return _merge_upwards(attribute, one_way, rare_deviations=rare_deviations)
    if not attribute.rising and listed:
        return _merge_listed(counts, deviation, rare_deviations=rare_deviations)
    if not attribute.rising:
        return _merge_unordered(rare)
    bins = getattr(attribute, "bins", None)
    values = attribute.values
    if isinstance(bins, Quantiles):
        body = quantile_groups(counts[:values], count=bins.count)
    else:
        body = _merge_neighbours(
            counts[:values], deviation[:values], rare_deviations=rare_deviations
        )
    tail = range(max(body) + 1, max(body) + 1 + attribute.size - values)
    return (*body, *tail)


def within_groups(grouping: Grouping, one_way: Sequence[Measurement]) -> dict[str, np.ndarray]:
    """Return, per merged attribute, (fine codes,) float64: P(code | its group).

    Counts are brought to the nearest ones without negative numbers that add up to as many rows:
    one constant is taken off all and what is below zero is cut, so that noise makes no mass in
    long lists. A group without any is uniform, and so is one whose codes differ by no more than
    noise alone would make of equal ones: a cut would keep what noise raised, and nothing else.
    """
    within: dict[str, np.ndarray] = {}
    for measurement in one_way:
        attribute = measurement.clique[0]
        if attribute in grouping.groups:
            groups = np.asarray(grouping.groups[attribute])
            mass = _projected(measurement.values)
            total = np.bincount(groups, weights=mass)[groups]
            members = np.bincount(groups)[groups]
            plain = (total <= 0) | _alike(measurement, groups)[groups]
            within[attribute] = np.where(
                plain, 1.0 / members, mass / np.where(total > 0, total, 1.0)
            )
    return within


def _alike(one_way: Measurement, groups: np.ndarray) -> np.ndarray:
    """Say, (groups,), whether noise alone explains how the counts of a group differ.

    By the sum of squares about their mean: noise makes it so large once in fifteen times.
    """
    members = np.bincount(groups)
    precision = 1.0 / one_way.variance
    weight = np.bincount(groups, weights=precision)
    mean = np.bincount(groups, weights=precision * one_way.values) / weight
    squares = np.bincount(groups, weights=precision * (one_way.values - mean[groups]) ** 2)
    free = np.maximum(members - 1, 1)
    alike: np.ndarray = squares <= free + _ALIKE_DEVIATIONS * np.sqrt(2.0 * free)
    return alike


def _projected(counts: np.ndarray) -> np.ndarray:
    """Return the nearest counts that are not negative and add up to as many rows."""
    total = np.array([max(float(counts.sum()), 0.0)])
    there = np.ones((1, len(counts)), dtype=bool)
    projected: np.ndarray = project(counts[None, :], there=there, total=total)[0]
    return projected


def coarse_grouping(
    schema: Schema,
    one_way: Sequence[Measurement],
    *,
    working: Grouping,
    count: int,
    listed: bool = False,
) -> Grouping:
    """Merge each attribute's working groups into at most ``count`` of about equal noised mass.

    Ordered attributes keep neighbours together and ``missing`` apart, so that a dependence
    between two attributes survives the merge.

    Args: listed: whether unordered codes that stand beside one another in their list merge, but
        for those that have a group's mass, and not heavy ones with light ones.
    """
    by_name = {m.clique[0]: m for m in one_way}
    coarse: dict[str, tuple[int, ...]] = {}
    for attribute in schema.coded:
        lookup = working.lookup(attribute.name, attribute.size)
        mass = np.bincount(lookup, weights=_projected(by_name[attribute.name].values))
        step = _coarse_step(attribute, mass, count=count, listed=listed)
        groups = step[lookup]
        if int(groups.max()) + 1 < attribute.size:
            coarse[attribute.name] = tuple(int(g) for g in groups)
    return Grouping(groups=coarse)


def _coarse_step(
    attribute: CodedAttribute, mass: np.ndarray, *, count: int, listed: bool
) -> np.ndarray:
    """Return the coarse group of each working group."""
    if len(mass) <= count:
        return np.arange(len(mass))
    if not attribute.rising:
        return _runs(mass, count=count) if listed else _balance(mass, count=count)
    tail = attribute.size - attribute.values
    body = len(mass) - tail
    merged = quantile_groups(mass[:body], count=max(count - tail, 1))
    return np.asarray([*merged, *range(max(merged) + 1, max(merged) + 1 + tail)])


def _balance(mass: np.ndarray, *, count: int) -> np.ndarray:
    """Fill ``count`` groups by falling mass, always the lightest one next."""
    load = np.zeros(count)
    groups = np.zeros(len(mass), dtype=np.int64)
    for i in np.argsort(-mass, kind="stable"):
        groups[i] = np.lexsort((np.arange(count), load))[0]
        load[groups[i]] += mass[i] + 1e-9
    return np.unique(groups, return_inverse=True)[1]


def _runs(mass: np.ndarray, *, count: int) -> np.ndarray:
    """Give what has a group's mass a group of its own, and merge what is left as it is listed."""
    alone, _ = heavy_bins(mass, count=count)
    if count <= int(alone.sum()) < len(mass):
        # What weighs nothing needs a group as well: the lightest one's, the last of them.
        heavy = np.flatnonzero(alone)[::-1]
        alone[heavy[mass[heavy].argmin()]] = False
    groups = np.arange(len(mass))
    if not alone.all():
        runs = np.asarray(quantile_groups(mass[~alone], count=count - int(alone.sum())))
        first = np.flatnonzero(~alone)[np.searchsorted(runs, runs)]
        groups[~alone] = first
    return np.unique(groups, return_inverse=True)[1]


def _merge_unordered(rare: np.ndarray) -> tuple[int, ...]:
    """Give every common code a group of its own, and all rare ones a last group."""
    if rare.sum() <= 1:
        return tuple(range(len(rare)))
    common = int((~rare).sum())
    groups = np.where(rare, common, np.cumsum(~rare) - 1)
    return tuple(int(g) for g in groups)


def _merge_listed(
    counts: np.ndarray, deviation: np.ndarray, *, rare_deviations: float
) -> tuple[int, ...]:
    """Give every common code a group of its own; merge rare ones with the next rare ones listed."""
    groups = np.arange(len(counts))
    rare = np.flatnonzero(counts < rare_deviations * deviation)
    if len(rare) > 1:
        merged = _merge_neighbours(counts[rare], deviation[rare], rare_deviations=rare_deviations)
        groups[rare] = rare[np.searchsorted(merged, merged)]
    return tuple(int(g) for g in np.unique(groups, return_inverse=True)[1])


def _merge_upwards(
    attribute: CodedAttribute, one_way: Measurement, *, rare_deviations: float
) -> tuple[int, ...]:
    """Merge rare codes with those below the same one, as far up as it takes to stand out.

    What is rare below a common code, and all of it together still, joins that code. What is rare to
    the very top, ``other`` and ``missing`` included, is a last group.
    """

    def stands_out(codes: list[int]) -> bool:
        noise = float(np.sqrt(one_way.variance[codes].sum()))
        return bool(codes) and float(one_way.values[codes].sum()) >= rare_deviations * noise

    words = code_words(attribute)[: attribute.values]
    merged, left = _pooled({w: i for i, w in enumerate(words)}, attribute.above, stands_out)
    beside = range(attribute.values, attribute.size)
    merged += [[code] for code in beside if stands_out([code])]
    left += [code for code in beside if not stands_out([code])]
    groups = np.empty(attribute.size, dtype=np.int64)
    for group, members in enumerate(sorted(filter(None, [*merged, left]), key=min)):
        groups[members] = group
    return tuple(groups.tolist())


def _pooled(
    place: Mapping[str, int], above: Mapping[str, str], stands_out: Callable[[list[int]], bool]
) -> tuple[list[list[int]], list[int]]:
    """Return the codes of each pool that stands out, and those that are left at the top."""
    pools: dict[str | None, list[int]] = {}
    merged: list[list[int]] = []
    for node in _deepest_first(place, above):
        below, own = pools.pop(node, []), [place[node]] if node in place else []
        if stands_out(below) and stands_out(own):
            merged += [below, own]
        elif stands_out([*below, *own]):
            merged.append([*below, *own])
        else:
            pools.setdefault(above.get(node), []).extend([*below, *own])
    return merged, pools.pop(None, [])


def _deepest_first(codes: Iterable[str], above: Mapping[str, str]) -> list[str]:
    """Return codes and all that is above them, each before what is above it."""
    depth: dict[str, int] = {}
    for code in {*codes, *above, *above.values()}:
        line = [code]
        while line[-1] not in depth and line[-1] in above:
            line.append(above[line[-1]])
        start = depth.get(line[-1], 0)
        depth |= {step: start + i for i, step in enumerate(reversed(line))}
    return sorted(depth, key=lambda code: (-depth[code], code))


def _merge_neighbours(
    counts: np.ndarray, deviation: np.ndarray, *, rare_deviations: float
) -> tuple[int, ...]:
    """Merge each rare code with its right neighbours until the group is no longer rare."""
    groups: list[int] = []
    group, total, variance = 0, 0.0, 0.0
    for count, noise in zip(counts, deviation, strict=True):
        groups.append(group)
        total, variance = total + float(count), variance + float(noise) ** 2
        if total >= rare_deviations * variance**0.5:
            group, total, variance = group + 1, 0.0, 0.0
    if variance and group:
        groups = [min(g, group - 1) for g in groups]
    return tuple(groups)
