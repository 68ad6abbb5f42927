"""Tables as people have them, made small: each function returns a frame or writes a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 600


def source(seed: int = 1) -> np.random.Generator:
    """Return random numbers that are the same in every run."""
    return np.random.default_rng(seed)


def moments(r: np.random.Generator, *, start: str, days: int) -> pd.DatetimeIndex:
    """Return instants to the second."""
    seconds = r.integers(0, days * 86_400, ROWS)
    return pd.Timestamp(start) + pd.to_timedelta(seconds, unit="s")


def write(frame: pd.DataFrame, path: Path, **how: object) -> Path:
    """Write a frame as a text file."""
    frame.to_csv(path, index=False, **how)  # type: ignore[call-overload]  # any of its options
    return path
