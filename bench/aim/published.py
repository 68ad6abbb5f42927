"""AIM as published, on pooled rows: the mechanism that a federation's AIM is measured against.

McKenna, Mullins, Sheldon and Miklau 2022, algorithms 2 to 4: the exponential mechanism chooses one
clique a round among the downward closure of the workload, noise anneals when a measurement taught
nothing, and the model may grow with the budget spent. It reads the pooled rows, so it lives here
and not in the product. The fit is ours. Normal noise of a seeded generator: figures only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit

ALPHA = 0.9
ROUNDS_PER_ATTRIBUTE = 16
ITERATIONS = 150
Counts = Callable[[Clique], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublishedRun:
    """The model, the cliques in the order in which they were chosen, and what they cost."""

    model: GraphicalModel
    chosen: tuple[Clique, ...]
    rho_spent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run was asked: budget, workload and size limit."""

    rho: float
    workload: Mapping[Clique, float]
    max_model_mb: float = 4.0


def count_with_cache(codes: np.ndarray, *, domain: Domain) -> Counts:
    """Return a function from a clique to its (cells,) float64 counts, each counted once."""
    known: dict[Clique, np.ndarray] = {}

    def counts(clique: Clique) -> np.ndarray:
        if clique not in known:
            columns = [codes[:, domain.index(a)] for a in clique]
            cells = np.ravel_multi_index(columns, domain.sizes(clique))
            known[clique] = np.bincount(cells, minlength=domain.size(clique)).astype(float)
        return known[clique]

    return counts


def candidate_weights(workload: Mapping[Clique, float]) -> dict[Clique, float]:
    """Return each clique of two or more attributes below the workload, weighted by overlap."""
    below = {
        part for c in workload for size in range(2, len(c) + 1) for part in combinations(c, size)
    }
    return {
        r: float(sum(weight * len(set(r) & set(c)) for c, weight in workload.items()))
        for r in sorted(below)
    }


def published_aim(
    counts: Counts, *, domain: Domain, setting: Setting, rng: np.random.Generator
) -> PublishedRun:
    """Choose, measure and fit until ``rho`` is spent."""
    rho = setting.rho
    weights = candidate_weights(setting.workload)
    rounds = ROUNDS_PER_ATTRIBUTE * len(domain.attributes)
    sigma = math.sqrt(rounds / (2 * ALPHA * rho))
    epsilon = math.sqrt(8 * (1 - ALPHA) * rho / rounds)
    measured = [_measure(counts, (a,), sigma=sigma, rng=rng) for a in domain.attributes]
    spent = len(measured) / (2 * sigma**2)
    model = fit(measured, domain=domain, iterations=ITERATIONS)
    chosen: list[Clique] = []
    last = False
    while not last:
        left = rho - spent
        if left < 2 * (0.5 / sigma**2 + epsilon**2 / 8):
            sigma, epsilon = math.sqrt(0.5 / (ALPHA * left)), math.sqrt(8 * (1 - ALPHA) * left)
            last = True
        spent += 0.5 / sigma**2 + epsilon**2 / 8
        limit = setting.max_model_mb * min(spent / rho, 1.0)
        errors = {c: _error(counts, c, answer) for c, answer in _answers(model, list(weights))}
        scores = {
            c: weights[c] * (errors[c] - _expected_noise(sigma, domain.size(c))) for c in weights
        }
        best = _exponential(
            scores,
            epsilon=epsilon,
            sensitivity=max(weights.values()),
            rng=rng,
            fits=partial(_fits, measured, domain=domain, limit_mb=limit),
        )
        chosen.append(best)
        measured.append(_measure(counts, best, sigma=sigma, rng=rng))
        before = model.marginal(best)
        model = fit(
            measured,
            domain=domain,
            iterations=1000 if last else ITERATIONS,
            warm_start=model,
            max_model_mb=2 * setting.max_model_mb + 16,
        )
        change = float(np.abs(model.marginal(best) - before).sum())
        if change <= _expected_noise(sigma, domain.size(best)):
            sigma, epsilon = sigma / 2, epsilon * 2
    return PublishedRun(model=model, chosen=tuple(chosen), rho_spent=spent)


def _measure(
    counts: Counts, clique: Clique, *, sigma: float, rng: np.random.Generator
) -> Measurement:
    """Return a marginal with normal noise."""
    exact = counts(clique)
    return Measurement(
        clique=clique,
        values=exact + rng.normal(0.0, sigma, exact.size),
        variance=np.full(exact.size, sigma**2),
    )


def _expected_noise(sigma: float, cells: int) -> float:
    """Return the expected L1 norm of the noise."""
    return math.sqrt(2 / math.pi) * sigma * cells


def _error(counts: Counts, clique: Clique, answer: np.ndarray) -> float:
    """Return the L1 distance of the model's marginal from the rows'."""
    return float(np.abs(counts(clique) - answer).sum())


def _fits(
    measured: Sequence[Measurement], clique: Clique, *, domain: Domain, limit_mb: float
) -> bool:
    """Say whether the junction tree stays under the limit with ``clique``, or holds it already."""
    present = [m.clique for m in measured]
    if any(set(clique) <= set(c) for c in present):
        return True
    tree = build_junction_tree([*present, clique], domain=domain)
    return tree.bytes <= limit_mb * 2**20


def _answers(model: GraphicalModel, cliques: Sequence[Clique]) -> list[tuple[Clique, np.ndarray]]:
    """Return the model's marginals."""
    pairs = model.pair_marginals([c for c in cliques if len(c) == 2])
    return [(c, pairs[c] if len(c) == 2 else model.marginal(c)) for c in cliques]


def _exponential(
    scores: Mapping[Clique, float],
    *,
    epsilon: float,
    sensitivity: float,
    rng: np.random.Generator,
    fits: Callable[[Clique], bool],
) -> Clique:
    """Choose among the cliques that fit by the exponential mechanism, by Gumbel noise.

    The largest noised score among those that fit has the mechanism's law, so the others need not
    be tried. When nothing fits, the smallest score's clique is as good as any.
    """
    cliques = list(scores)
    noised = 0.5 * epsilon / sensitivity * np.array([scores[c] for c in cliques])
    noised += rng.gumbel(size=len(cliques))
    ranked = [cliques[i] for i in np.argsort(-noised)]
    return next((c for c in ranked if fits(c)), ranked[-1])
