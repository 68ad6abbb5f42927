"""Run dpmm's MST pipeline: codes in, synthetic codes out. Runs in dpmm's own environment."""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from dpmm.pipelines.mst import MSTPipeline


def run_mst(
    data: pd.DataFrame, *, sizes: dict[str, int], epsilon: float, delta: float, seed: int
) -> pd.DataFrame:
    """Return as many synthetic rows as ``data`` has; the codes are taken as they are."""
    pipeline = MSTPipeline(epsilon=epsilon, delta=delta, disable_processing=True, n_jobs=1)
    pipeline.fit(data, domain=sizes, random_state=seed)
    return pipeline.generate(n_records=len(data), random_state=seed)


def main() -> None:
    """Read codes, run, and write codes beside the seconds and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--epsilon", type=float, required=True)
    parser.add_argument("--delta", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    with np.load(options.source) as file:
        codes, shape = file["codes"], file["shape"]
    names = [f"a{i:03d}" for i in range(len(shape))]
    data = pd.DataFrame(codes.astype(np.int64), columns=names)
    sizes = dict(zip(names, map(int, shape), strict=True))
    start = time.perf_counter()
    synthetic = run_mst(
        data, sizes=sizes, epsilon=options.epsilon, delta=options.delta, seed=options.seed
    )
    seconds = time.perf_counter() - start
    np.savez_compressed(
        options.target,
        codes=synthetic[names].to_numpy().astype(np.uint16),
        seconds=seconds,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    main()
