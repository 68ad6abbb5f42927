"""Choose which pairs to measure: a spanning forest from coarse 2-way marginals.

Every pair is measured once with each attribute merged to a few groups. Coarse marginals are
counts like any other: they sum over silos to the coarse marginals of the pooled table, whatever
the split, so the choice does not depend on who holds which rows; and no party needs to see raw
data, as the exponential mechanism would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Method, PhaseName
from silosynth.common.schema import Schema
from silosynth.common.spanning import spanning_edges
from silosynth.server.measuring import coarse_grouping, phase_deviation
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Shares,
    Sizes,
    asked_size,
    calibrated,
    check_pairs,
    check_total,
    largest,
    one_way_size,
)
from silosynth.server.methods.marginals import (
    COARSE,
    MOST_GROUPS,
    all_pairs,
    coarse_groups,
    finish_model,
)
from silosynth.server.methods.method import (
    WORKING,
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
    ask_cliques,
)

SHARES: Shares = {
    PhaseName.ONE_WAY: Fraction(1, 2),
    PhaseName.COARSE: Fraction(1, 5),
    PhaseName.TREE: Fraction(3, 10),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mst:
    """There is nothing to choose."""

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the sizes of the phases that count, find and measure a tree.

        What one silo holds of a tree is a forest over its own columns.
        """
        sizes, domain = one_way_size(schema, terms), schema.domain
        check_pairs(domain, method=Method.MST)
        groups = [min(size, MOST_GROUPS) for size in domain.shape]
        pairs = combinations(domain.shape, 2)
        sizes[PhaseName.COARSE] = asked_size(
            all_pairs(domain),
            terms=terms,
            cells=sum(a * b for a, b in combinations(groups, 2)),
        )
        sizes[PhaseName.TREE] = largest(
            (min(a * b, MAX_CELLS_PER_MARGINAL) for a, b in pairs),
            count=sizes[PhaseName.ONE_WAY].marginals - 1,
            paid=sizes[PhaseName.ONE_WAY].paid - 1,
        )
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget by :data:`SHARES`."""
        return Design(phases=calibrated(self.sizes(schema, terms), shares=SHARES, terms=terms))


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask all pairs coarsely, and then those of the forest that they make."""
    schema = known.schema
    working = known.rare_merged
    if phase is PhaseName.COARSE:
        deviation = phase_deviation(phase, plan=known.plan, one_way=known.merged_by)
        count = coarse_groups(known.merged_by, deviation=deviation)
        grouping = coarse_grouping(schema, known.merged_by, working=working, count=count)
        return ask_cliques(all_pairs(schema.domain), name=COARSE, grouping=grouping)
    coarse = known.measured[PhaseName.COARSE]
    forest = choose_forest(schema, known.one_way, coarse, working=working)
    return ask_cliques(forest, name=WORKING, grouping=working)


def _finish(known: Known) -> Outcome:
    """Fit a tree."""
    return finish_model(known, grouping=known.rare_merged)


def score_pair(measurement: Measurement, *, left: np.ndarray, right: np.ndarray) -> float:
    """Estimate how far a pair is from independence, in rows.

    Sums, over the coarse cells, by how much the distance to the product of the two noised 1-way
    marginals exceeds one standard deviation of the noise (a soft threshold).

    Args: left, right: (groups,) shares of the coarse groups of each attribute, summing to one.
    """
    product = np.outer(left, right).ravel()
    total = max(float(measurement.values.sum()), 1.0)
    excess = np.abs(measurement.values - total * product) - np.sqrt(measurement.variance)
    return float(np.clip(excess, 0.0, None).sum())


def score_pairs(
    coarse: Sequence[Measurement], *, shares: Mapping[str, np.ndarray]
) -> dict[Clique, float]:
    """Score every measured pair; see :func:`score_pair`."""
    return {
        m.clique: score_pair(m, left=shares[m.clique[0]], right=shares[m.clique[1]]) for m in coarse
    }


def spanning_forest(
    scores: Mapping[Clique, float], *, domain: Domain, max_cells: int
) -> tuple[Clique, ...]:
    """Return the heaviest forest over the attributes (Kruskal 1956), edges by falling score.

    Pairs that show no dependence above the noise (score 0) and pairs of more than ``max_cells``
    cells in ``domain`` are left out, so the result may have several trees.
    """
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    edges = ((a, b) for (a, b), score in ordered if score > 0)
    return tuple(spanning_edges(edges, fits=lambda edge: domain.size(edge) <= max_cells))


def choose_forest(
    schema: Schema,
    one_way: Sequence[Measurement],
    coarse: Sequence[Measurement],
    *,
    working: Grouping,
) -> tuple[tuple[str, ...], ...]:
    """Choose the pairs to measure from the coarse 2-way marginals."""
    shares = {m.clique[0]: _shares(m, grouping=coarse[0].grouping) for m in one_way}
    return spanning_forest(
        score_pairs(coarse, shares=shares),
        domain=working.domain(schema.domain),
        max_cells=MAX_CELLS_PER_MARGINAL,
    )


def _shares(one_way: Measurement, *, grouping: Grouping) -> np.ndarray:
    """Return (groups,) the share of each coarse group in a noised 1-way marginal."""
    groups = grouping.lookup(one_way.clique[0], len(one_way.values))
    mass = np.bincount(groups, weights=np.clip(one_way.values, 0.0, None))
    total = float(mass.sum())
    return mass / total if total > 0 else np.full(len(mass), 1.0 / len(mass))


RECIPE = Recipe(name=Method.MST, options=Mst, ask=_ask, finish=_finish)
