"""How other federated mechanisms choose, from their papers; own noise, and our fit for all.

- NaiveFLAIM and AugFLAIM (private): Maddock, Cormode and Maple, KDD 2024. Every silo chooses a
  marginal a round by the exponential mechanism on its own rows against the common model, measures
  it, and the coordinator weighs the answers by the silos' noised rows. AugFLAIM subtracts how far
  the silo's 1-ways lie from everybody's. All silos take part in every round, so that measuring the
  1-ways in each of them, as the paper does, is the same as measuring them once.
- HeteroFedSyn, SIGMOD 2026: each silo sends a random projection of every 2-way marginal; the sums
  give an estimate of how far a pair is from independence, from which the noise's share is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.aim.published import Counts
from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit

FLAIM_ROUNDS = 10
ALPHA = 0.9
MODEL_MB = 4.0
PROJECTIONS = 10
ITERATIONS = 150


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Federation:
    """Each silo's counts, over one domain, and every silo's budget."""

    silos: tuple[Counts, ...]
    domain: Domain
    rho: float


def flaim(federation: Federation, *, augmented: bool, rng: np.random.Generator) -> GraphicalModel:
    """Run NaiveFLAIM, or AugFLAIM (private)."""
    domain, silos = federation.domain, federation.silos
    pairs = list(combinations(domain.attributes, 2))
    sigma = math.sqrt((len(domain.attributes) + FLAIM_ROUNDS) / (2 * ALPHA * federation.rho))
    epsilon = math.sqrt(8 * (1 - ALPHA) * federation.rho / FLAIM_ROUNDS)
    local = [{a: _noised(s((a,)), sigma, rng) for a in domain.attributes} for s in silos]
    rows = np.array([max(np.mean([v.sum() for v in one.values()]), 1.0) for one in local])
    ones = {a: np.sum([one[a] for one in local], axis=0) for a in domain.attributes}
    measured = [
        Measurement(clique=(a,), values=v, variance=np.full(v.size, len(silos) * sigma**2))
        for a, v in ones.items()
    ]
    model = fit(measured, domain=domain, iterations=ITERATIONS)
    skew = [_skew(one, ones, pairs=pairs) if augmented else {} for one in local]
    for step in range(FLAIM_ROUNDS):
        answers = model.pair_marginals(pairs)
        chosen: dict[Clique, list[int]] = {}
        for k, silo in enumerate(silos):
            scores = np.array(
                [
                    np.abs(silo(p) - answers[p] * rows[k] / model.total).sum()
                    - math.sqrt(2 / math.pi) * sigma * domain.size(p)
                    - skew[k].get(p, 0.0)
                    for p in pairs
                ]
            )
            # Each weight is two attributes, so it leaves the mechanism as it is.
            noised = 0.5 * epsilon * scores + rng.gumbel(size=len(pairs))
            chosen.setdefault(pairs[int(noised.argmax())], []).append(k)
        measured += _weighed(chosen, federation, rows=rows, sigma=sigma, rng=rng)
        model = _fit_within(measured, domain=domain, last=step == FLAIM_ROUNDS - 1)
    return model


def _weighed(
    chosen: dict[Clique, list[int]],
    federation: Federation,
    *,
    rows: np.ndarray,
    sigma: float,
    rng: np.random.Generator,
) -> list[Measurement]:
    """Measure each pair in the silos that chose it, and scale them up to all rows."""
    measured = []
    for pair, members in chosen.items():
        scale = rows.sum() / rows[members].sum()
        values = sum(_noised(federation.silos[k](pair), sigma, rng) for k in members)
        variance = np.full(federation.domain.size(pair), len(members) * sigma**2 * scale**2)
        measured.append(Measurement(clique=pair, values=scale * values, variance=variance))
    return measured


def _skew(
    local: dict[str, np.ndarray], everybody: dict[str, np.ndarray], *, pairs: Sequence[Clique]
) -> dict[Clique, float]:
    """Return, per pair, the mean over its attributes of how far a silo's 1-ways are from all."""
    apart = {}
    for a, values in local.items():
        scale = values.sum() / max(everybody[a].sum(), 1.0)
        apart[a] = float(np.abs(values - scale * everybody[a]).sum())
    return {p: (apart[p[0]] + apart[p[1]]) / 2 for p in pairs}


def hetero_fed_syn(federation: Federation, *, rng: np.random.Generator) -> GraphicalModel:
    """Choose pairs by projections that sum, as HeteroFedSyn; a tenth, a tenth, eight tenths."""
    domain, silos, rho = federation.domain, federation.silos, federation.rho
    pairs = list(combinations(domain.attributes, 2))
    many = len(silos)
    one_sigma2 = many * len(domain.attributes) / (2 * 0.1 * rho)
    sketch_sigma2 = many * len(pairs) / (2 * 0.1 * rho)
    ones = {
        a: _noised(np.sum([s((a,)) for s in silos], axis=0), one_sigma2**0.5, rng)
        for a in domain.attributes
    }
    rows = max(float(np.mean([v.sum() for v in ones.values()])), 1.0)
    apart: dict[Clique, float] = {}
    for pair in pairs:
        project = rng.choice([-1.0, 1.0], (PROJECTIONS, domain.size(pair))) / PROJECTIONS**0.5
        sketch = project @ sum(s(pair) for s in silos)
        sketch += rng.normal(0.0, sketch_sigma2**0.5, PROJECTIONS)
        left, right = ones[pair[0]], ones[pair[1]]
        product = np.outer(left, right).ravel() / rows
        # The noise of the sketch, and that of a product of two noised vectors.
        noise = PROJECTIONS * sketch_sigma2 + one_sigma2 / rows**2 * (
            right.size * float(left @ left) + left.size * float(right @ right)
        )
        squared = float(((sketch - project @ product) ** 2).sum()) - noise
        apart[pair] = math.sqrt(max(squared, 0.0))
    chosen = _choose_dense(apart, domain=domain, budget=0.8 * rho / many)
    sizes = np.array([float(domain.size(p)) ** (2 / 3) for p in chosen])
    measured = [
        Measurement(clique=(a,), values=v, variance=np.full(v.size, one_sigma2))
        for a, v in ones.items()
    ]
    for pair, share in zip(chosen, sizes / max(sizes.sum(), 1.0), strict=True):
        sigma2 = many / (2 * 0.8 * rho * share)
        values = _noised(np.sum([s(pair) for s in silos], axis=0), sigma2**0.5, rng)
        measured.append(
            Measurement(clique=pair, values=values, variance=np.full(values.size, sigma2))
        )
    return _fit_within(measured, domain=domain, last=True)


def _choose_dense(apart: dict[Clique, float], *, domain: Domain, budget: float) -> list[Clique]:
    """Add pairs while dependence left out and noise let in fall together (PrivSyn, section 4)."""
    chosen: list[Clique] = []
    left = {p: v * math.sqrt(domain.size(p)) for p, v in apart.items() if v > 0}
    best = sum(left.values())
    while left:
        pair = max(left, key=left.__getitem__)
        tree = build_junction_tree([*chosen, pair], domain=domain)
        if tree.bytes > MODEL_MB * 2**20:
            del left[pair]
            continue
        trial = [*chosen, pair]
        sizes = sum(domain.size(p) ** (2 / 3) for p in trial)
        noise = sum(
            domain.size(p) * math.sqrt(sizes / (math.pi * budget * domain.size(p) ** (2 / 3)))
            for p in trial
        )
        error = noise + sum(v for p, v in left.items() if p != pair)
        if error >= best and chosen:
            break
        best, chosen = error, trial
        del left[pair]
    return chosen


def _fit_within(measured: Sequence[Measurement], *, domain: Domain, last: bool) -> GraphicalModel:
    """Fit what keeps the junction tree under the limit, in the order of measuring."""
    kept: list[Measurement] = []
    for m in measured:
        tree = build_junction_tree([*(k.clique for k in kept), m.clique], domain=domain)
        if tree.bytes <= MODEL_MB * 2**20:
            kept.append(m)
    iterations = 1000 if last else ITERATIONS
    return fit(kept, domain=domain, iterations=iterations, max_model_mb=64)


def _noised(counts: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise."""
    noised: np.ndarray = counts + rng.normal(0.0, sigma, counts.size)
    return noised
