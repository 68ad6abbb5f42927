"""Where a model is fitted: on the processor, or on a GPU; chosen in one place."""

from __future__ import annotations

import glob
import importlib.util
import sys
from enum import StrEnum

from silosynth.common.errors import InvalidArgument
from silosynth.server.model.engine import NUMPY, Engine

CUDA_CELLS = 200_000
"""Fewer cells than this stay on the processor: starting a kernel costs more than it does."""

_DRIVERS = ("/dev/nvidia*", "/dev/nvhost*", "/dev/dxg", "/dev/kfd")
"""What the kernel shows where there is a GPU: NVIDIA's, Jetson's, Windows' below Linux, AMD's."""


class Device(StrEnum):
    """Where to fit. ``auto`` is CUDA for large models where there is one, else NumPy."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def choose_engine(device: Device | str, *, cells: int) -> Engine:
    """Return the engine for a model of ``cells`` cells.

    Raises InvalidArgument for an unknown device, and for ``cuda`` where torch or a GPU is missing.
    """
    try:
        wanted = Device(device)
    except ValueError:
        names = ", ".join(d.value for d in Device)
        raise InvalidArgument(f"device {str(device)!r} is not known", hint=f"use {names}") from None
    if wanted is Device.CPU or (wanted is Device.AUTO and cells < CUDA_CELLS):
        return NUMPY
    found = _torch_on_cuda()
    if found is None and wanted is Device.CUDA:
        raise InvalidArgument(
            "there is no torch with a CUDA device here", hint="install torch, or use device cpu"
        )
    return NUMPY if found is None else found


def _torch_on_cuda() -> Engine | None:
    """Return torch on the GPU, None where there is no torch or no GPU.

    Torch takes a second and 170 MB to say that there is none, so the kernel is asked first.
    """
    if importlib.util.find_spec("torch") is None or not _may_have_gpu():
        return None
    from silosynth.server.model.torch_engine import cuda_engine

    return cuda_engine()


def _may_have_gpu() -> bool:
    """Say whether torch is worth asking: Linux shows a file of each GPU's driver."""
    return sys.platform != "linux" or any(map(glob.glob, _DRIVERS))
