"""Train a generator on summed random features: post-processing, on the CPU or a GPU.

Given its latent vector, a generator draws every attribute by itself. So what features are expected
to be is exact and smooth. The latent vectors are a fixed set, drawn once: fresh ones for each step
would put their own scatter, far above the noise of a release, into every expectation. Training
moves these expectations, and the 1-way marginals, towards what the silos released, each weighed
by its noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from silosynth.common.generator import FeatureMap, ImageMap, one_thread
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import Layer, Network
from silosynth.server.generator.target import Target, image_target, pair_target


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


IMAGES = Training(components=24, steps=300, rate=5e-3)
"""For images, where a step costs as much as there are pixels."""


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
    features: FeatureMap | ImageMap,
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
    how = training or (IMAGES if isinstance(features, ImageMap) else Training())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    target = _target(released, one_way, features=features, device=device)
    random = torch.Generator().manual_seed(seed)
    model = _model(target, how=how, random=random).to(device)
    latents = torch.randn(how.components, how.latent, generator=random)
    inputs = _inputs(latents, classes=features.classes).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=how.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps)
    loss = torch.zeros(())
    with one_thread():
        for step in range(how.steps):
            optimiser.zero_grad()
            loss = target.loss(_parts(model, target, inputs=inputs))
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            progress(step + 1, reached := float(loss.detach()))
            if reached <= how.enough:
                break
    return Trained(network=_export(model, latents), loss=float(loss.detach()))


def _target(
    released: Measurement,
    one_way: Mapping[str, Measurement],
    *,
    features: FeatureMap | ImageMap,
    device: torch.device,
) -> Target:
    """Return what training moves the expectations to."""
    if isinstance(features, ImageMap):
        return image_target(released, one_way, features=features, device=device)
    return pair_target(released, one_way, features=features, device=device)


def _parts(
    model: nn.Sequential, target: Target, *, inputs: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return, for each attribute, (classes * components, codes) distributions."""
    sizes = [len(share) for share in target.shares]
    return tuple(part.softmax(-1) for part in torch.split(model(inputs), sizes, dim=1))


def _model(target: Target, *, how: Training, random: torch.Generator) -> nn.Sequential:
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
