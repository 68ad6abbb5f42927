"""The networks of :mod:`~silosynth.common.generator.architecture` in PyTorch.

An example is (positions,) int64 codes of a :class:`~silosynth.common.codec.examples.Layout`. Every
layer
with parameters is a Linear, an Embedding or a LayerNorm, so that gradients of single examples can
be taken by Opacus and by ``torch.func``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from silosynth.common.codec import END, Layout
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator.architecture import (
    Architecture,
    MaskedMlp,
    Pretrained,
    Tensor,
    Transformer,
    text_biases,
)
from silosynth.common.seeded import SeededWords

Network: TypeAlias = "MaskedMlpNetwork | TransformerNetwork"


class MaskedMlpNetwork(nn.Module):
    """Predict the codes that are not seen from those that are."""

    def __init__(self, architecture: MaskedMlp, layout: Layout) -> None:
        super().__init__()
        self.layout, self.views = layout, architecture.views
        width, positions = architecture.width, layout.positions
        self.symbols = sum(layout.sizes)
        self.codes = nn.Embedding(self.symbols + positions, width)
        self.layers = nn.ModuleList(_Residual(width) for _ in range(architecture.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sum(layout.sizes))
        offsets = accumulate(layout.sizes[:-1], initial=0)
        _constants(self, offsets=offsets, masks=range(self.symbols, self.symbols + positions))
        strata = torch.arange(self.views, dtype=torch.float32)[:, None]
        self.register_buffer("strata", strata, persistent=False)

    @property
    def draws(self) -> int:
        """Return how many uniform numbers in [0, 1) one example takes."""
        return self.views * (self.layout.positions + 1)

    def forward(self, codes: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return (n,) the negative log-likelihoods of (n, positions) codes, in nats.

        They are estimates: ``uniform``, (n, draws), picks which codes are seen, in each view as
        many as its stratum says.
        """
        positions = self.layout.positions
        picks = uniform.reshape(-1, self.views, positions + 1)
        seen = ((picks[..., :1] + self.strata) / self.views * positions).floor()
        seen = seen.clamp(max=positions - 1)
        ranks = picks[..., 1:].argsort(-1).argsort(-1)
        given = ranks < seen
        wrong = self.wrong(codes[:, None].expand(-1, self.views, -1), given)
        weight = positions / (positions - seen)
        return (wrong * ~given * weight).sum(-1).mean(-1)

    def wrong(self, codes: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Return (..., positions) the negative log-likelihood of each code by what is given."""
        logits = self.head(self.hidden(codes, given)).split(self.layout.sizes, dim=-1)
        return torch.stack(
            [_wrong(part, codes[..., i]) for i, part in enumerate(logits)],
            dim=-1,
        )

    def hidden(self, codes: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Return (..., width) what the last layer makes of the codes that are given."""
        symbols = torch.where(given, codes + self.offsets, self.masks)
        values = self.codes(symbols).sum(-2)
        for layer in self.layers:
            values = layer(values)
        return functional.relu(self.norm(values))


class _Residual(nn.Module):
    """Add to a value what two layers make of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.down(functional.relu(self.up(self.norm(values))))


class TransformerNetwork(nn.Module):
    """Predict each code from those before it, in any order of the free positions."""

    def __init__(self, architecture: Transformer, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        width, positions = architecture.width, layout.positions
        self.symbols = sum(layout.vocabulary_sizes)
        self.codes = nn.Embedding(self.symbols + 1, width)
        self.places = nn.Embedding(positions + 1, width)
        self.targets = nn.Embedding(positions, width)
        if 0 < layout.free < positions:
            self.conditions = nn.Embedding(sum(layout.sizes[: layout.free]), width)
            after = (torch.arange(positions) >= layout.free).to(torch.float32)[:, None]
            self.register_buffer("after", after, persistent=False)
        heads = architecture.heads
        self.layers = nn.ModuleList(_Block(width, heads) for _ in range(architecture.layers))
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, s) for s in layout.vocabulary_sizes)
        _constants(self, offsets=layout.offsets, rest=range(layout.free, positions))
        mask = torch.full((positions, positions), -math.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    @property
    def draws(self) -> int:
        """Return how many uniform numbers in [0, 1) one example takes."""
        return self.layout.free

    def forward(self, codes: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return (n,) the negative log-likelihoods of (n, positions) codes, in nats.

        ``uniform``, (n, draws), says in which order the free positions come.
        """
        count = len(codes)
        rest = self.rest.expand(count, -1)
        order = torch.cat((uniform.argsort(-1), rest), dim=-1)
        values = self.hidden(codes, order)
        back = order.argsort(-1)[..., None].expand(-1, -1, values.shape[-1])
        wrong = self.wrong(values.gather(1, back), codes)
        return (wrong * self.counted(codes)).sum(-1)

    def hidden(self, codes: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Return (n, positions, width) what predicts each code, in the order of drawing."""
        positions = self.layout.positions
        symbols = (codes + self.offsets).gather(1, order)
        start = torch.full_like(symbols[:, :1], self.symbols)
        places = torch.cat((torch.full_like(start, positions), order[:, :-1]), dim=1)
        symbols = torch.cat((start, symbols[:, :-1]), dim=1)
        values = self.codes(symbols) + self.places(places) + self.targets(order)
        if 0 < (free := self.layout.free) < positions:
            given = self.conditions(codes[:, :free] + self.offsets[:free]).sum(1)
            values = values + given[:, None] * self.after
        for layer in self.layers:
            values = layer(values, self.mask)
        return self.norm(values)

    def wrong(self, values: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return (n, positions) the negative log-likelihood of each code."""
        parts, places = [], []
        for head, where in zip(self.heads, _by_vocabulary(self.layout), strict=True):
            parts.append(_wrong(head(values[:, where]), codes[:, where]))
            places += where
        back = np.argsort(places).tolist()
        return torch.cat(parts, dim=1)[:, back]

    def counted(self, codes: torch.Tensor) -> torch.Tensor:
        """Return (n, positions) bool: all codes but the padding of texts."""
        counted = torch.ones_like(codes, dtype=torch.bool)
        parts = []
        start = 0
        for first, stop in self.layout.texts:
            ended = codes[:, first:stop] == END
            before = ended.cumsum(1) - ended.to(torch.int64)
            parts += [counted[:, start:first], before == 0]
            start = stop
        return torch.cat((*parts, counted[:, start:]), dim=1)


class _Block(nn.Module):
    """Attend to what came before, then think about it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.count = heads
        self.before = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        n, length, width = values.shape
        split = self.mix(self.before(values)).reshape(n, length, 3, self.count, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n, length, width)
        values = values + self.out(mixed)
        return values + self.down(functional.gelu(self.up(self.norm(values))))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: two stall on busy cores, and batches have threads of their own.

    The number is one of the calling thread, so that nobody else's changes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_network(architecture: Architecture, layout: Layout) -> Network:
    """Return the network, on the CPU, with weights that are not set: load a vector into it.

    Raises CapExceeded, before anything is allocated, for one with too many parameters;
    InvalidArgument for a pretrained one, which its checkpoint builds.
    """
    if isinstance(architecture, Pretrained):
        raise InvalidArgument("a pretrained network is built from its checkpoint")
    architecture.parameters(layout)
    if isinstance(architecture, MaskedMlp):
        return MaskedMlpNetwork(architecture, layout)
    return TransformerNetwork(architecture, layout)


def losses(
    network: Network, codes: torch.Tensor, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return (n,) negative log-likelihoods in nats, padding not counted.

    Args:
        codes: (n, positions) int64.
        generator: picks masks and orders, on the device of ``codes``. They may not depend on
            data, and need not be secret.
    """
    uniform = torch.rand((len(codes), network.draws), generator=generator, device=codes.device)
    result: torch.Tensor = network(codes, uniform)
    return result


def initial_vector(architecture: Architecture, layout: Layout, *, seed: int) -> np.ndarray:
    """Return (parameters,) float32, the first weights: a function of a public seed."""
    architecture.parameters(layout)
    words = SeededWords(seed=seed, purpose="weights")
    parts = []
    for tensor in architecture.tensors(layout):
        part = np.full(tensor.size, tensor.value, dtype=np.float32)
        if tensor.is_text:
            part += np.asarray(text_biases(), dtype=np.float32)
        if tensor.spread:
            part += (tensor.spread * words.normal(tensor.size)).astype(np.float32)
        parts.append(part)
    return np.concatenate(parts)


def load_vector(network: nn.Module, vector: np.ndarray) -> None:
    """Set all weights; raise InvalidArgument unless it is (parameters,) float32 and finite."""
    count = sum(p.numel() for p in network.parameters())
    if vector.shape != (count,) or vector.dtype != np.float32:
        raise InvalidArgument(f"the weights are not {count} float32")
    if not np.isfinite(vector).all():
        raise InvalidArgument("a weight is not finite")
    start = 0
    with torch.no_grad():
        for parameter in network.parameters():
            part = vector[start : start + parameter.numel()]
            parameter.copy_(torch.from_numpy(part.copy()).view_as(parameter))
            start += parameter.numel()


def read_vector(network: nn.Module) -> np.ndarray:
    """Return (parameters,) float32, a copy of all weights in the architecture's order."""
    parts = [p.detach().cpu().numpy().ravel() for p in network.parameters()]
    vector: np.ndarray = np.concatenate(parts).astype(np.float32)
    return vector


def tensors_of(network: nn.Module) -> tuple[Tensor, ...]:
    """Return names and shapes of a network's parameters, to hold against its architecture's."""
    return tuple(Tensor(name=n, shape=tuple(p.shape)) for n, p in network.named_parameters())


def _constants(network: nn.Module, **numbers: Iterable[int]) -> None:
    """Keep whole numbers beside the weights, on whatever device these go to."""
    for name, values in numbers.items():
        network.register_buffer(
            name, torch.tensor(list(values), dtype=torch.int64), persistent=False
        )


def _wrong(logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of codes by (..., size) logits."""
    chosen: torch.Tensor = logits.log_softmax(-1).gather(-1, codes[..., None])
    return -chosen.squeeze(-1)


@cache
def _by_vocabulary(layout: Layout) -> tuple[list[int], ...]:
    """Return the positions of each vocabulary."""
    found: dict[int, list[int]] = {}
    for position, vocabulary in enumerate(layout.vocabularies):
        found.setdefault(vocabulary, []).append(position)
    return tuple(found.values())
