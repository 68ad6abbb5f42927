"""One run of a method on a table, as a process of its own: prints what came of it.

Its question is a list: table, method, epsilon, silos with noise of their own, seed.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from bench.aim.published import Counts
from bench.generators.learn import table_auc
from bench.methods.tables import Ground, load_ground
from bench.support.pooled import run_pooled
from silosynth.common.domain import Clique
from silosynth.common.sampler import draw_codes
from silosynth.common.scores import fixed_cliques, marginal_distance
from silosynth.common.scores.metrics import bootstrap
from silosynth.server.planning import new_plan

DELTA = 1e-6
PAIRS = 400
TAUGHT = 20_000
"""How many rows a classifier learns from, at most."""

ASKED_AT = 1.0
"""The budget at which a classifier learns from the rows, as it takes longer than many a run."""

REAL = "real"
"""In a method's place: real rows, drawn again."""


def score(ground: Ground, codes: np.ndarray, *, taught: bool) -> dict[str, float]:
    """Return the mean 2-way distance of at most 400 fixed pairs, and the AUC if it is asked for."""
    domain = ground.schema.domain
    pairs = fixed_cliques(domain, 2, count=PAIRS, seed=0)
    columns = tuple(ground.train.T), tuple(codes.T)
    off = marginal_distance(*columns, domain=domain, cliques=pairs).mean()
    found = {"distance": float(off)}
    if taught and ground.label is not None:
        first = np.argmax(np.bincount(ground.train[:, ground.label]))
        told = [
            (np.delete(rows, ground.label, axis=1), (rows[:, ground.label] != first).astype(int))
            for rows in (codes[:TAUGHT], ground.test[:TAUGHT])
        ]
        found["AUC"] = table_auc(*told)
    return found


def counts_of(ground: Ground) -> Counts:
    """Return what counts a marginal of the table."""
    domain, codes = ground.schema.domain, ground.train

    def counts(clique: Clique) -> np.ndarray:
        cells = np.zeros(len(codes), dtype=np.int64)
        for name in clique:
            cells = cells * domain.size((name,)) + codes[:, domain.index(name)]
        return np.bincount(cells, minlength=domain.size(clique)).astype(np.float64)

    return counts


def run(ground: Ground, method: str, *, epsilon: float, silos: int, seed: int) -> dict[str, float]:
    """Return distance, AUC, and what plan, fit and draw took in processor seconds."""
    rows = len(ground.train)
    if method == REAL:
        again = np.stack(bootstrap(tuple(ground.train.T), seed=seed), axis=1)
        return score(ground, again, taught=True)
    start = time.process_time()
    plan = new_plan(
        ground.schema,
        epsilon=epsilon,
        delta=DELTA,
        silos=tuple(f"s{i}" for i in range(silos)),
        method=method,
        rows_at_most=ground.rows_at_most,
    )
    made = run_pooled(
        plan,
        counts_of(ground),
        schema=ground.schema,
        rng=np.random.default_rng(seed),
        silos=silos,
    )
    codes = np.stack(draw_codes(made.sampler, rows=rows, seed=seed, threads=1), axis=1)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taught = (epsilon, silos) == (ASKED_AT, 1)
    return {**score(ground, codes, taught=taught), "seconds": seconds, "MB": peak}


if __name__ == "__main__":
    name, how, budget, places, first = json.loads(sys.argv[1])
    found = run(load_ground(name), how, epsilon=budget, silos=places, seed=first)
    print(json.dumps(found))
