"""Chance that a seed decides: each draw by its own name, in whatever order draws are asked for."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()


def share(seed: int, *name: object) -> float:
    """Return a number in (0, 1) for a name; other names give independent ones."""
    return ((_word(seed, name) >> 11) + 0.5) / 2**53


def normal(seed: int, *name: object) -> float:
    """Return a standard normal number for a name."""
    return _NORMAL.inv_cdf(share(seed, *name))


def exponential(seed: int, *name: object, mean: float) -> float:
    """Return an exponential number for a name."""
    return -mean * math.log(share(seed, *name))


def generator(seed: int, *name: object) -> np.random.Generator:
    """Return a generator of numbers for a name."""
    return np.random.Generator(np.random.Philox(_word(seed, name)))


def _word(seed: int, name: tuple[object, ...]) -> int:
    text = "\0".join([str(seed), *map(str, name)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
