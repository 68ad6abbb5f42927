"""Check a GPU in ten minutes: ``make gpu-check``; ``--small`` is a dry run on any processor."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.gpu.check import parts
from bench.gpu.sizes import FULL, SMALL, Sizes
from bench.support.results import Figure, publish

BUDGET_SECONDS = 480.0
"""No part is begun later: the last ones take a minute or two."""


def figures(sizes: Sizes) -> Iterator[Figure]:
    """Yield what every part measured; a part that would begin too late counts as missed."""
    start = time.monotonic()
    every = parts(sizes)
    for number, part in enumerate(every, start=1):
        if time.monotonic() - start > BUDGET_SECONDS:
            yield Figure(
                figure="parts begun in time", value=number - 1, unit="", at_least=len(every)
            )
            return
        for figure in part():
            print(f"{figure.figure}: {figure.value:.4g} {figure.unit}", file=sys.stderr, flush=True)
            yield figure


def main(arguments: list[str]) -> int:
    """Run the check; return 0 where all is as it must be, 1 where not, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a dry run, with or without a GPU")
    parser.add_argument("--out", type=Path, help="a folder for gpu-check.json")
    asked = parser.parse_args(arguments)
    found = torch.cuda.is_available()
    if not found and not asked.small:
        print("PyTorch finds no GPU here; --small is a dry run", file=sys.stderr)
        return 2
    print(f"on {torch.cuda.get_device_name() if found else 'a processor'}", file=sys.stderr)
    measured = figures(SMALL if asked.small else FULL)
    name = "gpu-check-small" if asked.small else "gpu-check"
    return publish(name, measured, room="gpu", directory=asked.out)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
