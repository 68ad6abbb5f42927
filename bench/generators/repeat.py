"""Repeat a run of a generator's benchmark: noise has no seed, so one run says little."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.generators.run import Made, say
from bench.support.results import Figure, is_quick

RUNS = 1 if is_quick() else 3


def repeat(
    name: str,
    make: Callable[[int], Made],
    *,
    score: Callable[[Made], float],
    measure: str,
    unit: str,
    best: float,
    keep: Callable[[Made], None],
) -> Iterator[Figure]:
    """Yield the mean of a score over runs with seeds 1, 2 and so on, and of processor time.

    Args:
        make: a run, by the seed of its first weights.
        measure, unit: what the score is called.
        best: what real rows reach.
        keep: what becomes of the first run.
    """
    scores, seconds = [], []
    for seed in range(1, RUNS + 1):
        made = make(seed)
        if seed == 1:
            keep(made)
        scores.append(score(made))
        seconds.append(made.seconds)
        say(f"  {measure} {scores[-1]:.3f}")
    for figure, values, of, peer in (
        (measure, scores, unit, best),
        ("run", seconds, "CPU s", None),
    ):
        spread = float(np.ptp(values)) / 2 if len(values) > 1 else None
        mean = float(np.mean(values))
        yield Figure(figure=f"{name}, {figure}", value=mean, spread=spread, unit=of, peer=peer)
