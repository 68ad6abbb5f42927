"""Gradients of single rows, by ``torch.func``: the only file of a silo that knows PyTorch.

Measured faster than Opacus' GradSampleModule on both networks; see docs/decisions/026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from silosynth.client.learning.clip import MOST_ROWS, add_clipped, exact_sum
from silosynth.common.codec import Layout
from silosynth.common.generator import Architecture, build_network, load_vector, one_thread
from silosynth.common.plan import BOUND, scaled_norm

if TYPE_CHECKING:
    from silosynth.common.generator import PretrainedNetwork

_MICROBATCH_BYTES = 32 * 2**20
"""Of the gradients that are held at once; larger ones are slower as well."""

_LONGEST = 4096
"""Positions of all rows of a microbatch together that activations are held for."""

_ALIGNED = 8
"""Microbatches are filled up to a multiple of it: products of matrices of fewer rows round in
another order, and then a row's integers would depend on how many others there are. Those of a
pretrained network, and those on a GPU, of which less is known, are always filled up."""

Words = Callable[[int], np.ndarray]


class Gradients:
    """Own a network, and sum what its rows' gradients are, clipped, as integers."""

    def __init__(
        self,
        architecture: Architecture,
        layout: Layout,
        *,
        clip: float,
        pretrained: PretrainedNetwork | None = None,
    ) -> None:
        """Build the network, or take a pretrained one; raise CapExceeded when it is too large."""
        self._parameters = architecture.parameters(layout)
        self._pretrained = pretrained
        self._network = build_network(architecture, layout) if pretrained is None else pretrained
        self._clip = clip
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.to(self._device)
        self._gradient = vmap(grad(self._loss), in_dims=(None, 0, 0))
        most = _LONGEST // layout.positions if pretrained is None else pretrained.rows_learnt
        rows = max(1, min(_MICROBATCH_BYTES // (4 * self._parameters), most, MOST_ROWS))
        self._rows = rows if rows < _ALIGNED else rows // _ALIGNED * _ALIGNED
        known = pretrained is None and self._device.type == "cpu"
        self._full = min(_ALIGNED, self._rows) if known else self._rows

    def load(self, weights: np.ndarray) -> None:
        """Set all weights, (parameters,) float32; raise InvalidArgument for other ones."""
        load_vector(self._network, weights)

    def sum(self, examples: np.ndarray, *, words: Words) -> tuple[np.ndarray, int]:
        """Return (parameters,) int64, and how many rows had no finite gradient.

        Guarantees: each row adds integers of an L2 norm of at most ``BOUND``, which depend on that
        row and on bits of its own alone.

        Args:
            examples: (rows, positions) codes.
            words: gives (count,) uint64 of uniform bits, for the masks and orders of learning.
        """
        total = np.zeros(self._parameters, dtype=np.int64)
        lost = 0
        for parts in self._found(examples, words):
            lost += self._add(parts, total=total)
        return total, lost

    def each(self, examples: np.ndarray, *, words: Words) -> np.ndarray:
        """Return (rows, parameters) int64: what each row adds to :meth:`sum`."""
        added = np.zeros((len(examples), self._parameters), dtype=np.int64)
        totals = iter(added)
        for parts in self._found(examples, words):
            for row in range(len(parts[0])):
                self._add([part[row : row + 1] for part in parts], total=next(totals))
        return added

    def _found(self, examples: np.ndarray, words: Words) -> Iterator[list[torch.Tensor]]:
        """Yield the gradients of a microbatch: of each array of weights (rows, weights)."""
        parameters = {k: v.detach() for k, v in self._network.named_parameters()}
        with one_thread():
            for start in range(0, len(examples), self._rows):
                codes = self._prepare(examples[start : start + self._rows])
                rows = len(codes)
                batch = self._filled(codes), self._filled(self._uniform(rows, words))
                found = self._gradient(parameters, *map(self._send, batch))
                yield [g.reshape(len(g), -1)[:rows] for g in found.values()]

    def _prepare(self, examples: np.ndarray) -> np.ndarray:
        """Return what the network reads of examples."""
        if self._pretrained is not None:
            return self._pretrained.prepare(examples)
        codes: np.ndarray = examples.astype(np.int64)
        return codes

    def _add(self, parts: list[torch.Tensor], *, total: np.ndarray) -> int:
        """Add the rows' clipped integers to ``total``; return how many rows were not finite."""
        if self._device.type == "cpu":
            arrays = [part.numpy() for part in parts]
            return add_clipped(arrays, clip=self._clip, total=total)
        return add_clipped_there(parts, clip=self._clip, total=total)

    def _loss(
        self, parameters: dict[str, torch.Tensor], codes: torch.Tensor, uniform: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of one row."""
        result: torch.Tensor = functional_call(
            self._network, parameters, (codes[None], uniform[None])
        )[0]
        return result

    def _uniform(self, rows: int, words: Words) -> np.ndarray:
        """Return (rows, draws) float32 in [0, 1), of 24 bits each."""
        count = rows * self._network.draws
        halves = words(-(-count // 2)).view(np.uint32)[:count]
        uniform: np.ndarray = (halves >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        return uniform.reshape(rows, -1)

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """Return a microbatch with rows of zeros at its end, which nothing is added up of."""
        missing = -len(rows) % self._full
        filled: np.ndarray = np.pad(rows, ((0, missing), (0, 0)))
        return filled

    def _send(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)


def add_clipped_there(parts: list[torch.Tensor], *, clip: float, total: np.ndarray) -> int:
    """Do what :func:`~silosynth.client.learning.clip.add_clipped` does, on the GPU of the
    gradients.

    Guarantees: those of ``add_clipped``. Integers whose squares are below 2^24 are added up
    exactly there as well, in any order; a row that rounding lifts above the bound adds zero.
    """
    squares = torch.stack([part.square().sum(1, dtype=torch.float64) for part in parts]).sum(0)
    scales = (scaled_norm(len(total)) / squares.sqrt().clamp(min=clip)).to(torch.float32)
    usable = squares.isfinite() & scales.isfinite()
    factors = torch.where(usable, scales, 0.0)[:, None]
    for part in parts:
        part.nan_to_num_(0.0, 0.0, 0.0).mul_(factors).round_()
    norms2 = torch.stack([part.square().sum(1, dtype=torch.float64) for part in parts]).sum(0)
    # Chosen, not multiplied by zero: zero times what is infinite is not a number.
    within = (usable & (norms2 <= BOUND**2))[:, None]
    sums = [torch.where(within, part, 0.0).sum(0, dtype=torch.float64) for part in parts]
    total += exact_sum(torch.cat(sums).cpu().numpy(), rows=len(within))
    return int((~usable).sum())
