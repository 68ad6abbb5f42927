"""How long a person's stacked counts may be: chosen from a noised histogram that was paid for.

A longer T keeps more of those with many rows and adds more noise to all. What is minimised is the
share of rows that is cut, which bends what rows look like, and the noise beside what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from silosynth.common.families import (
    MOST_LENGTH,
    NORM_BINS,
    Question,
    Weighing,
    view_domains,
)
from silosynth.common.tables import TablesSchema

FINENESS = 256
CUT_COST, NOISE_COST, CELLS_POWER = 0.25, 0.4, 0.8
"""See docs/decisions/094-length-of-persons.md for the data that they were chosen on."""
SHOWN_DEVIATIONS = 3.0


def choose_weighing(
    norms: np.ndarray,
    *,
    variance: float,
    questions: Sequence[Question],
    schema: TablesSchema,
    noise: float,
) -> Weighing:
    """Return F and T of the phase that asks ``questions``.

    Args:
        norms: (NORM_BINS,) noised numbers of persons by the length of their stacked counts, each
            bin with ``variance``.
        noise: standard deviation in a cell of all silos' sum, in rows, were T the length of a
            person with one row.
    """
    squares = sum(q.scale**2 for q in questions)
    middles = 2 ** ((np.arange(NORM_BINS) + 0.5) / 4) / math.sqrt(squares)
    shown = np.where(norms < SHOWN_DEVIATIONS * math.sqrt(variance), 0.0, norms)
    if not shown.any():
        return Weighing(fineness=FINENESS, length=_whole(math.sqrt(squares)))
    mass = float(shown @ middles)
    domains = view_domains(schema)
    pairs = [domains[q.view].size(q.clique) for q in questions if len(q.clique) > 1]
    cells = float(np.mean(pairs)) if pairs else 1.0

    def cost(longest: float) -> float:
        kept = float(shown @ np.minimum(middles, longest))
        beside = cells**CELLS_POWER * noise * longest / kept
        return float(CUT_COST * (1 - kept / mass) + NOISE_COST * beside)

    best = min((float(m) for m in middles[shown > 0]), key=cost)
    return Weighing(fineness=FINENESS, length=_whole(best * math.sqrt(squares)))


def _whole(length: float) -> int:
    return min(max(math.ceil(length), 1), MOST_LENGTH)
