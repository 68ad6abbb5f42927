"""One vector of integer counters over people who were held out, and the norm that a row adds.

A row adds, each block times its weight: 1 or -1 to every half of every pair; its gain of likelihood
in steps, within an interval around 0; one to one cell of each target's histogram; how many witness
cells it is in, less a public number; and one to the count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from silosynth.common.held.inputs import Inputs, pair_counts
from silosynth.common.held.likelihood import LEAST, STEPS
from silosynth.common.plan import EvaluationSettings


def middle_gain(settings: EvaluationSettings) -> float:
    """Return the middle of the interval that gains are clipped to, in nats."""
    return (settings.clip - LEAST) / 2


def most_steps(settings: EvaluationSettings) -> int:
    """Return the most steps from the middle that one row's gain is."""
    return math.ceil(STEPS * (settings.clip + LEAST) / 2)


def norm_bound(inputs: Inputs) -> int:
    """Return the least whole number that no row's vector is longer than, in L2 norm.

    Guarantees: worked out in integers, block by block: halves have exactly the norm
    sqrt(pairs repeats), targets of one cell each sqrt(targets).
    """
    settings, blocks = inputs.settings, inputs.blocks
    halves, likelihood, scores, witness, count = settings.weights
    farthest = max(inputs.centre, len(inputs.pairs) - inputs.centre)
    square = halves**2 * blocks["halves"]
    square += (likelihood * most_steps(settings)) ** 2 * blocks["likelihood"]
    square += scores**2 * len(inputs.targets)
    square += (witness * farthest) ** 2 * blocks["witness"]
    square += count**2
    return math.isqrt(square - 1) + 1


class Counters:
    """Own the counters of rows that are added piece by piece."""

    def __init__(self, inputs: Inputs) -> None:
        """Begin with no row."""
        self._inputs = inputs
        self._pairs = [np.zeros_like(s) for s in inputs.shares]
        self._steps, self._rows = 0, 0
        self._scores = np.zeros((len(inputs.targets), 2, inputs.settings.bins), dtype=np.int64)

    def add(self, columns: Sequence[np.ndarray]) -> None:
        """Add rows of fine codes, one (rows,) unsigned array a column."""
        inputs, settings = self._inputs, self._inputs.settings
        if not columns or not len(columns[0]):
            return
        merged = [g[c] for g, c in zip(inputs.groups, columns, strict=True)]
        for total, pair in zip(self._pairs, inputs.pairs, strict=True):
            total += pair_counts(merged, pair, inputs.sizes)
        self._rows += len(columns[0])
        if inputs.law is None:
            return
        gains = inputs.law.gains(columns, clip=settings.clip)
        most = most_steps(settings)
        steps = np.rint(STEPS * (gains - middle_gain(settings))).astype(np.int64)
        self._steps += int(np.clip(steps, -most, most).sum())
        working = inputs.law.working(columns)
        for histogram, target in zip(self._scores, inputs.targets, strict=True):
            scores = inputs.law.scores(columns, target.place, target.positive)
            bins = np.searchsorted(target.edges, scores, side="right")
            cells = target.positive[working[target.place]] * settings.bins + bins
            histogram += np.bincount(cells, minlength=2 * settings.bins).reshape(2, -1)

    def vector(self) -> np.ndarray:
        """Return (counters,) int64.

        Guarantees: one row more or less moves it by at most :func:`norm_bound` in L2 norm.
        """
        inputs = self._inputs
        halves, likelihood, scores, witness, count = inputs.settings.weights
        signed = [s @ p for s, p in zip(inputs.signs, self._pairs, strict=True)]
        seen = sum(int(p[w].sum()) for p, w in zip(self._pairs, inputs.witness, strict=False))
        blocks = (
            halves * np.concatenate(signed),
            likelihood * np.array([self._steps] * inputs.blocks["likelihood"], dtype=np.int64),
            scores * self._scores.ravel(),
            witness
            * np.array(
                [seen - inputs.centre * self._rows] * inputs.blocks["witness"], dtype=np.int64
            ),
            count * np.array([self._rows], dtype=np.int64),
        )
        return np.concatenate(blocks).astype(np.int64)
