"""SmartNoise's DP-CTGAN and PATE-CTGAN on codes, in an environment of their own.

Arguments: dpctgan or patectgan, an ``.npz`` of ``codes``, where to write as many synthetic codes
beside the processor seconds, epsilon and delta. All columns are given as categories, so
that nothing of the budget goes to bounds; categories are read off the rows, which costs nothing
there and is in the peer's favour. Other settings are the peer's own.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from snsynth import Synthesizer


def main(method: str, source: str, target: str, epsilon: str, delta: str) -> None:
    """Train, draw, and write."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with np.load(source) as file:
        codes = file["codes"]
    names = [f"a{i:03d}" for i in range(codes.shape[1])]
    table = pd.DataFrame(codes, columns=names).astype(str)
    start = time.process_time()
    made = Synthesizer.create(method, epsilon=float(epsilon), delta=float(delta), cuda=False)
    made.fit(table, categorical_columns=names, preprocessor_eps=0.0)
    drawn = made.sample(len(codes))[names].astype(int).to_numpy()
    np.savez_compressed(target, codes=drawn, seconds=time.process_time() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
