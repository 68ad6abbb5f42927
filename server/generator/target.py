"""What a generator's training moves towards: releases as shares of all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from silosynth.common.generator import FeatureMap, ImageMap
from silosynth.common.measurement import Measurement


class Target(Protocol):
    """Releases, and how far a mixture is from them."""

    @property
    def class_shares(self) -> torch.Tensor:
        """Return (classes,) the share of each class of the label."""

    @property
    def shares(self) -> tuple[torch.Tensor, ...]:
        """Return (codes,) the released 1-way marginal of each attribute beside the label."""

    def loss(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the mean squared distance to what was released, in units of its noise.

        Args: parts: for each attribute, (classes * components, codes) distributions.
        """


def mean_rows(one_way: Mapping[str, Measurement]) -> float:
    """Return the number of rows by noised 1-way marginals, at least one."""
    return max(float(np.mean([m.values.sum() for m in one_way.values()])), 1.0)


def class_shares(features: FeatureMap | ImageMap, one_way: Mapping[str, Measurement]) -> np.ndarray:
    """Return (classes,) float64, the share of each class of the label, from its noised counts."""
    if features.label is None:
        return np.ones(1)
    counts = np.clip(one_way[features.domain.attributes[features.label]].values, 0.0, None)
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(counts), 1 / len(counts))


def to_tensor(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return an array as float32 where training runs."""
    return torch.as_tensor(values, dtype=torch.float32, device=device)
