"""How AIM chooses in a federation: which pairs, at which level.

The published mechanism (McKenna, Mullins, Sheldon and Miklau 2022) chooses one clique a round by
the exponential mechanism on the pooled data, which nobody holds here. Its score is how far the
model's marginal lies from the data's beyond the noise; ours is the same for the coarse 2-way
marginals, which every silo has noised already. So choosing is post-processing: it needs no trusted
party and costs no privacy. Workload weights and a size limit that grows are as published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Phase, Plan
from silosynth.server.model import GraphicalModel, build_junction_tree

Room = Callable[[Clique, Sequence[Clique]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Rules that a plan names, so that a stored run stays what it was.

    ``rounds_part`` is how much of the model's room pairs of rounds may fill, the rest being for
    coarse pairs that no round asked. In so many ``steps`` a round chooses, with a fit in between.
    ``gathered`` says whether pairs of which one attribute nearly says the other are measured finer,
    and a round's cells hold ``cell_deviations`` of its noise on average. ``listed`` says whether
    unordered codes merge with those beside them in their list, and not by their mass alone.
    ``empty_precision`` is how many times surer than its noise the last fit is of cells that noised
    counts say nobody is in. ``mixed`` says whether that fit is a mixture of forests where no
    combination is impossible and no workload is named, and no junction tree.
    """

    rounds_part: float
    steps: int
    gathered: bool
    cell_deviations: float
    listed: bool
    empty_precision: float
    mixed: bool


EDITIONS: Mapping[int | None, Edition] = {
    None: Edition(
        rounds_part=1.0,
        steps=1,
        gathered=False,
        cell_deviations=3.0,
        listed=False,
        empty_precision=1.0,
        mixed=False,
    ),
    2: Edition(
        rounds_part=0.5,
        steps=3,
        gathered=True,
        cell_deviations=2.0,
        listed=True,
        empty_precision=25.0,
        mixed=True,
    ),
}
"""By what a plan says; see docs/decisions/151, 162, 177 and 182. A plan of before says nothing."""
NEWEST = 2
FIRST_SHARE = 0.3
"""Share of the size limit that the first clique may use; the last one may use all."""
NOISE_EXCESS, NOISE_SPREAD = 0.1666, 0.3506
"""Mean and standard deviation of max(|z| - 1, 0) for a standard normal z."""
SHOWN_DEVIATIONS = 4.0
TRIES_PER_CLIQUE, _TRIES_TO_COVER = 20, 2


def pair_weights(
    domain: Domain, *, workload: Sequence[Clique], weights: Sequence[int]
) -> dict[Clique, float]:
    """Return the weight of each pair: how much of the workload it overlaps, at most 1.

    A pair counts when it lies inside a marginal of the workload; its weight is the sum over the
    workload of a marginal's weight times the attributes shared (section 3.1 of the paper). Without
    a workload every pair has weight 1.
    """
    if not workload:
        return dict.fromkeys(combinations(domain.attributes, 2), 1.0)
    asked = list(zip(map(set, workload), weights or [1] * len(workload), strict=True))
    below = {domain.ordered(p) for c in workload for p in combinations(c, 2)}
    found = {p: float(sum(w * len(s.intersection(p)) for s, w in asked)) for p in below}
    largest = max(found.values(), default=1.0)
    return {p: found[p] / largest for p in sorted(found)}


def estimate_errors(model: GraphicalModel, coarse: Sequence[Measurement]) -> dict[Clique, float]:
    """Estimate in rows how far the model is from each coarse pair, beyond its noise.

    Sums over the cells by how much the distance exceeds one standard deviation of the noise, less
    what noise alone makes of that; 0 where the rest is within four of its standard deviations. To a
    thousandth of a row, so that rounding does not decide between equals.

    Args: coarse: noised pairs with their groupings of the model's codes.
    """
    answers = model.pair_marginals([m.clique for m in coarse])
    errors = {}
    for m in coarse:
        cells = _merge_cells(answers[m.clique], m, domain=model.domain)
        expected = cells * (m.values.sum() / model.total)
        deviation = np.sqrt(m.variance)
        excess = np.clip(np.abs(m.values - expected) - deviation, 0.0, None).sum()
        beyond = float(excess - NOISE_EXCESS * deviation.sum())
        shown = beyond > SHOWN_DEVIATIONS * NOISE_SPREAD * float(np.sqrt(m.variance.sum()))
        errors[m.clique] = round(beyond, 3) if shown else 0.0
    return errors


def score_by_workload(
    model: GraphicalModel,
    coarse: Sequence[Measurement],
    *,
    plan: Plan,
) -> dict[Clique, float]:
    """Return each wanted pair's estimated error times its weight; see :func:`pair_weights`.

    Pairs that no workload covers, or that are not among ``coarse``, have no score.
    """
    wanted = pair_weights(model.domain, workload=plan.workload, weights=plan.weights)
    errors = estimate_errors(model, coarse)
    return {pair: wanted[pair] * error for pair, error in errors.items() if pair in wanted}


def choose_cliques(
    scores: Mapping[Clique, float],
    *,
    present: Sequence[Clique],
    domain: Domain,
    count: int,
    limit_bytes: Sequence[int] | None,
    room: Room = lambda clique, chosen: True,
) -> tuple[Clique, ...]:
    """Return up to ``count`` cliques by falling score with which the model stays small.

    Cliques without a score above 0 and those that are present are left out.

    Args:
        limit_bytes: (count,) the most that the junction tree may take with each choice; None for
            what no tree need hold.
        room: whether a clique may still be asked beside those that were chosen.
    """
    known = {frozenset(c) for c in present}
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    wanted = [c for c, score in ranked if score > 0 and frozenset(c) not in known]
    chosen: list[Clique] = []
    for clique in wanted[: TRIES_PER_CLIQUE * count]:
        if len(chosen) == count:
            break
        if not room(clique, chosen):
            continue
        if limit_bytes is not None:
            tree = build_junction_tree([*present, *chosen, clique], domain=domain)
            if tree.bytes > limit_bytes[len(chosen)]:
                continue
        chosen.append(clique)
    return tuple(chosen)


def cover_evenly(
    present: Sequence[Clique],
    *,
    pairs: Sequence[Clique],
    domain: Domain,
    count: int,
    room: Room,
) -> tuple[Clique, ...]:
    """Return up to ``count`` more pairs, of attributes that fewest of ``present`` are of.

    A round whose noise is fixed for more pairs than are worth it asks them for what they say of
    their columns: where a table says little of pairs, those are what it is off by.

    Args: room: whether a pair may still be asked beside those that were chosen.
    """
    known = {frozenset(c) for c in present}
    left = sorted(
        (p for p in pairs if frozenset(p) not in known), key=lambda p: (domain.size(p), p)
    )
    place = {name: i for i, name in enumerate(domain.attributes)}
    sides = np.asarray([[place[a], place[b]] for a, b in left], dtype=np.int64).reshape(-1, 2)
    asked = Counter(name for clique in present for name in clique)
    times = np.asarray([float(asked[name]) for name in domain.attributes])
    tried = np.zeros(len(left))
    chosen: list[Clique] = []
    for _ in range(min(_TRIES_TO_COVER * count, len(left))):
        if len(chosen) == count:
            break
        at = int((times[sides].sum(axis=1) + tried).argmin())
        tried[at] = np.inf
        if room(left[at], chosen):
            chosen.append(left[at])
            times[sides[at]] += 1.0
    return tuple(chosen)


def room_of(plan: Plan, phase: Phase) -> Room:
    """Return what says whether a phase may ask for one more, beside those that were chosen.

    No silo may pay for more marginals of what it holds than the phase says. In a secret sum, where
    all are asked the same, there may be no more than the phase has in all either.
    """
    whole = phase.marginals if plan.masked or not plan.lacks else None

    def room(clique: Clique, chosen: Sequence[Clique]) -> bool:
        if whole is not None and len(chosen) >= whole:
            return False
        if not plan.lacks:
            return True
        holders = plan.holders(clique, silos=plan.silos)
        return all(sum(plan.holds(s, c) for c in chosen) < phase.paid for s in holders)

    return room


def beside(before: tuple[Clique, ...], room: Room, clique: Clique, more: Sequence[Clique]) -> bool:
    """Say whether there is room for a pair beside those of earlier steps and of this one."""
    return room(clique, (*before, *more))


def growing_limits(*, max_model_mb: float, before: int, count: int, of: int) -> list[int]:
    """Return the size limit in bytes of each of ``count`` choices after ``before``, of ``of``."""
    whole = max_model_mb * 2**20
    steps = [(before + i + 1) / of for i in range(count)]
    return [int(whole * (FIRST_SHARE + (1 - FIRST_SHARE) * min(step, 1.0))) for step in steps]


def _merge_cells(values: np.ndarray, measurement: Measurement, *, domain: Domain) -> np.ndarray:
    """Return (cells,) a marginal of the model over the cells of a measurement."""
    table = values.reshape(domain.sizes(measurement.clique))
    for axis, attribute in enumerate(measurement.clique):
        groups = measurement.grouping.lookup(attribute, table.shape[axis])
        merged = np.zeros((int(groups.max()) + 1, len(groups)))
        merged[groups, np.arange(len(groups))] = 1.0
        table = np.moveaxis(np.tensordot(merged, table, (1, axis)), 0, axis)
    return table.ravel()
