"""Train a generator on summed random features: post-processing, on the CPU or a GPU.

Given its latent vector, a generator draws every attribute by itself. So its 2-way marginals are
exact and smooth, products of two distributions averaged over latent vectors, and features of
pairs are sums over them. The latent vectors are a fixed set, drawn once: fresh ones for each step
would put their own scatter, far above the noise of a release, into every expectation. Training
moves these expectations, and the 1-way marginals, towards what the silos released, each weighed
by its noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from silosynth.common.features import AMPLITUDE, FeatureMap
from silosynth.common.measurement import Measurement
from silosynth.common.network import Layer, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How long and how wide; measured in docs/decisions/018.

    ``spread`` scales the first weights of the output; training ends early once the loss is
    ``enough``: one is what the true rows would have, and below it noise is learnt.
    """

    latent: int = 32
    hidden: int = 128
    components: int = 512
    steps: int = 1000
    rate: float = 3e-3
    spread: float = 0.5
    enough: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A network and how well it meets what was released.

    ``loss`` is the mean square of (expected - released) in standard deviations of the noise.
    """

    network: Network
    loss: float


def train_generator(
    released: Measurement,
    one_way: Mapping[str, Measurement],
    *,
    features: FeatureMap,
    seed: int,
    training: Training | None = None,
    progress: Callable[[int, float], None] = lambda _step, _loss: None,
) -> Trained:
    """Return a generator for the working codes of ``features``.

    Args:
        released: the noised sum of the rows' feature vectors.
        one_way: the noised 1-way marginals over working codes, the label's among them.
        seed: makes training repeatable on one machine.
    """
    how = training or Training()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    target = _target(released, one_way, features=features, device=device)
    random = torch.Generator().manual_seed(seed)
    model = _model(target, how=how, random=random).to(device)
    latents = torch.randn(how.components, how.latent, generator=random)
    inputs = _inputs(latents, classes=features.classes).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=how.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps)
    loss = torch.zeros(())
    with _one_thread():
        for step in range(how.steps):
            optimiser.zero_grad()
            loss = _loss(model, target, inputs=inputs)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            progress(step + 1, reached := float(loss.detach()))
            if reached <= how.enough:
                break
    return Trained(network=_export(model, latents), loss=float(loss.detach()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: tables are small, and two threads stall on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Target:
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


def _target(
    released: Measurement,
    one_way: Mapping[str, Measurement],
    *,
    features: FeatureMap,
    device: torch.device,
) -> _Target:
    """Turn releases into shares of all rows, and features into sums over pairs of codes."""
    names = features.domain.attributes
    rows = max(float(np.mean([m.values.sum() for m in one_way.values()])), 1.0)
    scale = AMPLITUDE * rows
    sums = (released.values / scale).reshape(features.classes, features.frequencies, 2)
    marginals = [one_way[names[i]] for i in features.inputs]
    cells, added = _pair_features(features)
    return _Target(
        cells=torch.as_tensor(cells, device=device),
        features=_tensor(added, device),
        sums=_tensor(_by_block(sums, features=features, entries=added.shape[2]), device),
        weight=float(scale**2 / released.variance[0]),
        entries=sums.size,
        class_shares=_tensor(class_shares(features, one_way), device),
        shares=tuple(_tensor(m.values / rows, device) for m in marginals),
        precisions=tuple(_tensor(rows**2 / m.variance, device) for m in marginals),
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


def class_shares(features: FeatureMap, one_way: Mapping[str, Measurement]) -> np.ndarray:
    """Return (classes,) float64, the share of each class of the label, from its noised counts."""
    if features.label is None:
        return np.ones(1)
    counts = np.clip(one_way[features.domain.attributes[features.label]].values, 0.0, None)
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(counts), 1 / len(counts))


def _tensor(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _model(target: _Target, *, how: Training, random: torch.Generator) -> nn.Sequential:
    """Return a network that starts at the released 1-way marginals."""
    classes = len(target.class_shares)
    outputs = sum(len(s) for s in target.shares)
    widths = (how.latent + classes, how.hidden, how.hidden, outputs)
    layers: list[nn.Module] = []
    for inputs, width in pairwise(widths):
        layer = nn.Linear(inputs, width)
        nn.init.kaiming_normal_(layer.weight, generator=random)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    last = layers[-2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(how.spread)
        last.bias.copy_(torch.cat([s.clamp(min=1e-6).log() for s in target.shares]).cpu())
    return nn.Sequential(*layers[:-1])


def _inputs(latents: torch.Tensor, *, classes: int) -> torch.Tensor:
    """Return every latent vector beside every class, class by class."""
    labels = torch.eye(classes).repeat_interleave(len(latents), 0)
    return torch.cat((latents.repeat(classes, 1), labels), 1)


def _loss(model: nn.Sequential, target: _Target, *, inputs: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance to what was released, in units of its noise."""
    classes = len(target.class_shares)
    batch, device = len(inputs) // classes, inputs.device
    sizes = [len(s) for s in target.shares]
    parts = [part.softmax(-1) for part in torch.split(model(inputs), sizes, dim=1)]
    ones = torch.ones(classes * batch, 1, device=device)
    codes = torch.cat((*parts, ones), 1).view(classes, batch, -1)
    pairs = codes.transpose(1, 2) @ codes * (target.class_shares / batch)[:, None, None]
    chosen = pairs.flatten(1)[:, target.cells.flatten()].view(classes, *target.cells.shape)
    expected = torch.einsum("cbx,bxe->cbe", chosen, target.features)
    wrong = (expected - target.sums).square().sum() * target.weight
    ways = torch.split(pairs[:, :-1, -1].sum(0), sizes)
    for found, released, precision in zip(ways, target.shares, target.precisions, strict=True):
        wrong = wrong + ((found - released).square() * precision).sum()
    return wrong / (target.entries + sum(sizes))


def _export(model: nn.Sequential, latents: torch.Tensor) -> Network:
    """Return the network as arrays."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return Network(
        latents=latents.numpy(),
        layers=tuple(
            Layer(
                weight=np.ascontiguousarray(layer.weight.detach().cpu().numpy().T),
                bias=layer.bias.detach().cpu().numpy().copy(),
            )
            for layer in layers
        ),
    )
