"""The four tables of every score: real rows, synthetic ones, ceiling and floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silosynth.common.scores.values import Values
from silosynth.common.seeded import SeededWords

MOST_COMPARED = 30_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """As many rows of each: what a distance says depends on how many there are.

    ``ceiling`` is the control, or a bootstrap of the real rows; ``floor`` holds the real columns,
    each in an order of its own.
    """

    real: Values
    synthetic: Values
    ceiling: Values
    floor: Values

    def others(self) -> tuple[Values, Values, Values]:
        """Return what is held against the real rows, in the order value, ceiling, floor."""
        return self.synthetic, self.ceiling, self.floor


def make_sides(real: Values, synthetic: Values, control: Values | None, *, seed: int) -> Sides:
    """Choose equally many rows of each table, and make ceiling and floor."""
    tables = [t for t in (real, synthetic, control) if t is not None]
    rows = min(MOST_COMPARED, *(t.rows for t in tables))
    chosen = _some(real, rows=rows, seed=seed, purpose="real")
    words = SeededWords(seed=seed, purpose="bootstrap")
    drawn = real.take(words.below(real.rows, rows))
    orders = [
        SeededWords(seed=seed, purpose="independent", index=i).permutation(rows)
        for i in range(len(real.columns))
    ]
    return Sides(
        real=chosen,
        synthetic=_some(synthetic, rows=rows, seed=seed, purpose="synthetic"),
        ceiling=drawn
        if control is None
        else _some(control, rows=rows, seed=seed, purpose="control"),
        floor=chosen.shuffle(orders),
    )


def _some(values: Values, *, rows: int, seed: int, purpose: str) -> Values:
    """Return ``rows`` rows without replacement, in their order."""
    if values.rows == rows:
        return values.take(np.arange(rows))
    order = SeededWords(seed=seed, purpose=f"evaluate-{purpose}").permutation(values.rows)
    return values.take(np.sort(order[:rows]))
