"""What the descent's arithmetic runs on: NumPy, or torch on a device.

The descent is written once, for whatever behaves as an array. What the two libraries spell
differently stands here; torch is imported when it is used and not before.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """The array operations that differ between libraries."""

    def send(self, values: np.ndarray) -> np.ndarray:
        """Return a copy of ``values`` where this engine computes, dtype kept."""
        ...

    def fetch(self, values: np.ndarray) -> np.ndarray:
        """Return NumPy's own array of what this engine holds."""
        ...

    def empty(self, cells: int) -> np.ndarray:
        """Return (cells,) float64 of any content."""
        ...

    def exp(self, values: np.ndarray) -> np.ndarray:
        """Return the exponential of each value."""
        ...

    def sum_into(self, table: np.ndarray, *, axes: tuple[int, ...], out: np.ndarray) -> None:
        """Sum over ``axes``, none of them when there are none, and write to ``out``."""
        ...

    def lift(self, values: np.ndarray, *, least: float) -> None:
        """Raise values below ``least`` to it, in place."""
        ...

    def ratio(self, values: np.ndarray, *, over: np.ndarray) -> np.ndarray:
        """Return ``values / over``, and 0 where both are 0."""
        ...

    def group(self, cells: np.ndarray, *, weights: np.ndarray, count: int) -> np.ndarray:
        """Return (count,) the sums of ``weights`` by cell."""
        ...


class NumpyEngine:
    """NumPy in this process."""

    def send(self, values: np.ndarray) -> np.ndarray:
        """Return a copy."""
        return values.copy()

    def fetch(self, values: np.ndarray) -> np.ndarray:
        """Return the same array."""
        return values

    def empty(self, cells: int) -> np.ndarray:
        """Return (cells,) float64 of any content."""
        return np.empty(cells)

    def exp(self, values: np.ndarray) -> np.ndarray:
        """Return the exponential of each value."""
        result: np.ndarray = np.exp(values)
        return result

    def sum_into(self, table: np.ndarray, *, axes: tuple[int, ...], out: np.ndarray) -> None:
        """Sum over ``axes`` into ``out``."""
        table.sum(axis=axes, out=out)

    def lift(self, values: np.ndarray, *, least: float) -> None:
        """Raise values below ``least`` to it, in place."""
        np.maximum(values, least, out=values)

    def ratio(self, values: np.ndarray, *, over: np.ndarray) -> np.ndarray:
        """Return ``values / over``, and 0 where both are 0."""
        divided: np.ndarray = np.zeros_like(values)
        np.divide(values, over, out=divided, where=(over != 0) | (values != 0))
        return divided

    def group(self, cells: np.ndarray, *, weights: np.ndarray, count: int) -> np.ndarray:
        """Return (count,) the sums of ``weights`` by cell."""
        return np.bincount(cells, weights=weights, minlength=count)


NUMPY = NumpyEngine()
