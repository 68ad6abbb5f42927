"""Networks and weights as the bytes of safetensors files, spelled in one way.

Anything that opens safetensors opens these; nothing else is opened here: a reader writes the header
that the widths or the architecture give and compares it with the one that is there, so nothing in a
file is ever interpreted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from silosynth.common.codec import Layout
from silosynth.common.errors import InvalidSampler
from silosynth.common.generator import Architecture
from silosynth.common.sampler.network import MOST_LAYERS, Layer, Network

MOST_WEIGHTS = 2**28
_DTYPE = "<f4"
_ALIGNMENT = 8


def widths_of(network: Network) -> tuple[int, ...]:
    """Return the length of the input and of each layer's output."""
    return (network.inputs, *(int(layer.bias.shape[0]) for layer in network.layers))


def dump_network(network: Network) -> bytes:
    """Return the network as safetensors; the same network gives the same bytes."""
    arrays = [network.latents]
    arrays += [a for layer in network.layers for a in (layer.weight, layer.bias)]
    data = b"".join(np.ascontiguousarray(a, dtype=_DTYPE).tobytes() for a in arrays)
    return _header(widths_of(network), network.latents.shape) + data


def parse_network(
    data: bytes | memoryview, *, widths: Sequence[int], latents: Sequence[int]
) -> Network:
    """Return the network of ``widths``, with ``latents`` (components, latent), that data holds.

    Errors: InvalidSampler for widths out of range, checked before anything is allocated, and for
    bytes that are not the safetensors file of a network of these widths with finite weights.
    """
    if not 2 <= len(widths) <= MOST_LAYERS + 1 or min(*widths, *latents) < 1 or len(latents) != 2:
        raise InvalidSampler("the widths of the network are out of range")
    weights = sum((i + 1) * o for i, o in pairwise(widths)) + latents[0] * latents[1]
    if weights > MOST_WEIGHTS:
        raise InvalidSampler(f"the network has more than {MOST_WEIGHTS} weights")
    header = _header(widths, latents)
    if len(data) != len(header) + 4 * weights or data[: len(header)] != header:
        raise InvalidSampler("the weights do not have the names, dtype and shapes of the network")
    flat = np.frombuffer(data[len(header) :], dtype=_DTYPE).astype(np.float32)
    layers, start = [], latents[0] * latents[1]
    table = flat[:start].reshape(latents[0], latents[1])
    for inputs, outputs in pairwise(widths):
        stop = start + inputs * outputs
        weight, bias = flat[start:stop].reshape(inputs, outputs), flat[stop : stop + outputs]
        layers.append(Layer(weight=weight, bias=bias))
        start = stop + outputs
    return Network(latents=table, layers=tuple(layers))


def dump_weights(vector: np.ndarray, *, architecture: Architecture, layout: Layout) -> bytes:
    """Return all weights as safetensors; the same weights give the same bytes."""
    return (
        _weights_header(architecture, layout) + np.ascontiguousarray(vector, dtype=_DTYPE).tobytes()
    )


def parse_weights(
    data: bytes | memoryview, *, architecture: Architecture, layout: Layout
) -> np.ndarray:
    """Return (parameters,) float32, the weights of ``architecture`` that data holds.

    Errors: CapExceeded for too large a network, before anything is allocated; InvalidSampler for
    bytes that are not the safetensors file of this architecture.
    """
    parameters = architecture.parameters(layout)
    header = _weights_header(architecture, layout)
    if len(data) != len(header) + 4 * parameters or data[: len(header)] != header:
        raise InvalidSampler(
            "the weights are those of another architecture",
            hint="use the checkpoint that belongs to this plan and schema",
        )
    return np.frombuffer(data[len(header) :], dtype=_DTYPE).astype(np.float32)


def _tensors_header(shapes: Mapping[str, Sequence[int]]) -> bytes:
    """Return the length and the JSON that stand before float32 tensors, spelled in one way."""
    entries: dict[str, dict[str, object]] = {}
    start = 0
    for name, shape in shapes.items():
        stop = start + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _header(widths: Sequence[int], latents: Sequence[int]) -> bytes:
    """Return what stands before the weights of a network."""
    shapes = {"latents": list(latents)}
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        shapes |= {f"{i}.weight": [inputs, outputs], f"{i}.bias": [outputs]}
    return _tensors_header(shapes)


def _weights_header(architecture: Architecture, layout: Layout) -> bytes:
    return _tensors_header({t.name: t.shape for t in architecture.tensors(layout)})
