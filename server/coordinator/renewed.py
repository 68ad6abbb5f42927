"""The last sampler as a public candidate: what it says of pairs that did not move, measured anew.

It was handed out, so whatever is made of it costs nothing. Each clique of its model becomes a
marginal that the fit takes beside what was measured now, over the codes of now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from silosynth.common.certificate import Certificate
from silosynth.common.digest import digest_of
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.measurement import Measurement
from silosynth.common.plan import OF_PAIRS, Plan
from silosynth.common.sampler import Sampler, clique_shares, code_shares, parse_sampler
from silosynth.server.measuring import estimate_rows, merged_zeros
from silosynth.server.methods import Known
from silosynth.server.model import build_junction_tree

_BYTES = 100
"""Of a cell, generously: tables, potentials and steps."""

LARGEST = 1_000_000
"""Cells of a clique that is carried over whole; of a larger one its pairs are."""


def renewed(known: Known, sampler: bytes | None) -> Known:
    """Return what is known of a run with what its plan takes over from the last sampler.

    Raises RunFailed without that sampler, InvalidPlan for one that nothing can be taken from.
    """
    plan, renews = known.plan, known.plan.renews
    if renews is None:
        return known
    if sampler is None or digest_of(sampler) != renews.sampler:
        raise RunFailed(
            f"plan {plan.id} takes over from a sampler that is not here",
            hint="the run's own sampler stands; without the last one nothing is fitted again",
        )
    last = parse_sampler(sampler)
    if not isinstance(last, Sampler) or last.schema.digest != plan.schema_digest:
        raise InvalidPlan("the last sampler is of another schema, or no model of marginals")
    grouping = known.rare_merged
    found = candidates(
        last,
        moved=_pairs(plan.workload),
        grouping=grouping,
        total=estimate_rows(known.one_way),
        variance=_variance(last),
    )
    (phase,) = (name for name in OF_PAIRS if name in known.measured)
    zeros = [z.clique for z in merged_zeros(known.schema, grouping=grouping)]
    kept = _within(found, plan=plan, domain=grouping.domain(known.schema.domain), zeros=zeros)
    measured = {**known.measured, phase: (*known.measured[phase], *kept)}
    return replace(known, measured=measured)


def _pairs(workload: Collection[Clique]) -> list[Clique]:
    """Return the pairs of what was measured."""
    return [pair for clique in workload for pair in combinations(clique, 2)]


def _variance(last: Sampler) -> float:
    """Return the noise of a cell of the last sampler's pairs, by its certificate."""
    noise = Certificate.model_validate(dict(last.certificate)).cell_noise
    return max([noise[name] for name in OF_PAIRS if name in noise] or noise.values())


def _within(
    found: Collection[Measurement], *, plan: Plan, domain: Domain, zeros: list[Clique]
) -> tuple[Measurement, ...]:
    """Return the candidates with which the model stays small; what was measured comes first.

    What is measured by then is paid for, so nothing of the last sampler may make the fit fail.
    """
    present: list[Clique] = [*((name,) for name in domain.attributes), *plan.workload, *zeros]
    kept = []
    for measurement in found:
        cells = build_junction_tree([*present, measurement.clique], domain=domain).cells
        if cells * _BYTES <= plan.max_model_mb * 2**20:
            present.append(measurement.clique)
            kept.append(measurement)
    return tuple(kept)


def candidates(
    last: Sampler, *, moved: Collection[Clique], grouping: Grouping, total: float, variance: float
) -> tuple[Measurement, ...]:
    """Return what the last sampler says of cliques without a pair that moved, for ``total`` rows.

    Args: grouping: how codes are merged now. variance: of a cell of the last sampler's, in its own
        rows; what its certificate states.

    Raises InvalidPlan for a sampler whose numbers have bins of their own.
    """
    if last.spreads:
        raise InvalidPlan(
            "the last sampler's numbers have bins that its run chose",
            hint="run a whole epoch, without --renew",
        )
    gone = {frozenset(pair) for pair in moved}
    scale = total / max(last.total, 1)
    fine = last.domain
    step = {name: _step(last, name, grouping=grouping) for name in fine.attributes}
    found = []
    for clique, table in _kept(last, gone):
        for axis, name in enumerate(clique):
            table = np.moveaxis(np.tensordot(table, step[name], axes=(axis, 0)), -1, axis)
        values = table.ravel() * total
        found.append(
            Measurement(
                clique=clique,
                values=values,
                variance=np.full(values.shape, variance * scale**2),
                grouping=_of(grouping, clique),
            )
        )
    return tuple(found)


def _kept(last: Sampler, gone: Collection[frozenset[str]]) -> Iterator[tuple[Clique, np.ndarray]]:
    """Yield the cliques of a sampler that hold no pair of ``gone``, with their shares.

    Of one that does, its other pairs. A clique inside another is left to that.
    """
    seen: set[Clique] = set()
    for clique, table in clique_shares(last):
        pairs = list(combinations(clique, 2))
        whole = not any(frozenset(p) in gone for p in pairs) and table.size <= LARGEST
        for part in [clique] if whole else [p for p in pairs if frozenset(p) not in gone]:
            if len(part) < 2 or part in seen:
                continue
            seen.add(part)
            axes = tuple(i for i, name in enumerate(clique) if name not in part)
            yield part, table.sum(axis=axes)


def _step(last: Sampler, name: str, *, grouping: Grouping) -> np.ndarray:
    """Return (working codes of then, of now) float64: where the rows of a code of then are now."""
    size = last.domain.size((name,))
    then, now = last.grouping.lookup(name, size), grouping.lookup(name, size)
    table = np.zeros((int(then.max()) + 1, int(now.max()) + 1))
    np.add.at(table, (then, now), code_shares(last, name))
    return table


def _of(grouping: Grouping, clique: Clique) -> Grouping:
    """Return the merges of a clique's columns."""
    groups: Mapping[str, tuple[int, ...]] = {
        name: tuple(codes) for name, codes in grouping.groups.items() if name in clique
    }
    return Grouping(groups=groups)
