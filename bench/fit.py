"""Fit the same measurements as mbi 2.0: loss, seconds, memory; then larger models alone.

Prints a table, writes bench/results/fit.json, and exits with 1 when a gate is missed. QUICK=1
compares the tree alone. Times are the best of several, ours and mbi's alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from results import Figure, is_quick, publish

from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.server.fit import GraphicalModel, fit
from silosynth.server.junction_tree import build_junction_tree

HERE = Path(__file__).resolve().parent
PEER = HERE / ".peers" / "mbi"
ITERATIONS = (1_000, 10_000)
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


def load_adult() -> tuple[Domain, np.ndarray]:
    """Return private-pgm's Adult: 14 attributes and (rows, 14) codes."""
    default = HERE.parent.parent / "shared" / "data"
    directory = Path(os.environ.get("SILOSYNTH_DATA", default)).expanduser() / "adult"
    sizes = json.loads((directory / "adult_coded-domain.json").read_text())
    with (directory / "adult_coded.csv").open() as file:
        names = tuple(file.readline().strip().split(","))
        codes = np.loadtxt(file, delimiter=",", dtype=np.int64)
    return Domain(attributes=names, shape=tuple(sizes[n] for n in names)), codes


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


def run_peer(case: Problem) -> dict[str, np.ndarray]:
    """Return what mbi makes of the same measurements."""
    if not (PEER / "READY").exists():
        raise SystemExit(f"{PEER} is not set up; run make bench-setup")
    arrays: dict[str, np.ndarray] = {
        "shape": np.asarray(case.domain.shape),
        "total": np.asarray(case.total),
        "sigma": np.asarray(case.sigma),
    }
    for i, m in enumerate(case.measurements):
        arrays[f"clique_{i}"] = np.asarray([case.domain.index(a) for a in m.clique])
        arrays[f"values_{i}"] = m.values
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "in.npz", Path(directory) / "out.npz"
        np.savez(source, allow_pickle=False, **arrays)
        iterations = [str(i) for i in ITERATIONS]
        command = [PEER / "bin" / "python", HERE / "fit_mbi.py", source, target, "--iterations"]
        subprocess.run([*command, *iterations], check=True)
        with np.load(target) as file:
            return dict(file)


def answers(peer: dict[str, np.ndarray], *, label: str, case: Problem) -> list[np.ndarray]:
    """Return the peer's marginals, one per measurement."""
    return [peer[f"answer_{label}_{i}"] for i in range(len(case.measurements))]


def seconds(run: Callable[[], object], *, repeats: int = 5) -> float:
    """Return the least wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_megabytes(run: Callable[[], object]) -> float:
    """Return the most memory that ``run`` held at once."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def seconds_to(loss: float, *, case: Problem) -> float:
    """Return the wall time of the fewest iterations whose loss is not above ``loss``."""
    low, high = -1, 1
    while case.fit(iterations=high, tolerance=0.0).loss > loss:
        if high > 20_000:
            raise SystemExit(f"{case.name}: the loss of mbi is out of reach")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if case.fit(iterations=middle, tolerance=0.0).loss > loss:
            low = middle
        else:
            high = middle
    return seconds(lambda: case.fit(iterations=high, tolerance=0.0))


def compare(case: Problem) -> list[Figure]:
    """Return loss, seconds and memory beside mbi's."""
    peer = run_peer(case)
    short, long = (str(i) for i in ITERATIONS)
    losses = {k: case.loss(answers(peer, label=k, case=case)) for k in (short, long)}
    ours = case.fit()
    ratio = ours.loss / losses[long]
    alone = seconds(case.fit)
    at_equal = {k: seconds_to(losses[k], case=case) for k in losses}
    warm = {k: float(peer[f"seconds_{k}"]) for k in losses}
    cold = float(peer["seconds_cold"])
    shares = zip(case.measurements, answers(peer, label=long, case=case), strict=True)
    apart = [0.5 * np.abs(ours.marginal(m.clique) - a).sum() / case.total for m, a in shares]
    name = case.name
    return [
        Figure(figure=f"{name}: cells", value=ours.tree.cells, unit="cells"),
        Figure(
            figure=f"{name}: loss over that of mbi, {long} iterations",
            value=ratio,
            unit="ratio",
            peer=losses[long],
            at_most=1.01,
        ),
        Figure(figure=f"{name}: fit", value=alone, unit="s", peer=warm[long]),
        Figure(
            figure=f"{name}: distance to mbi's marginals", value=float(np.mean(apart)), unit="TV"
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {short} iterations, warm",
            value=warm[short] / at_equal[short],
            unit="times",
            peer=warm[short],
            at_least=5,
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {long} iterations, warm",
            value=warm[long] / at_equal[long],
            unit="times",
            peer=warm[long],
            at_least=5,
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {short} iterations, cold",
            value=cold / at_equal[short],
            unit="times",
            peer=cold,
            at_least=20,
        ),
        Figure(
            figure=f"{name}: memory of the fit (mbi: its process)",
            value=peak_megabytes(case.fit),
            unit="MiB",
            peer=float(peer["peak_bytes"]) / 2**20,
        ),
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


def grow() -> list[Figure]:
    """Return seconds and memory of larger models, without a peer."""
    figures = []
    for attributes, size, width in ((25, 20, 1), (50, 20, 1), (100, 20, 1), (30, 8, 3)):
        case = synthetic(attributes=attributes, size=size, width=width, rows=50_000)
        pairs = list(combinations(case.domain.attributes, 2))
        model = case.fit()
        figures += [
            Figure(figure=f"{case.name}: cells", value=model.tree.cells, unit="cells"),
            Figure(figure=f"{case.name}: fit", value=seconds(case.fit, repeats=3), unit="s"),
            Figure(
                figure=f"{case.name}: all {len(pairs)} pairs",
                value=seconds(lambda m=model, p=pairs: m.pair_marginals(p), repeats=3),
                unit="s",
            ),
            Figure(
                figure=f"{case.name}: memory of the fit",
                value=peak_megabytes(case.fit),
                unit="MiB",
            ),
        ]
    return figures


def main() -> None:
    """Measure, print, write, and judge."""
    problems = adult_problems()[:1] if is_quick() else adult_problems()
    figures = [figure for case in problems for figure in compare(case)]
    figures += [] if is_quick() else grow()
    sys.exit(publish("fit", figures))


if __name__ == "__main__":
    main()
