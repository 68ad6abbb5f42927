"""Choose the tree of MST without a trusted party: three ways, at equal budget, by final distance.

Each way spends the plan's share of the coarse phase; everything else of the run is the same. The
run is that of one pooled silo, which has the law of shared noise with t = 0; only what is done
with local data sees the silos.

    coarse  every pair's coarse marginal, summed with shared noise (what the product does)
    scores  every pair's local dependence score, summed with shared noise
    votes   each silo grows a tree on its own data by the exponential mechanism; most votes win
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bench.support.distances import mean_distances
from bench.support.results import Figure, is_quick, publish
from bench.support.tables import Case, encode, load_case, split_by
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler import draw_codes
from silosynth.server.measuring import evidence
from silosynth.server.methods import mst
from silosynth.server.methods.mst import spanning_forest
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

DELTA = 1e-6
MAX_CELLS = 5_000_000
Scores = dict[Clique, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Local:
    """What one silo's way to choose may look at: its codes on the working domain."""

    codes: np.ndarray
    domain: Domain
    shares: Mapping[str, np.ndarray]

    def scores(self) -> Scores:
        """Return each pair's L1 distance from the product of the public 1-way shares, in rows.

        A row more changes one cell by one and the product by one in all: sensitivity 2.
        """
        rows = len(self.codes)
        found = {}
        for left, right in combinations(range(len(self.domain.shape)), 2):
            names = (self.domain.attributes[left], self.domain.attributes[right])
            sizes = (self.domain.shape[left], self.domain.shape[right])
            flat = self.codes[:, left].astype(np.int64) * sizes[1] + self.codes[:, right]
            counts = np.bincount(flat, minlength=sizes[0] * sizes[1])
            product = rows * np.outer(self.shares[names[0]], self.shares[names[1]]).ravel()
            found[names] = float(np.abs(counts - product).sum())
        return found


def by_scores(silos: Sequence[Local], *, rho: float, random: np.random.Generator) -> Scores:
    """Sum the silos' scores with noise that costs ``rho`` for all pairs together."""
    total: Counter[Clique] = Counter()
    for silo in silos:
        total.update(silo.scores())
    deviation = math.sqrt(4 * len(total) / (2 * rho))
    return {pair: score + random.normal(0, deviation) for pair, score in total.items()}


def by_votes(silos: Sequence[Local], *, rho: float, random: np.random.Generator) -> Scores:
    """Let each silo grow a tree edge by edge with the exponential mechanism; count the edges.

    One choice at epsilon costs epsilon² / 8 in zCDP, so each of the d - 1 gets
    epsilon = sqrt(8 rho / (d - 1)). Source: McKenna, Miklau and Sheldon 2021, section 3.3.
    """
    votes: Counter[Clique] = Counter()
    for silo in silos:
        votes.update(_grow(silo, rho=rho, random=random))
    return {pair: count + 1e-6 * random.random() for pair, count in votes.items()}


def _grow(silo: Local, *, rho: float, random: np.random.Generator) -> list[Clique]:
    """Return one silo's tree."""
    scores = silo.scores()
    names = silo.domain.attributes
    tree = {name: i for i, name in enumerate(names)}
    epsilon, edges = math.sqrt(8 * rho / (len(names) - 1)), []
    while len(edges) < len(names) - 1:
        open_pairs = [p for p in scores if tree[p[0]] != tree[p[1]]]
        weights = np.array([scores[p] for p in open_pairs]) * epsilon / (2 * 2)
        pair = open_pairs[int(np.argmax(weights + random.gumbel(size=len(weights))))]
        edges.append(pair)
        old, new = tree[pair[0]], tree[pair[1]]
        tree = {name: new if t == old else t for name, t in tree.items()}
    return edges


Way = Callable[..., Scores]
WAYS: Mapping[str, Way | None] = {"coarse": None, "scores": by_scores, "votes": by_votes}


def run_once(
    case: Case, silos: Sequence[np.ndarray], *, way: Way | None, epsilon: float, seed: int
) -> np.ndarray:
    """Return the (3,) distances of one run whose tree was chosen in one way."""
    plan = new_plan(case.schema, epsilon=epsilon, delta=DELTA, silos=("pooled",), method="mst")
    kept = mst.choose_forest, evidence.fitting_measurements
    if way is not None:
        mst.choose_forest = _replacement(silos, plan=plan, way=way, seed=seed)
        evidence.fitting_measurements = _without_coarse
    try:
        run = simulate(plan, schema=case.schema, silos={"pooled": case.table}, engine="local")
    finally:
        mst.choose_forest, evidence.fitting_measurements = kept
    columns = draw_codes(run.sampler, rows=len(case.codes), seed=seed)
    codes = np.stack([column.astype(np.uint16) for column in columns], axis=1)
    return mean_distances(case.codes, codes, domain=case.domain)


def _replacement(
    silos: Sequence[np.ndarray], *, plan: Plan, way: Way, seed: int
) -> Callable[..., tuple[Clique, ...]]:
    """Return what chooses the tree in place of the coarse marginals."""
    random = np.random.default_rng(seed)
    rho = float(plan.phase_cost(plan.phase(PhaseName.COARSE)).rho)

    def forest(
        schema: object, one_way: Sequence[Measurement], coarse: object, *, working: Grouping
    ) -> tuple[Clique, ...]:
        fine = schema.domain  # type: ignore[attr-defined]  # a Schema
        domain = working.domain(fine)
        shares = {m.clique[0]: _working_shares(m, working=working) for m in one_way}
        local = [
            Local(codes=_working_codes(codes, fine, working), domain=domain, shares=shares)
            for codes in silos
        ]
        return spanning_forest(
            way(local, rho=rho, random=random), domain=domain, max_cells=MAX_CELLS
        )

    return forest


def _working_shares(one_way: Measurement, *, working: Grouping) -> np.ndarray:
    """Return the share of each working group in a noised 1-way marginal."""
    groups = working.lookup(one_way.clique[0], len(one_way.values))
    mass = np.bincount(groups, weights=np.clip(one_way.values, 0.0, None))
    return mass / max(float(mass.sum()), 1.0)


def _working_codes(codes: np.ndarray, fine: Domain, working: Grouping) -> np.ndarray:
    """Return codes merged to working groups."""
    return np.stack(
        [
            working.lookup(name, size)[codes[:, i]]
            for i, (name, size) in enumerate(zip(fine.attributes, fine.shape, strict=True))
        ],
        axis=1,
    )


_FITTING = evidence.fitting_measurements


def _without_coarse(
    measured: Mapping[PhaseName, tuple[Measurement, ...]], **over: Any
) -> tuple[Measurement, ...]:
    """Return what is fitted, without the coarse marginals that these ways do not measure."""
    rest: dict[PhaseName, tuple[Measurement, ...]] = {
        p: m for p, m in measured.items() if p is not PhaseName.COARSE
    }
    return _FITTING(rest, **over)


def selection_figures(*, epsilons: Sequence[float], seeds: Sequence[int]) -> list[Figure]:
    """Return the mean distances of every way, over natural and over random silos."""
    case = load_case("nist_acs", "national2019.csv")
    parts = [encode(t, schema=case.schema) for t in split_by(case.table, "PUMA").values()]
    order = np.random.default_rng(0).permutation(len(case.codes))
    mixed = np.array_split(case.codes[order], len(parts))
    figures = []
    for split, silos in (("20 places", parts), ("20 random parts", mixed)):
        for epsilon in epsilons:
            for name, way in WAYS.items():
                runs = np.array(
                    [run_once(case, silos, way=way, epsilon=epsilon, seed=s) for s in seeds]
                )
                label = f"nist_acs, {split}, epsilon {epsilon:g}, {name}"
                print(label, runs.mean(axis=0).round(4), file=sys.stderr, flush=True)
                figures += [
                    Figure(
                        figure=f"{label}: {i + 1}-way",
                        value=float(runs[:, i].mean()),
                        spread=float(np.ptp(runs[:, i]) / 2),
                        unit="distance",
                    )
                    for i in range(3)
                ]
    return figures


def main() -> int:
    """Measure, print and write; QUICK=1 runs one seed at one epsilon."""
    quick = is_quick()
    epsilons, seeds = ((1.0,), (0,)) if quick else ((1.0, 8.0), (0, 1, 2))
    return publish(
        "selection", selection_figures(epsilons=epsilons, seeds=seeds), room="secure_sum"
    )


if __name__ == "__main__":
    raise SystemExit(main())
