"""What a generator's training moves towards: releases as shares of all rows.

Features of pairs are sums over the generator's exact 2-way marginals. Given its latent vector a
generator draws every pixel by itself, so that a whole turn's expected cosine and sine are the
product of the pixels' characteristic functions: exact, and smooth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from silosynth.common.generator import AMPLITUDE, TURN, FeatureMap, ImageMap
from silosynth.common.measurement import Measurement
from silosynth.server.measuring import estimate_rows


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
    rows = estimate_rows(one_way.values())
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageTarget:
    """What was released, as shares of all rows, and how to predict it.

    For each image ``pixels`` are positions among the attributes beside the label and ``waves``
    (2, pixels, codes, frequencies) the cosine and sine of each level, padded with zeros; ``sums``
    is (classes, frequencies) complex, what was released.
    """

    pixels: tuple[tuple[int, ...], ...]
    waves: tuple[torch.Tensor, ...]
    sums: torch.Tensor
    weight: float
    class_shares: torch.Tensor
    shares: tuple[torch.Tensor, ...]
    precisions: tuple[torch.Tensor, ...]

    def loss(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the mean squared distance to what was released, in units of its noise."""
        classes = len(self.class_shares)
        found = torch.cat(
            [_expect(parts, p, w) for p, w in zip(self.pixels, self.waves, strict=True)], dim=1
        )
        expected = found.view(classes, -1, found.shape[1]).mean(1) * self.class_shares[:, None]
        wrong = (expected - self.sums).abs().square().sum() * self.weight
        each = self.class_shares.repeat_interleave(len(parts[0]) // classes)
        each = each / each.sum()
        for part, released, precision in zip(parts, self.shares, self.precisions, strict=True):
            wrong = wrong + ((each @ part - released).square() * precision).sum()
        return wrong / (2 * self.sums.numel() + sum(part.shape[1] for part in parts))


def image_target(
    released: Measurement,
    one_way: Mapping[str, Measurement],
    *,
    features: ImageMap,
    device: torch.device,
) -> ImageTarget:
    """Turn releases into shares of all rows, and angles into complex numbers."""
    names, rows = features.domain.attributes, estimate_rows(one_way.values())
    scale = AMPLITUDE * rows
    sums = (released.values / scale).reshape(features.classes, features.frequencies, 2)
    marginals = [one_way[names[i]] for i in features.inputs]
    place = {column: i for i, column in enumerate(features.inputs)}
    return ImageTarget(
        pixels=tuple(tuple(place[column] for column in image) for image in features.pixels),
        waves=tuple(_waves(turns, device) for turns in features.turns),
        sums=torch.view_as_complex(to_tensor(sums, device).contiguous()),
        weight=float(scale**2 / released.variance[0]),
        class_shares=to_tensor(class_shares(features, one_way), device),
        shares=tuple(to_tensor(m.values / rows, device) for m in marginals),
        precisions=tuple(to_tensor(rows**2 / m.variance, device) for m in marginals),
    )


def _waves(turns: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Return (2, pixels, codes, frequencies) cosines and sines; zeros are padding."""
    shape = (2, len(turns), max(map(len, turns)), turns[0].shape[1])
    table = np.zeros(shape, dtype=np.float32)
    for i, turn in enumerate(turns):
        angle = 2 * math.pi / TURN * turn
        table[:, i, : len(turn)] = np.cos(angle), np.sin(angle)
    return torch.as_tensor(table, device=device)


def _expect(
    parts: Sequence[torch.Tensor], pixels: Sequence[int], waves: torch.Tensor
) -> torch.Tensor:
    """Return (components, frequencies) complex, what each component expects of an image."""
    most = waves.shape[2]
    padded = [torch.nn.functional.pad(parts[p], (0, most - parts[p].shape[1])) for p in pixels]
    real, imaginary = (torch.stack(padded) @ part for part in waves)
    while len(real) > 1:
        half = len(real) // 2
        (a, c, rest), (b, d, beside) = (
            (x[:half], x[half : 2 * half], x[2 * half :]) for x in (real, imaginary)
        )
        real = torch.cat((a * c - b * d, rest))
        imaginary = torch.cat((a * d + b * c, beside))
    return torch.complex(real[0], imaginary[0])
