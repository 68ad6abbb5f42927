"""Features of pairs, as a generator's training sees them: sums over its exact 2-way marginals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from silosynth.common.generator import AMPLITUDE, FeatureMap
from silosynth.common.measurement import Measurement
from silosynth.server.generator.target import class_shares, mean_rows, to_tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairTarget:
    """What was released, as shares of all rows, and how to predict it.

    ``cells`` (blocks, cells) says which pairs of codes a block looks at, by their place among all
    pairs of codes; ``features`` (blocks, cells, entries) what each adds, and ``sums`` (classes,
    blocks, entries) what was released. Blocks are padded with zeros to one size.
    """

    cells: torch.Tensor
    features: torch.Tensor
    sums: torch.Tensor
    weight: float
    entries: int
    class_shares: torch.Tensor
    shares: tuple[torch.Tensor, ...]
    precisions: tuple[torch.Tensor, ...]

    def loss(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the mean squared distance to what was released, in units of its noise."""
        classes = len(self.class_shares)
        batch, device = len(parts[0]) // classes, parts[0].device
        ones = torch.ones(classes * batch, 1, device=device)
        codes = torch.cat((*parts, ones), 1).view(classes, batch, -1)
        pairs = codes.transpose(1, 2) @ codes * (self.class_shares / batch)[:, None, None]
        chosen = pairs.flatten(1)[:, self.cells.flatten()].view(classes, *self.cells.shape)
        expected = torch.einsum("cbx,bxe->cbe", chosen, self.features)
        wrong = (expected - self.sums).square().sum() * self.weight
        sizes = [part.shape[1] for part in parts]
        ways = torch.split(pairs[:, :-1, -1].sum(0), sizes)
        for found, released, precision in zip(ways, self.shares, self.precisions, strict=True):
            wrong = wrong + ((found - released).square() * precision).sum()
        return wrong / (self.entries + sum(sizes))


def pair_target(
    released: Measurement,
    one_way: Mapping[str, Measurement],
    *,
    features: FeatureMap,
    device: torch.device,
) -> PairTarget:
    """Turn releases into shares of all rows, and features into sums over pairs of codes."""
    names = features.domain.attributes
    rows = mean_rows(one_way)
    scale = AMPLITUDE * rows
    sums = (released.values / scale).reshape(features.classes, features.frequencies, 2)
    marginals = [one_way[names[i]] for i in features.inputs]
    cells, added = _pair_features(features)
    return PairTarget(
        cells=torch.as_tensor(cells, device=device),
        features=to_tensor(added, device),
        sums=to_tensor(_by_block(sums, features=features, entries=added.shape[2]), device),
        weight=float(scale**2 / released.variance[0]),
        entries=sums.size,
        class_shares=to_tensor(class_shares(features, one_way), device),
        shares=tuple(to_tensor(m.values / rows, device) for m in marginals),
        precisions=tuple(to_tensor(rows**2 / m.variance, device) for m in marginals),
    )


def _pair_features(features: FeatureMap) -> tuple[np.ndarray, np.ndarray]:
    """Return, per block, where its pairs of codes stand among all, and their cosines and sines.

    A block of one attribute looks at the pairs of a code with itself in the last row and column,
    where the marginal of every attribute stands.
    """
    sizes = [features.domain.shape[i] for i in features.inputs]
    starts = dict(zip(features.inputs, np.cumsum([0, *sizes]), strict=False))
    width = sum(sizes) + 1
    cells = max(math.prod(len(p) for p in b.phases) for b in features.blocks)
    entries = 2 * max(b.frequencies for b in features.blocks)
    places = np.zeros((len(features.blocks), cells), dtype=np.int64)
    added = np.zeros((len(features.blocks), cells, entries), dtype=np.float32)
    for i, block in enumerate(features.blocks):
        left, right = block.phases[0], np.zeros((1, block.frequencies))
        first, second = starts[block.columns[0]], width - 1
        if len(block.columns) == 2:
            right, second = block.phases[1], starts[block.columns[1]]
        pairs = np.add.outer(np.arange(len(left)) + first, np.arange(len(right)) + second)
        pairs += np.add.outer(
            (np.arange(len(left)) + first) * (width - 1), np.zeros(len(right), int)
        )
        phases = (left[:, None] + right[None]).reshape(-1, block.frequencies)
        places[i, : len(phases)] = pairs.ravel()
        waves = np.stack((np.cos(phases), np.sin(phases)), axis=-1)
        added[i, : len(phases), : 2 * block.frequencies] = waves.reshape(len(phases), -1)
    return places, added


def _by_block(sums: np.ndarray, *, features: FeatureMap, entries: int) -> np.ndarray:
    """Return (classes, blocks, entries) what was released, padded with zeros."""
    out = np.zeros((len(sums), len(features.blocks), entries), dtype=np.float32)
    for i, block in enumerate(features.blocks):
        part = sums[:, block.start : block.start + block.frequencies]
        out[:, i, : 2 * block.frequencies] = part.reshape(len(sums), -1)
    return out
