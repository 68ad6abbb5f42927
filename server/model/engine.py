"""Where the descent's arithmetic runs: NumPy, or torch on a device; chosen in one place.

The descent is written once, for whatever behaves as an array. What the two libraries spell
differently stands here; torch is imported when it is used and not before.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from typing import Protocol

import numpy as np

from silosynth.common.errors import InvalidArgument

CUDA_CELLS = 200_000
"""Fewer cells than this stay on the processor: starting a kernel costs more than it does."""


class Device(StrEnum):
    """Where to fit. ``auto`` is CUDA for large models where there is one, else NumPy."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


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

    def group(self, cells: np.ndarray, *, weights: np.ndarray, count: int) -> np.ndarray:
        """Return (count,) the sums of ``weights`` by cell."""
        return np.bincount(cells, weights=weights, minlength=count)


NUMPY = NumpyEngine()


def choose_engine(device: Device | str, *, cells: int) -> Engine:
    """Return the engine for a model of ``cells`` cells.

    Raises InvalidArgument for an unknown device, and for ``cuda`` where torch or a GPU is missing.
    """
    try:
        wanted = Device(device)
    except ValueError:
        names = ", ".join(d.value for d in Device)
        raise InvalidArgument(f"device {str(device)!r} is not known", hint=f"use {names}") from None
    if wanted is Device.CPU or (wanted is Device.AUTO and cells < CUDA_CELLS):
        return NUMPY
    found = _torch_on_cuda()
    if found is None and wanted is Device.CUDA:
        raise InvalidArgument(
            "there is no torch with a CUDA device here", hint="install torch, or use device cpu"
        )
    return NUMPY if found is None else found


def _torch_on_cuda() -> Engine | None:
    """Return torch on the GPU, None where there is no torch or no GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    from silosynth.server.model.torch_engine import cuda_engine

    return cuda_engine()
