"""All attacks on one table, from the one that knows most to those that see the table alone.

They find little on tables made under differential privacy; that is no proof of anything. The
proof is the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from silosynth.common.attacks.disclosure import disclosures
from silosynth.common.attacks.membership import (
    Scores,
    by_density,
    by_pairs,
    by_releases,
    by_sampler,
    curve,
    membership,
    verbatim,
)
from silosynth.common.attacks.people import Arena, Known, make_arena
from silosynth.common.report import Curve, Measure
from silosynth.common.scores import Values

_WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """What the attacks found; ``worst`` are places of real rows, most exposed first.

    ``exhibits`` are distances, which prove nothing either way.
    """

    measures: tuple[Measure, ...]
    exhibits: tuple[Measure, ...]
    curves: tuple[Curve, ...]
    worst: tuple[int, ...]


def attack(
    values: Sequence[Values],
    tables: Sequence[pa.Table],
    *,
    known: Known | None = None,
    secrets: Sequence[str] = (),
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
) -> Attacked:
    """Attack with half of the control as what the attacker knows, and half as non-members.

    Args:
        values: real, synthetic and control rows.
        tables: the same three as they were given.
        known: what an attacker holds beside the table.
        secrets: columns that are inferred.
        tell: told one line before each step.
    """
    arena = make_arena(values, tables, seed=seed)
    tell("attacking: who was in it, by the table" + (", sampler and releases" if known else ""))
    scores = _scores(arena, known=known, seed=seed)
    tell("attacking: what somebody is, whose records belong together, who is unique")
    risks, exhibits = disclosures(arena, secrets=secrets, seed=seed)
    sharpest = scores[0].members
    worst = np.argsort(-sharpest, kind="stable")[:_WORST]
    return Attacked(
        measures=(
            *(m for s in scores for m in membership(s)),
            verbatim(arena),
            *risks,
        ),
        exhibits=tuple(exhibits),
        curves=tuple(curve(s) for s in scores if len(s.others)),
        worst=tuple(int(arena.places[i]) for i in worst),
    )


def _scores(arena: Arena, *, known: Known | None, seed: int) -> list[Scores]:
    """Return every attacker's scores, those who know most first."""
    scores: list[Scores] = []
    if known is not None and known.releases:
        scores += by_releases(arena, known.releases, known.schema)
    if known is not None and known.sampler is not None:
        scores.append(by_sampler(arena, known.sampler))
    return [*scores, by_pairs(arena), by_density(arena, seed=seed)]
