"""How many drawn rows hold a pair of values that no real row has, on NIST ACS of 24 attributes.

``make bench-impossible``. A pair of values counts where no real row has it though independent
columns would put twenty of them there, as in a report (``common/evaluate/impossible.py``), by the
codes of the schema. Half of the real rows held against the other half are the floor. Beside it the
mean 2-way distance, and the AUC of gradient boosting that tells real rows from drawn ones. The
pairs that carry the mass are printed, each as it first explains a row. The noise is one silo's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from bench.aim.ground import Ground, load_ground
from bench.aim.published import Counts, count_with_cache
from bench.support.pooled import run_pooled
from bench.support.results import Figure, is_quick, publish
from silosynth.common.domain import Clique, Domain
from silosynth.common.sampler import draw_codes
from silosynth.common.scores import all_cliques, marginal_distance
from silosynth.server.planning import new_plan

EXPECTED_FROM = 20
SEEDS, EPSILONS = (0, 1, 2), (1.0, 8.0)
LEARNT_ROWS = 12_000
MOST_IMPOSSIBLE = {1.0: 0.10, 8.0: 0.02}
MOST_TOLD_APART = {1.0: 0.85, 8.0: 0.70}
TODAY = {1.0: 0.0485, 8.0: 0.0312}
"""Mean 2-way distance before nearly deterministic pairs were looked for."""
SHOWN_PAIRS = 8


def main() -> int:
    """Measure AIM, which has the gates, and MST."""
    return publish("impossible", figures(), room="impossible")


def figures() -> Iterator[Figure]:
    """Yield the floor, and three figures of each method and budget."""
    ground = load_ground("acs")
    counts = count_with_cache(ground.codes, domain=ground.domain)
    halves = np.array_split(np.random.default_rng(3).permutation(len(ground.codes)), 2)
    first, second = (ground.codes[half] for half in halves)
    floor = impossible_rows(first, second, domain=ground.domain)
    yield Figure(
        figure="half of the real rows against the other: impossible",
        value=float(np.any(list(floor.values()), axis=0).mean()),
        unit="share",
    )
    seeds, epsilons = (SEEDS[:1], EPSILONS[:1]) if is_quick() else (SEEDS, EPSILONS)
    for method in ("mst",) if is_quick() else ("aim", "mst"):
        for epsilon in epsilons:
            found = [scores(ground, counts, method=method, epsilon=epsilon, seed=s) for s in seeds]
            gates = (MOST_IMPOSSIBLE[epsilon], MOST_TOLD_APART[epsilon], TODAY[epsilon])
            for i, what in enumerate(("impossible", "told apart", "2-way")):
                values = [f[i] for f in found]
                yield Figure(
                    figure=f"{method}, epsilon {epsilon:g}: {what}",
                    value=float(np.mean(values)),
                    spread=float(np.ptp(values) / 2),
                    unit=("share", "AUC", "distance")[i],
                    at_most=gates[i] if method == "aim" else None,
                )


def scores(
    ground: Ground, counts: Counts, *, method: str, epsilon: float, seed: int
) -> tuple[float, float, float]:
    """Return the impossible share, the AUC and the 2-way distance of one run."""
    plan = new_plan(ground.schema, epsilon=epsilon, delta=ground.delta, silos=["s0"], method=method)
    run = run_pooled(plan, counts, schema=ground.schema, rng=np.random.default_rng(seed))
    columns = draw_codes(run.sampler, rows=len(ground.codes), seed=seed)
    drawn = np.stack(columns, axis=1)
    hit = impossible_rows(ground.codes, drawn, domain=ground.domain)
    label = f"{method}, epsilon {epsilon:g}, seed {seed}"
    print(f"{label}: {dict(first_explained(hit))}", file=sys.stderr, flush=True)
    pairs = all_cliques(ground.domain, 2)
    distances = marginal_distance(
        tuple(ground.codes.T), columns, domain=ground.domain, cliques=pairs
    )
    return (
        float(np.any(list(hit.values()), axis=0).mean()),
        told_apart(ground.codes, drawn, seed=seed),
        float(distances.mean()),
    )


def impossible_rows(
    real: np.ndarray, drawn: np.ndarray, *, domain: Domain
) -> dict[Clique, np.ndarray]:
    """Return, by pair, (rows,) bool: which of ``drawn`` hold a combination that is impossible."""
    found = {}
    for i, j in combinations(range(len(domain.attributes)), 2):
        shape = (domain.shape[i], domain.shape[j])
        cells = np.ravel_multi_index((real[:, i], real[:, j]), shape)
        table = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(real)
        never = (table == 0) & (expected >= EXPECTED_FROM)
        found[domain.attributes[i], domain.attributes[j]] = never[drawn[:, i], drawn[:, j]]
    return found


def first_explained(hit: dict[Clique, np.ndarray]) -> Iterator[tuple[str, float]]:
    """Yield the pairs that carry the mass, each with the rows that none before it has."""
    left = np.ones(len(next(iter(hit.values()))), dtype=bool)
    for _ in range(SHOWN_PAIRS):
        pair = max(hit, key=lambda p: int((hit[p] & left).sum()))
        share = float((hit[pair] & left).mean())
        if share == 0.0:
            return
        yield " x ".join(pair), round(share, 4)
        left &= ~hit[pair]


def told_apart(real: np.ndarray, drawn: np.ndarray, *, seed: int) -> float:
    """Return the AUC of gradient boosting, half of the rows learnt and half asked."""
    rng = np.random.default_rng(seed)
    parts = [t[rng.permutation(len(t))[:LEARNT_ROWS]] for t in (real, drawn)]
    label = np.repeat([0, 1], [len(p) for p in parts])
    order = rng.permutation(len(label))
    rows, label = np.concatenate(parts)[order].astype(np.float64), label[order]
    half = len(label) // 2
    learner = HistGradientBoostingClassifier(random_state=0).fit(rows[:half], label[:half])
    return float(roc_auc_score(label[half:], learner.predict_proba(rows[half:])[:, 1]))


if __name__ == "__main__":
    raise SystemExit(main())
