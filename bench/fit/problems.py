"""What is fitted: Adult's tree, a loopy model of it, tables that grow; how fits are timed."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.support.tables import load_adult
from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit

SIGMA = 41.0  # 14 + 13 marginals of Adult at epsilon 1, delta 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Measurements of one standard deviation, with the total that all contenders are told."""

    name: str
    domain: Domain
    measurements: tuple[Measurement, ...]
    total: float
    sigma: float

    def fit(self, *, iterations: int = 1_000, tolerance: float = 1e-3) -> GraphicalModel:
        """Fit with our engine."""
        return fit(
            self.measurements,
            domain=self.domain,
            total=self.total,
            iterations=iterations,
            tolerance=tolerance,
        )

    def loss(self, answers: list[np.ndarray]) -> float:
        """Return the loss of marginals, one per measurement."""
        pairs = zip(self.measurements, answers, strict=True)
        return float(sum(0.5 * ((m.values - a) ** 2 / m.variance).sum() for m, a in pairs))


def count(codes: np.ndarray, *, domain: Domain, clique: Clique) -> np.ndarray:
    """Count rows per cell."""
    columns = [codes[:, domain.index(a)] for a in clique]
    cells = np.ravel_multi_index(columns, domain.sizes(clique))
    return np.bincount(cells, minlength=domain.size(clique)).astype(np.float64)


def problem(name: str, *, codes: np.ndarray, domain: Domain, cliques: list[Clique]) -> Problem:
    """Measure all 1-ways and ``cliques`` with normal noise of a fixed seed."""
    rng = np.random.default_rng(0)
    measurements = []
    for clique in [*((a,) for a in domain.attributes), *cliques]:
        counts = count(codes, domain=domain, clique=clique)
        noised = counts + rng.normal(0.0, SIGMA, counts.size)
        variance = np.full(counts.size, SIGMA**2)
        measurements.append(Measurement(clique=clique, values=noised, variance=variance))
    return Problem(
        name=name,
        domain=domain,
        measurements=tuple(measurements),
        total=float(len(codes)),
        sigma=SIGMA,
    )


def by_dependence(codes: np.ndarray, *, domain: Domain) -> list[Clique]:
    """Return all pairs, the ones furthest from independence first."""

    def distance(pair: Clique) -> float:
        joint = count(codes, domain=domain, clique=pair).reshape(domain.sizes(pair))
        joint /= joint.sum()
        apart = joint - np.outer(joint.sum(axis=1), joint.sum(axis=0))
        return -float(np.abs(apart).sum())

    return sorted(combinations(domain.attributes, 2), key=distance)


def add_while(
    pairs: list[Clique], start: list[Clique], fits: Callable[[list[Clique]], bool]
) -> list[Clique]:
    """Add pairs one after the other, each if the graph still fits."""
    chosen = list(start)
    for pair in pairs:
        if pair not in chosen and fits([*chosen, pair]):
            chosen.append(pair)
    return chosen


def adult_problems() -> list[Problem]:
    """Return the MST tree and a loopy model of 36,000 cells."""
    domain, codes = load_adult()
    pairs = by_dependence(codes, domain=domain)

    def is_forest(cliques: list[Clique]) -> bool:
        tree = build_junction_tree(cliques, domain=domain)
        return max(len(c) for c in tree.cliques) == 2

    def is_small(cliques: list[Clique]) -> bool:
        return build_junction_tree(cliques, domain=domain).cells <= 37_000

    tree = add_while(pairs, [], is_forest)
    loopy = add_while(pairs, tree, is_small)
    return [
        problem("Adult tree", codes=codes, domain=domain, cliques=tree),
        problem("Adult loopy", codes=codes, domain=domain, cliques=loopy),
    ]


def synthetic(*, attributes: int, size: int, width: int, rows: int) -> Problem:
    """Return a chain of cliques of ``width`` + 1 attributes over a Markov table."""
    rng = np.random.default_rng(1)
    names = tuple(f"a{i:03d}" for i in range(attributes))
    codes = np.zeros((rows, attributes), dtype=np.int64)
    for i in range(attributes):
        before = codes[:, max(i - width, 0) : i].sum(axis=1) + rng.integers(0, size, rows)
        codes[:, i] = np.where(rng.random(rows) < 0.5, before // 2, before) % size
    cliques = [names[i : i + width + 1] for i in range(attributes - width)]
    domain = Domain(attributes=names, shape=(size,) * attributes)
    name = f"{attributes} attributes of {size} codes, width {width}"
    return problem(name, codes=codes, domain=domain, cliques=cliques)


def seconds(
    run: Callable[[], object],
    *,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the least time by ``clock``, wall time without one."""
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def peak_megabytes(run: Callable[[], object]) -> float:
    """Return the most memory that ``run`` held at once."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20
