"""Run SDV's HMASynthesizer on two tables in its own environment: a folder in, a folder out.

In lie ``metadata.json`` in SDV's words and a Parquet file a table; out come those, and
``facts.json`` with seconds and memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sdv.metadata import Metadata
from sdv.multi_table import HMASynthesizer


def main() -> None:
    """Read the tables, fit, and draw as many parents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.random.seed(options.seed)
    facts = json.loads((options.source / "metadata.json").read_text())
    data = {name: pd.read_parquet(options.source / f"{name}.parquet") for name in facts["tables"]}
    used = time.process_time()
    synthesizer = HMASynthesizer(Metadata.load_from_dict(facts), verbose=False)
    synthesizer.fit(data)
    drawn = synthesizer.sample_scale(scale=1.0)
    used = time.process_time() - used
    for name, table in drawn.items():
        table.to_parquet(options.target / f"{name}.parquet", index=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (options.target / "facts.json").write_text(json.dumps({"seconds": used, "peak": peak}))


if __name__ == "__main__":
    main()
