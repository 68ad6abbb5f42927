"""Features of images, as a generator's training sees them.

Given its latent vector a generator draws every pixel by itself, so that a whole turn's expected
cosine and sine are the product of the pixels' characteristic functions: exact, and smooth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from silosynth.common.generator import AMPLITUDE, TURN, ImageMap
from silosynth.common.measurement import Measurement
from silosynth.server.generator.target import class_shares, mean_rows, to_tensor


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
    names, rows = features.domain.attributes, mean_rows(one_way)
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
