"""SmartNoise's DP-CTGAN and PATE-CTGAN on codes, in an environment of their own.

Arguments: dpctgan or patectgan, an ``.npz`` of ``codes``, where to write as many synthetic codes
beside the processor seconds, epsilon and delta. All columns are given as categories, so
that nothing of the budget goes to bounds; categories are read off the rows, which costs nothing
there and is in the peer's favour. DP-CTGAN trains for EPOCHS instead of 300, with as little noise
as spends the budget in them by the peer's own accountant, and so more at its end than with the
noise that it sets by default. Other settings are the peer's own.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from opacus import privacy_analysis
from snsynth import Synthesizer

EPOCHS, BATCH = 10, 500
_ORDERS = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))


def least_noise(rows: int, *, epsilon: float, delta: float) -> float:
    """Return the noise that costs just below epsilon in EPOCHS: two steps a batch are counted."""
    steps, low, high = 2 * (rows // BATCH) * EPOCHS, 0.3, 50.0
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        spent = privacy_analysis.compute_rdp(BATCH / rows, middle, steps, _ORDERS)
        cost = privacy_analysis.get_privacy_spent(_ORDERS, spent, delta)[0]
        low, high = (middle, high) if cost >= epsilon else (low, middle)
    return high


def main(method: str, source: str, target: str, epsilon: str, delta: str) -> None:
    """Train, draw, and write."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with np.load(source) as file:
        codes = file["codes"]
    names = [f"a{i:03d}" for i in range(codes.shape[1])]
    table = pd.DataFrame(codes, columns=names).astype(str)
    start = time.process_time()
    budget = {"epsilon": float(epsilon), "delta": float(delta)}
    settings = {}
    if method == "dpctgan":
        settings = {"epochs": EPOCHS, "sigma": least_noise(len(codes), **budget)}
    made = Synthesizer.create(method, cuda=False, **budget, **settings)
    made.fit(table, categorical_columns=names, preprocessor_eps=0.0)
    drawn = made.sample(len(codes))[names].astype(int).to_numpy()
    np.savez_compressed(target, codes=drawn, seconds=time.process_time() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
