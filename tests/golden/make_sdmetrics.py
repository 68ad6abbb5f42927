"""Write sdmetrics.json: two made tables and what SDMetrics scores them.

Run it in SDMetrics' own environment; it is no dependency of the project:

    make bench-setup
    bench/.peers/sdmetrics/bin/python tests/golden/make_sdmetrics.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import sdmetrics
from sdmetrics.reports.single_table._properties import ColumnPairTrends, ColumnShapes
from sdmetrics.reports.utils import (
    DEFAULT_REAL_ASSOCIATION_THRESHOLD,
    DEFAULT_REAL_CORRELATION_THRESHOLD,
)

ROWS = 300
METADATA = {
    "columns": {
        "colour": {"sdtype": "categorical"},
        "size": {"sdtype": "categorical"},
        "member": {"sdtype": "boolean"},
        "age": {"sdtype": "numerical"},
        "income": {"sdtype": "numerical"},
        "constant": {"sdtype": "numerical"},
        "joined": {"sdtype": "datetime", "datetime_format": "%Y-%m-%dT%H:%M:%S"},
    }
}


def make_table(seed: int, *, shift: float) -> dict[str, list]:
    """Return a table as lists, dependent columns, some missing values."""
    rng = np.random.default_rng(seed)
    age = np.clip(rng.normal(40 + shift, 12, ROWS), 18, 90).astype(int)
    income = np.round(age * 900 + rng.normal(0, 9000, ROWS), 2)
    colours = np.array(["red", "green", "blue", "grey"])[
        np.minimum((age / 25 + rng.random(ROWS) * (1 + shift / 9)).astype(int), 3)
    ]
    joined = np.datetime64("2015-01-01T00:00:00") + (age * 37 + rng.integers(0, 900, ROWS)).astype(
        "timedelta64[D]"
    )
    table = {
        "colour": colours.tolist(),
        "size": rng.choice(["s", "m", "l"], ROWS, p=[0.5, 0.3, 0.2]).tolist(),
        "member": (rng.random(ROWS) < 0.3 + age / 200).tolist(),
        "age": age.tolist(),
        "income": income.tolist(),
        "constant": [7] * ROWS,
        "joined": [str(instant) for instant in joined],
    }
    for name in ("colour", "income", "joined"):
        for row in rng.choice(ROWS, 20, replace=False):
            table[name][row] = None
    return table


def frame(table: dict[str, list]) -> pd.DataFrame:
    """Return the table as SDMetrics wants it."""
    return pd.DataFrame(table).assign(joined=pd.to_datetime(table["joined"]))


def score_pairs(
    real: pd.DataFrame, synthetic: pd.DataFrame, *, correlation: float, association: float
) -> dict:
    """Return the scores of all pairs, null where undefined, and their mean."""
    trends = ColumnPairTrends()
    trends.real_correlation_threshold = correlation
    trends.real_association_threshold = association
    mean = trends.get_score(real, synthetic, METADATA)
    columns = trends.details[["Column 1", "Column 2", "Score"]].itertuples(index=False)
    return {
        "correlation_above": correlation,
        "association_above": association,
        "scores": [[a, b, None if np.isnan(score) else score] for a, b, score in columns],
        "mean": mean,
    }


def main() -> None:
    """Score and write."""
    tables = make_table(1, shift=0.0), make_table(2, shift=4.0)
    real, synthetic = (frame(table) for table in tables)
    shapes = ColumnShapes()
    mean = shapes.get_score(real, synthetic, METADATA)
    golden = {
        "sdmetrics": sdmetrics.__version__,
        "real": tables[0],
        "synthetic": tables[1],
        "column_shapes": {
            "scores": dict(shapes.details[["Column", "Score"]].itertuples(index=False)),
            "mean": mean,
        },
        "column_pair_trends": [
            score_pairs(real, synthetic, correlation=0, association=0),
            score_pairs(
                real,
                synthetic,
                correlation=DEFAULT_REAL_CORRELATION_THRESHOLD,
                association=DEFAULT_REAL_ASSOCIATION_THRESHOLD,
            ),
        ],
    }
    path = Path(__file__).with_name("sdmetrics.json")
    path.write_text(json.dumps(golden, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
