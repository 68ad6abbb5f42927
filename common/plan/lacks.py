"""Who holds which columns, in words for those who approve a plan and read what comes of it."""

from __future__ import annotations

from itertools import combinations

from silosynth.common.domain import Clique
from silosynth.common.plan.plan import Plan

_MOST_PAIRS = 10


def unheld_pairs(plan: Plan) -> tuple[Clique, ...]:
    """Return the pairs of columns that no silo holds together."""
    partly = sorted({column for columns in (plan.lacks or {}).values() for column in columns})
    return tuple(p for p in combinations(partly, 2) if not plan.holders(p, silos=plan.silos))


def lack_words(plan: Plan) -> tuple[str, ...]:
    """Say what each silo lacks, and which pairs nobody can know; nothing where all hold all."""
    lacks = plan.lacks or {}
    if not lacks:
        return ()
    said = [
        f"Silo {silo} holds no column {', '.join(columns)}: it counts nothing of them."
        for silo, columns in sorted(lacks.items())
    ]
    said.append("The silos hold different people; each person's columns are those of one silo.")
    if pairs := unheld_pairs(plan):
        shown = "; ".join(f"{a} with {b}" for a, b in pairs[:_MOST_PAIRS])
        more = f"; and {len(pairs) - _MOST_PAIRS} pairs more" if len(pairs) > _MOST_PAIRS else ""
        said.append(
            f"No silo holds both columns of these pairs: {shown}{more}. In the synthetic rows they "
            "are independent given the columns that join them, whatever they are in the world."
        )
    return tuple(said)
