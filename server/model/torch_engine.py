"""The descent's arithmetic on torch tensors, for models that a GPU fits faster.

A tensor stands in for an array: both index, multiply in place, reshape and sum alike. The casts
say so; no annotation of torch's leaves this file.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from silosynth.server.model.engine import Engine


class TorchEngine:
    """Torch on one device, in float64."""

    def __init__(self, device: str) -> None:
        """Take the device, such as ``cpu`` or ``cuda``."""
        self._device = torch.device(device)

    def send(self, values: np.ndarray) -> np.ndarray:
        """Return a copy on the device."""
        copied = torch.from_numpy(values.copy()).to(self._device)
        return cast(np.ndarray, copied)

    def fetch(self, values: np.ndarray) -> np.ndarray:
        """Return NumPy's own array."""
        return np.asarray(_tensor(values).cpu().numpy())

    def empty(self, cells: int) -> np.ndarray:
        """Return (cells,) float64 of any content."""
        made = torch.empty(cells, dtype=torch.float64, device=self._device)
        return cast(np.ndarray, made)

    def exp(self, values: np.ndarray) -> np.ndarray:
        """Return the exponential of each value."""
        return cast(np.ndarray, torch.exp(_tensor(values)))

    def sum_into(self, table: np.ndarray, *, axes: tuple[int, ...], out: np.ndarray) -> None:
        """Sum over ``axes`` into ``out``; torch would take no axes for all of them."""
        summed = _tensor(table).sum(dim=axes) if axes else _tensor(table)
        _tensor(out).copy_(summed)

    def lift(self, values: np.ndarray, *, least: float) -> None:
        """Raise values below ``least`` to it, in place; not a number stays."""
        _tensor(values).clamp_(min=least)

    def ratio(self, values: np.ndarray, *, over: np.ndarray) -> np.ndarray:
        """Return ``values / over``, and 0 where both are 0."""
        above, below = _tensor(values), _tensor(over)
        divided = torch.where((above == 0) & (below == 0), torch.zeros_like(above), above / below)
        return cast(np.ndarray, divided)

    def group(self, cells: np.ndarray, *, weights: np.ndarray, count: int) -> np.ndarray:
        """Return (count,) the sums of ``weights`` by cell."""
        sums = torch.zeros(count, dtype=torch.float64, device=self._device)
        sums.index_add_(0, _tensor(cells), _tensor(weights))
        return cast(np.ndarray, sums)


def cuda_engine() -> Engine | None:
    """Return torch on the GPU, None where there is none."""
    return TorchEngine("cuda") if torch.cuda.is_available() else None


def _tensor(values: np.ndarray) -> torch.Tensor:
    """Return the tensor that stands in for an array."""
    return cast(torch.Tensor, values)
