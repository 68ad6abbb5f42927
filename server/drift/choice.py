"""Which pairs a renewal measures: what moved, and what the last run left unexplained.

Every run that chose its pairs by coarse marginals released those of all pairs. Where they lie
further from its sampler than their noise, the sampler leaves something out, whether people moved
or not. Those releases were paid for, so holding the sampler against them costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler import Sampler
from silosynth.server.measuring import regroup, standing_cliques
from silosynth.server.model import build_junction_tree

MOST_CELLS = 2**16
"""Of the model, so that a renewal is fitted in seconds; what the last one has comes on top."""

_DEVIATIONS = 2.0
_ABSOLUTE = math.sqrt(2 / math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pair of columns, and about how many rows of the last sampler lie elsewhere in it."""

    pair: Clique
    rows: float


def leaves_coarse(plan: Plan) -> bool:
    """Say whether a plan's run released coarse marginals of all pairs."""
    return any(p.name is PhaseName.COARSE for p in plan.phases)


def unexplained(
    measured: Mapping[PhaseName, Sequence[Measurement]],
    marginal: Callable[[Clique], np.ndarray],
    *,
    last: Sampler,
) -> tuple[Candidate, ...]:
    """Return how far a model is from coarse marginals of pairs, beyond what noise explains.

    Args:
        measured: what a run released.
        marginal: the model's counts over a clique, over the sampler's working codes.
    """
    domain, grouping = last.domain, last.grouping
    working = grouping.domain(domain)
    found = []
    for m in measured.get(PhaseName.COARSE, ()):
        merged = regroup(m, domain=domain, grouping=grouping)
        expected = _merged(marginal(m.clique).reshape(working.sizes(m.clique)), merged)
        noise = float(m.variance.sum()) + _DEVIATIONS * math.sqrt(2 * float((m.variance**2).sum()))
        apart = float(((m.values - expected.ravel()) ** 2).sum()) - noise
        if apart > 0:
            found.append(Candidate(pair=m.clique, rows=math.sqrt(apart * len(m.values))))
    return tuple(found)


def _merged(table: np.ndarray, m: Measurement) -> np.ndarray:
    """Return a table over working codes over those of a coarse measurement."""
    for axis, name in enumerate(m.clique):
        groups = m.grouping.lookup(name, table.shape[axis])
        step = np.eye(int(groups.max()) + 1)[np.asarray(groups)]
        table = np.moveaxis(np.tensordot(table, step, axes=(axis, 0)), -1, axis)
    return table


def choose_pairs(
    last: Sampler,
    *,
    moved: Mapping[Clique, float],
    weak: Sequence[Candidate] = (),
    deviation: float,
) -> tuple[Clique, ...]:
    """Return the pairs to measure: as many as set more rows right than their noise sets wrong.

    The more pairs, the more noise each has. Pairs that the last model lacks are taken as long as
    the model stays small; of what moved, one at least is measured.

    Args:
        moved: by pair, about how many rows moved.
        deviation: of a cell, if one marginal were all that is asked.
    """
    working = last.grouping.domain(last.domain)
    rows = {frozenset(c.pair): c for c in weak}
    for pair, count in moved.items():
        known = rows.get(frozenset(pair))
        rows[frozenset(pair)] = Candidate(pair=pair, rows=max(count, known.rows if known else 0.0))
    cliques = [c for c, _ in standing_cliques(last)]
    held = {frozenset(pair) for c in cliques for pair in combinations(c, 2)}
    again = {frozenset(p) for p in moved}
    columns = len(working.attributes)
    room = MOST_CELLS + build_junction_tree(cliques, domain=working).cells
    standing = list(cliques)
    order: list[Candidate] = []
    for candidate in sorted(rows.values(), key=lambda c: (-c.rows, c.pair)):
        both = frozenset(candidate.pair)
        if both in held and both not in again:
            continue  # it was measured, and did not move
        joined = [*standing, candidate.pair]
        if build_junction_tree(joined, domain=working).cells <= room:
            standing = joined
            order.append(candidate)
        if len(order) == columns:
            break
    gains = [
        sum(
            c.rows - _ABSOLUTE * deviation * math.sqrt(columns + count) * working.size(c.pair)
            for c in order[:count]
        )
        for count in range(len(order) + 1)
    ]
    best = int(np.argmax(gains)) if gains else 0
    least = min(sum(frozenset(c.pair) in again for c in order), 1)
    return tuple(c.pair for c in order[: max(best, least)])
