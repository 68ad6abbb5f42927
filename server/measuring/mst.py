"""Choose which pairs to measure: a spanning forest from coarse 2-way marginals.

Every pair is measured once with each attribute merged to a few groups. Coarse marginals are
counts like any other: they sum over silos to the coarse marginals of the pooled table, whatever
the split, so the choice does not depend on who holds which rows; and no party needs to see raw
data, as the exponential mechanism would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement

FEWEST_GROUPS = 4
MOST_GROUPS = 16
MOST_COARSE_GROUPS = 32
MOST_AIM_GROUPS = 64


def all_pairs(domain: Domain) -> tuple[Clique, ...]:
    """Return every pair of attributes, in column order."""
    return tuple(combinations(domain.attributes, 2))


def coarse_groups(
    one_way: Sequence[Measurement], *, deviation: float, most: int = MOST_GROUPS
) -> int:
    """Return into how many groups to merge each attribute for 2-way marginals.

    As many as leave about ``deviation`` rows in a cell, on average: the square root of rows over
    ``deviation``, within [4, most].
    """
    wanted = np.sqrt(estimate_rows(one_way) / deviation)
    return int(np.clip(np.rint(wanted), FEWEST_GROUPS, most))


def estimate_rows(one_way: Sequence[Measurement]) -> float:
    """Estimate the number of rows, at least 1, from the noised 1-way marginals."""
    return max(float(np.mean([m.values.sum() for m in one_way])), 1.0)


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
    parent = {a: a for a in domain.attributes}

    def root(attribute: str) -> str:
        while parent[attribute] != attribute:
            parent[attribute] = parent[parent[attribute]]
            attribute = parent[attribute]
        return attribute

    forest: list[Clique] = []
    for clique, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        left, right = root(clique[0]), root(clique[1])
        if score > 0 and left != right and domain.size(clique) <= max_cells:
            parent[left] = right
            forest.append(clique)
    return tuple(forest)
