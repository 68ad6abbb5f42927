"""Time steps of one contender on one network, and print rows a processor second and peak memory.

Arguments: ours, opacus or plain; the network, see speed.py; where Opacus is installed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.support.results import is_quick
from silosynth.client.learning.gradient import Gradients
from silosynth.common.codec import END, Layout
from silosynth.common.generator import (
    Architecture,
    MaskedMlp,
    Network,
    Transformer,
    build_network,
    initial_vector,
    load_vector,
)

SECONDS = 0.3 if is_quick() else 3.0
BATCH = 512
MICROBATCHES = (16, 64, 256)
"""Opacus gets the one that suits it best."""

ADULT = (2, 85, 9, 16, 16, 7, 15, 6, 5, 2, 32, 32, 32, 42)
TEXT = 64


def chosen(name: str) -> tuple[Architecture, Layout]:
    """Return a network and the examples that it learns."""
    if name.startswith("adult"):
        return MaskedMlp(width=64), _layout(ADULT, tuple(range(len(ADULT))), free=len(ADULT))
    if name.startswith("digits"):
        return MaskedMlp(width=64), _layout((10, *[17] * 64), (0, *[1] * 64), free=1)
    texts = ((1, 1 + TEXT),)
    layout = _layout((2, *[END + 1] * TEXT), (0, *[1] * TEXT), free=1, texts=texts)
    return Transformer(width=32, layers=1, heads=2), layout


def main(contender: str, name: str, opacus: str) -> None:
    """Print the figures as JSON."""
    torch.set_num_threads(1)
    architecture, layout = chosen(name)
    vector = initial_vector(architecture, layout, seed=1)
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, s, BATCH) for s in layout.sizes], axis=1)
    if contender == "ours":
        gradients = Gradients(architecture, layout, clip=1.0)
        gradients.load(vector)

        def words(count: int) -> np.ndarray:
            return rng.integers(0, 2**63, count, dtype=np.int64).view(np.uint64)

        best = _rate(lambda: gradients.sum(codes, words=words))
    else:
        network = build_network(architecture, layout)
        load_vector(network, vector)
        tensor = torch.from_numpy(codes)
        if contender == "plain":
            best = max(_rate(_plain(network, tensor, size)) for size in MICROBATCHES)
        else:
            best = _opacus(network, tensor, opacus)
    print(json.dumps({"rows": best, "peak": _peak()}))


def _peak() -> int:
    """Return the most resident bytes of this program; getrusage counts its parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _layout(
    sizes: tuple[int, ...],
    vocabularies: tuple[int, ...],
    *,
    free: int,
    texts: tuple[tuple[int, int], ...] = (),
) -> Layout:
    count = texts[0][0] if texts else len(sizes)
    names = tuple(f"a{i}" for i in range(count))
    return Layout(attributes=names, sizes=sizes, vocabularies=vocabularies, free=free, texts=texts)


def _rate(step: Callable[[], object]) -> float:
    """Return rows a processor second, after one step that is not timed."""
    step()
    start, count = time.process_time(), 0
    while time.process_time() - start < SECONDS / len(MICROBATCHES) or count < 2:
        step()
        count += 1
    return count * BATCH / (time.process_time() - start)


def _uniform(network: Network, rows: int) -> torch.Tensor:
    return torch.rand((rows, network.draws))


def _plain(network: Network, codes: torch.Tensor, size: int) -> Callable[[], object]:
    """Return a step without privacy: the gradient of the mean, in microbatches."""

    def step() -> None:
        network.zero_grad()
        for part in codes.split(size):
            (network(part, _uniform(network, len(part))).sum() / len(codes)).backward()

    return step


def _opacus(network: Network, codes: torch.Tensor, place: str) -> float:
    """Return the best rate of Opacus' GradSampleModule and the clipping of its optimizer."""
    sys.path.append(place)
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    wrapped = GradSampleModule(network, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(codes),
    )

    def step(size: int) -> None:
        optimizer.zero_grad()
        for p in optimizer.params:
            p.summed_grad = None
        for part in codes.split(size):
            wrapped(part, _uniform(network, len(part))).sum().backward()
            optimizer.clip_and_accumulate()
            optimizer.zero_grad()

    return max(_rate(lambda size=size: step(size)) for size in MICROBATCHES)


if __name__ == "__main__":
    main(*sys.argv[1:])
