"""Draw rows with mbi 2.0 from a model of the same measurements. Runs in mbi's own environment.

In: the .npz that bench/fit/with_mbi.py reads. Out: an .npz with the least seconds of three draws,
and the mean 2-way distance of the last one from its model.
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from mbi import estimation

from bench.fit.with_mbi import load


def main() -> None:
    """Fit, draw, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    arguments = parser.parse_args()
    domain, measurements, total = load(arguments.source)
    model = estimation.MirrorDescent().estimate(
        domain, measurements, known_total=total, iters=1_000
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        drawn = model.synthetic_data(rows=arguments.rows)
        seconds.append(time.perf_counter() - start)
    distances = []
    for pair in combinations(domain.attributes, 2):
        expected = np.asarray(model.project(pair).datavector()) / total
        found = np.asarray(drawn.project(pair).datavector()) / arguments.rows
        distances.append(np.abs(expected - found).sum() / 2)
    np.savez(arguments.target, seconds=min(seconds), distance=np.mean(distances))


if __name__ == "__main__":
    main()
