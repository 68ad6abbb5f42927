"""Who holds which columns, in words for those who approve a plan and read what comes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from silosynth.common.domain import Clique
from silosynth.common.plan.plan import Plan

_MOST_PAIRS = 10


Lacks = Mapping[str, Sequence[str]]
"""By silo, the columns that it declares not to hold."""


def unheld_pairs(plan: Plan) -> tuple[Clique, ...]:
    """Return the pairs of columns that no silo holds together."""
    return _pairs_lacked(plan.lacks or {}, silos=plan.silos)


def lack_words(plan: Plan) -> tuple[str, ...]:
    """Say what each silo lacks, which pairs nobody can know, and what of a sum a silo holds.

    Nothing where all hold all.
    """
    parts = {p.name.value: (p.held, p.marginals) for p in plan.phases if p.held is not None}
    return words_of_lacks(plan.lacks or {}, silos=plan.silos, parts=parts)


def held_alone(lacks: Lacks, *, silo: str, silos: Sequence[str]) -> tuple[Clique, ...]:
    """Return the columns that a silo alone holds, and the pairs of others that it alone holds.

    >>> held_alone({"a": ["x"], "b": ["y"]}, silo="c", silos=("a", "b", "c"))
    (('x', 'y'),)
    """
    others = [s for s in silos if s != silo]
    own = set(lacks.get(silo, ()))
    theirs = {s: [c for c in columns if c not in own] for s, columns in lacks.items() if s != silo}
    lackers = lackers_by_column(theirs, silos=others)
    everybody = (1 << len(others)) - 1
    columns = tuple((c,) for c, lacking in lackers.items() if lacking == everybody)
    pairs = _pairs_lacked(theirs, silos=others, besides={c for (c,) in columns})
    return (*columns, *pairs)


def lackers_by_column(lacks: Lacks, *, silos: Sequence[str]) -> dict[str, int]:
    """Return by column, in order, which silos lack it: one bit for each silo."""
    found: dict[str, int] = {}
    for place, silo in enumerate(silos):
        for column in lacks.get(silo, ()):
            found[column] = found.get(column, 0) | 1 << place
    return dict(sorted(found.items()))


def _pairs_lacked(
    lacks: Lacks, *, silos: Sequence[str], besides: Collection[str] = ()
) -> tuple[Clique, ...]:
    """Return the pairs of columns of which each silo lacks one, without those of ``besides``."""
    everybody = (1 << len(silos)) - 1
    lackers = [
        (c, bits) for c, bits in lackers_by_column(lacks, silos=silos).items() if c not in besides
    ]
    pairs = combinations(lackers, 2)
    return tuple((a, b) for (a, first), (b, second) in pairs if first | second == everybody)


def words_of_lacks(
    lacks: Lacks, *, silos: Sequence[str], parts: Mapping[str, tuple[int, int]] | None = None
) -> tuple[str, ...]:
    """Say what :func:`lack_words` says.

    Args: parts: by phase of a secret sum, how many of its marginals one silo holds at most.
    """
    if not lacks:
        return ()
    said = [
        f"Silo {silo} holds no column {', '.join(columns)}: it counts nothing of them."
        for silo, columns in sorted(lacks.items())
    ]
    said.append("The silos hold different people; each person's columns are those of one silo.")
    if parts:
        shares = ", ".join(f"phase {name} at most {h} of {m}" for name, (h, m) in parts.items())
        said.append(
            f"A silo's rows are counted in no marginal of what it lacks, so its persons move of "
            f"{shares}, and so many are paid for."
        )
    if pairs := _pairs_lacked(lacks, silos=silos):
        shown = "; ".join(f"{a} with {b}" for a, b in pairs[:_MOST_PAIRS])
        more = f"; and {len(pairs) - _MOST_PAIRS} pairs more" if len(pairs) > _MOST_PAIRS else ""
        said.append(
            f"No silo holds both columns of these pairs: {shown}{more}. In the synthetic rows they "
            "are independent given the columns that join them, whatever they are in the world."
        )
    return tuple(said)
