"""Fit models that grow in attributes, clique size and rows, without a peer; draw the curves.

Seconds are the processor's, of one thread, so that a busy machine does not change them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

from bench.fit.problems import peak_megabytes, seconds, synthetic
from bench.peers.run import PEERS, ROOT
from bench.support.results import Figure, publish, results_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A chain of cliques of ``width`` + 1 attributes."""

    attributes: int
    size: int = 20
    width: int = 1
    rows: int = 50_000


BY_ATTRIBUTES = tuple(Size(attributes=n) for n in (25, 50, 100))
BY_WIDTH = tuple(Size(attributes=30, size=8, width=w) for w in (1, 2, 3))
BY_ROWS = tuple(Size(attributes=50, rows=n) for n in (5_000, 50_000, 500_000))
cpu = partial(seconds, repeats=3, clock=time.process_time)
GROWTH = {"attributes": BY_ATTRIBUTES, "width": BY_WIDTH, "rows": BY_ROWS}


def growth_figures() -> Iterator[Figure]:
    """Yield seconds and memory of each size, and draw them beside ``results/fit_growth.json``."""
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for along, sizes in GROWTH.items():
        for size in sizes:
            fitting, memory, *others = measure_size(size)
            point = (getattr(size, along), fitting.value, memory.value)
            lines.setdefault(along, []).append(point)
            yield from (fitting, memory, *others)
    command: list[str | Path] = [PEERS / "plots" / "bin" / "python", "-m", "bench.fit.plot"]
    target = results_of("fit") / "fit_growth.png"
    subprocess.run([*command, json.dumps(lines), target], cwd=ROOT, check=True)


def measure_size(size: Size) -> tuple[Figure, ...]:
    """Return what one size costs: seconds and memory of a fit, its cells, and all pairs of it."""
    case = synthetic(attributes=size.attributes, size=size.size, width=size.width, rows=size.rows)
    name = f"{case.name}, {size.rows:,} rows"
    pairs = list(combinations(case.domain.attributes, 2))
    model = case.fit()
    return (
        Figure(figure=f"{name}: fit", value=cpu(case.fit), unit="s of CPU"),
        Figure(figure=f"{name}: memory of the fit", value=peak_megabytes(case.fit), unit="MiB"),
        Figure(figure=f"{name}: cells", value=model.tree.cells, unit="cells"),
        Figure(
            figure=f"{name}: all {len(pairs)} pairs",
            value=cpu(lambda: model.pair_marginals(pairs)),
            unit="s of CPU",
        ),
    )


if __name__ == "__main__":
    sys.exit(publish("fit_growth", growth_figures(), room="fit"))
