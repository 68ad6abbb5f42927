"""A silo's gateway for tests: the real one, with random bits that a seed decides.

The product has no such seam at its command line: this file is the only way to it.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from silosynth.client.serve import Seams, serve


class SeededBits:
    """Bits that a seed decides, for comparing two drivers of one federation."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.Philox(seed))

    def words(self, count: int) -> np.ndarray:
        return self._random.integers(0, 2**64, count, dtype=np.uint64)


def kill_at(point: str | None) -> Callable[[str], None]:
    """Return a checkpoint that ends this process at ``point`` as kill -9 does."""

    def checkpoint(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kill-at")
    arguments = parser.parse_args()
    seams = Seams(bits=SeededBits(arguments.seed), checkpoint=kill_at(arguments.kill_at))
    serve(arguments.policy, seams=seams)


if __name__ == "__main__":
    main()
