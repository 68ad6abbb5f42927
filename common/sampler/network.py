"""The network of a generator, in NumPy: enough to draw from it, with nothing to install.

Its input is one of its latent vectors and the class of the label; its output, for each attribute
beside the label, one logit for each working code. So it stands for a mixture with as many
components as latent vectors and classes, in which attributes are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.errors import InvalidSampler

MOST_LAYERS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """An affine map: ``weight`` (inputs, outputs) and ``bias`` (outputs,), float32 and finite."""

    weight: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        for name, array, axes in (("weight", self.weight, 2), ("bias", self.bias, 1)):
            if array.ndim != axes or array.dtype != np.float32 or 0 in array.shape:
                raise InvalidSampler(f"the {name} of a layer is not {axes}-dimensional float32")
            if not np.isfinite(array).all():
                raise InvalidSampler(f"the {name} of a layer is not finite")
            array.setflags(write=False)
        if self.weight.shape[1:] != self.bias.shape:
            raise InvalidSampler("the weight and the bias of a layer do not fit one another")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """Layers with max(x, 0) between them, and (components, latent) float32 latent vectors."""

    latents: np.ndarray
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        latents = self.latents
        if latents.ndim != 2 or latents.dtype != np.float32 or 0 in latents.shape:
            raise InvalidSampler("the latent vectors are not a table of float32")
        if not np.isfinite(latents).all():
            raise InvalidSampler("a latent vector is not finite")
        latents.setflags(write=False)
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise InvalidSampler(f"a network has 1 to {MOST_LAYERS} layers")
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            if before.bias.shape[0] != after.weight.shape[0]:
                raise InvalidSampler("a layer does not fit the one before it")
        if self.classes < 1:
            raise InvalidSampler("the first layer does not fit the latent vectors")

    @property
    def inputs(self) -> int:
        """Return the length of an input."""
        return int(self.layers[0].weight.shape[0])

    @property
    def outputs(self) -> int:
        """Return the length of an output."""
        return int(self.layers[-1].bias.shape[0])

    @property
    def classes(self) -> int:
        """Return how many entries of an input say the class."""
        return self.inputs - int(self.latents.shape[1])

    def components(self) -> np.ndarray:
        """Return (classes * components, outputs) float32, class by class."""
        latents = np.tile(self.latents, (self.classes, 1))
        labels = np.eye(self.classes, dtype=np.float32).repeat(len(self.latents), axis=0)
        return self._apply(np.concatenate((latents, labels), axis=1))

    def _apply(self, values: np.ndarray) -> np.ndarray:
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer.weight + layer.bias, 0)
        last = self.layers[-1]
        result: np.ndarray = values @ last.weight + last.bias
        return result


def softmax_parts(logits: np.ndarray, *, sizes: Sequence[int]) -> list[np.ndarray]:
    """Split (rows, sum of sizes) logits into one (rows, size) float64 distribution a part."""
    parts = np.split(logits.astype(np.float64), np.cumsum(sizes)[:-1], axis=1)
    weights = [np.exp(part - part.max(axis=1, keepdims=True)) for part in parts]
    return [w / w.sum(axis=1, keepdims=True) for w in weights]
