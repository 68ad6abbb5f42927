"""Run MST on mbi 2.0's estimator: codes in, synthetic codes out. Runs in mbi's own environment.

The wheel holds the estimator alone, so the mechanism is written here after McKenna, Miklau and
Sheldon, "Winning the NIST Contest" (2021), section 3, with the iterations that its authors use:
2,500 for the model that selects the tree and 10,000 for the final one.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

# mbi warns about float32 and the compilation cache on import; what it asks for is set just below.
warnings.filterwarnings("ignore", category=UserWarning, module="mbi")
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
from mbi import Dataset, Domain, LinearMeasurement, estimation  # noqa: E402

SELECT_ITERATIONS = 2_500
FINAL_ITERATIONS = 10_000


def rho_for(epsilon: float, delta: float) -> float:
    """Return the largest zCDP rho that gives (epsilon, delta), by Canonne, Kamath and Steinke."""

    def log_delta(rho: float) -> float:
        def bound(log_excess: float) -> float:
            order = 1.0 + np.exp(log_excess)
            tail = (order - 1) * (order * rho - epsilon) + order * np.log1p(-1 / order)
            return float(tail - np.log(order - 1))

        return float(minimize_scalar(bound, bounds=(-8, 12), method="bounded").fun)

    low, high = 0.0, epsilon + 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_delta(middle) <= np.log(delta) else (low, middle)
    return low


def measure(data: Dataset, cliques: list, *, sigma: float, rng: np.random.Generator) -> list:
    """Measure each clique; all of them together cost what one of ``sigma`` costs."""
    stddev = sigma * np.sqrt(len(cliques))
    measurements = []
    for clique in cliques:
        counts = np.asarray(data.project(clique).datavector())
        noisy = counts + rng.normal(scale=stddev, size=counts.size)
        measurements.append(LinearMeasurement(noisy, clique, stddev))
    return measurements


def compression(measurement: LinearMeasurement) -> np.ndarray | None:
    """Keep the codes that stand out of the noise (three sigma); all others become the last one.

    Return the new code of each code; None where all of them stand out.
    """
    kept = np.asarray(measurement.noisy_measurement) >= 3 * measurement.stddev
    return None if kept.all() else np.where(kept, np.cumsum(kept) - 1, kept.sum())


def select_tree(
    data: Dataset, measurements: list, *, total: float, rho: float, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Grow a spanning tree: each edge by the exponential mechanism on its L1 error."""
    model = estimation.MirrorDescent().estimate(
        data.domain, measurements, known_total=total, iters=SELECT_ITERATIONS
    )
    # A model of 1-way marginals is independent: the product is what project() would compile.
    singles = {a: np.asarray(model.project((a,)).datavector()) for a in data.domain.attributes}
    pairs = list(itertools.combinations(data.domain.attributes, 2))
    errors = {
        (a, b): np.abs(
            np.asarray(data.project((a, b)).datavector())
            - np.outer(singles[a], singles[b]).ravel() / total
        ).sum()
        for a, b in pairs
    }
    parts = {a: {a} for a in data.domain.attributes}
    epsilon = np.sqrt(8 * rho / (len(parts) - 1))
    tree = []
    while len(tree) < len(parts) - 1:
        open_pairs = [(a, b) for a, b in pairs if parts[a] is not parts[b]]
        scores = np.array([epsilon / 2 * errors[pair] for pair in open_pairs])
        first, second = open_pairs[
            rng.choice(len(open_pairs), p=np.exp(scores - logsumexp(scores)))
        ]
        tree.append((first, second))
        joined = parts[first] | parts[second]
        for attribute in joined:
            parts[attribute] = joined
    return tree


def run_mst(data: Dataset, *, epsilon: float, delta: float, seed: int) -> Dataset:
    """Return as many synthetic rows as ``data`` has."""
    rng = np.random.default_rng(seed)
    np.random.seed(seed)  # mbi's sampler draws from the global generator
    rho = rho_for(epsilon, delta)
    sigma = np.sqrt(3 / (2 * rho))
    singles = measure(data, [(a,) for a in data.domain.attributes], sigma=sigma, rng=rng)
    # Estimated here: mbi knows no total from measurements whose codes were merged.
    total = estimation.minimum_variance_unbiased_total(singles)
    mapping = {m.clique[0]: merged for m in singles if (merged := compression(m)) is not None}
    singles = [m.compress(mapping, data.domain) for m in singles]
    small = data.compress(mapping)
    tree = select_tree(small, singles, total=total, rho=rho / 3, rng=rng)
    pairs = measure(small, tree, sigma=sigma, rng=rng)
    model = estimation.MirrorDescent().estimate(
        small.domain, singles + pairs, iters=FINAL_ITERATIONS
    )
    return model.synthetic_data(rows=data.records).decompress(mapping)


def main() -> None:
    """Read codes, run, and write codes beside the seconds and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--epsilon", type=float, required=True)
    parser.add_argument("--delta", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    with np.load(options.source) as file:
        codes, shape = file["codes"], file["shape"]
    names = [f"a{i:03d}" for i in range(len(shape))]
    domain = Domain(names, [int(size) for size in shape])
    data = Dataset({a: codes[:, i].astype(np.int64) for i, a in enumerate(names)}, domain)
    start = time.perf_counter()
    synthetic = run_mst(data, epsilon=options.epsilon, delta=options.delta, seed=options.seed)
    seconds = time.perf_counter() - start
    columns = synthetic.to_dict()
    np.savez_compressed(
        options.target,
        codes=np.stack([columns[a] for a in names], axis=1).astype(np.uint16),
        seconds=seconds,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    main()
