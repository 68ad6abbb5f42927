"""The weights of an autoregressive generator as the bytes of a safetensors file."""

from __future__ import annotations

import numpy as np

from silosynth.common.codec.examples import Layout
from silosynth.common.errors import InvalidSampler
from silosynth.common.generator.architecture import Architecture
from silosynth.common.sampler.network_file import tensors_header

_DTYPE = "<f4"


def dump_weights(vector: np.ndarray, *, architecture: Architecture, layout: Layout) -> bytes:
    """Return all weights as safetensors; the same weights give the same bytes."""
    return _header(architecture, layout) + np.ascontiguousarray(vector, dtype=_DTYPE).tobytes()


def parse_weights(
    data: bytes | memoryview, *, architecture: Architecture, layout: Layout
) -> np.ndarray:
    """Return (parameters,) float32, the weights of ``architecture`` that data holds.

    Errors: CapExceeded for too large a network, before anything is allocated; InvalidSampler for
    bytes that are not the safetensors file of this architecture.
    """
    parameters = architecture.parameters(layout)
    header = _header(architecture, layout)
    if len(data) != len(header) + 4 * parameters or data[: len(header)] != header:
        raise InvalidSampler(
            "the weights are those of another architecture",
            hint="use the checkpoint that belongs to this plan and schema",
        )
    return np.frombuffer(data[len(header) :], dtype=_DTYPE).astype(np.float32)


def _header(architecture: Architecture, layout: Layout) -> bytes:
    return tensors_header({t.name: t.shape for t in architecture.tensors(layout)})
