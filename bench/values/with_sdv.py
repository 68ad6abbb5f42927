"""Run SDV's GaussianCopula: a table in, a synthetic one out. Runs in SDV's own environment."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd
from sdv.metadata import Metadata
from sdv.single_table import GaussianCopulaSynthesizer


def main() -> None:
    """Read a table, fit, and write as many rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--numbers", required=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    data = pd.read_parquet(options.source)
    numbers = set(options.numbers.split(","))
    columns = {}
    for name in data.columns:
        if name in numbers:
            data[name] = pd.to_numeric(data[name], errors="coerce")
        else:
            data[name] = data[name].astype("object").where(data[name].notna(), None)
        columns[name] = {"sdtype": "numerical" if name in numbers else "categorical"}
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})
    synthesizer = GaussianCopulaSynthesizer(metadata)
    # From version 2 on, one table is a dictionary of one.
    synthesizer.fit({"table": data})
    drawn = synthesizer.sample(num_rows=len(data))
    drawn = drawn["table"] if isinstance(drawn, dict) else drawn
    for name in drawn.columns:
        if name not in numbers:
            drawn[name] = drawn[name].map(lambda v: None if v is None or v != v else str(v))
    drawn.to_parquet(options.target, index=False)


if __name__ == "__main__":
    main()
