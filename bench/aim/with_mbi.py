"""Run AIM on mbi 2.0's estimator, in mbi's own environment, until it is stopped.

A round scores every pair against the model, measures the worst and fits again with 1,000
iterations, as the published mechanism does. The seconds of the rounds so far are written after
each, since a whole run takes hours.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore", category=UserWarning, module="mbi")
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
from mbi import Dataset, Domain, LinearMeasurement, estimation  # noqa: E402

ROUNDS = 31
"""The fewest that the published mechanism took at epsilon 1, of three seeds."""
ITERATIONS = 1_000
SIGMA = 100.0


def main(source: Path, target: Path) -> None:
    """Write the CPU seconds of the rounds so far after each."""
    with np.load(source) as file:
        codes, shape = file["codes"], file["shape"]
    names = [f"a{i:03d}" for i in range(len(shape))]
    domain = Domain(names, [int(s) for s in shape])
    data = Dataset({a: codes[:, i].astype(np.int64) for i, a in enumerate(names)}, domain)
    rng = np.random.default_rng(0)

    def measure(clique: tuple[str, ...]) -> LinearMeasurement:
        counts = np.asarray(data.project(clique).datavector())
        return LinearMeasurement(counts + rng.normal(scale=SIGMA, size=counts.size), clique, SIGMA)

    measured = [measure((a,)) for a in names]
    model = estimation.MirrorDescent().estimate(domain, measured, iters=ITERATIONS)
    pairs = list(itertools.combinations(names, 2))
    chosen: set[tuple[str, str]] = set()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        errors = {}
        for pair in pairs:
            answer = np.asarray(model.project(pair).datavector())
            errors[pair] = np.abs(np.asarray(data.project(pair).datavector()) - answer).sum()
        best = max((p for p in pairs if p not in chosen), key=errors.__getitem__)
        chosen.add(best)
        measured.append(measure(best))
        model = estimation.MirrorDescent().estimate(domain, measured, iters=ITERATIONS)
        seconds.append(time.process_time() - start)
        print(best, seconds[-1], flush=True)
        target.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
