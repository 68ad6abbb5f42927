"""Mean total variation distance over fixed sets of marginals."""

from __future__ import annotations

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.scores import all_cliques, fixed_cliques, marginal_distance

THREE_WAY_MARGINALS = 200


def marginal_sets(domain: Domain) -> tuple[tuple[Clique, ...], ...]:
    """Return all 1-way, all 2-way and 200 fixed 3-way marginals."""
    triples = fixed_cliques(domain, 3, count=THREE_WAY_MARGINALS, seed=0)
    return all_cliques(domain, 1), all_cliques(domain, 2), triples


def mean_distances(real: np.ndarray, other: np.ndarray, *, domain: Domain) -> np.ndarray:
    """Return the mean 1-way, 2-way and 3-way distance of two coded tables: (3,) float64."""
    return np.array(
        [
            marginal_distance(tuple(real.T), tuple(other.T), domain=domain, cliques=cliques).mean()
            for cliques in marginal_sets(domain)
        ]
    )
