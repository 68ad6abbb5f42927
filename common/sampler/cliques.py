"""What a sampler's model says of its cliques, and of codes inside their working codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidSampler
from silosynth.common.sampler.condition import unfold
from silosynth.common.sampler.conditional import COMPONENT, WHOLE
from silosynth.common.sampler.mixture import TableSampler
from silosynth.common.sampler.sampler import DrawsRows, Sampler


def is_joined(sampler: DrawsRows, clique: Clique) -> bool:
    """Say whether a sampler's model holds columns together, and not through others alone.

    A tree does where one of its cliques has them all, a mixture, of tables or of trees, is fitted
    to all pairs.
    """
    if len(clique) == 1 or isinstance(sampler, TableSampler):
        return True
    if not isinstance(sampler, Sampler):
        return False
    if sampler.components:
        return True
    return any({c.attribute, *c.given}.issuperset(clique) for c in sampler.conditionals)


def clique_shares(sampler: Sampler) -> Iterator[tuple[Clique, np.ndarray]]:
    """Yield each clique of the model with the share of each cell, an axis a column.

    Over working codes, in draw order. What a column is drawn given lies in one clique before it.
    Of a mixture, cliques are without its component.
    """
    working = sampler.working
    known: list[tuple[Clique, np.ndarray]] = []
    for conditional in sampler.conditionals:
        table = np.diff(conditional.ends.astype(np.int64), prepend=0, axis=1) / WHOLE
        clique = (*conditional.given, conditional.attribute)
        if conditional.given:
            table = table * _of(conditional.given, known).reshape(-1, 1)
        found = clique, table.reshape(working.sizes(clique))
        known.append(found)
        if clique != (COMPONENT,):
            yield _shown(*found)


def _shown(clique: Clique, table: np.ndarray) -> tuple[Clique, np.ndarray]:
    """Return a clique and its shares without a mixture's component."""
    if COMPONENT not in clique:
        return clique, table
    shown = tuple(name for name in clique if name != COMPONENT)
    return shown, table.sum(axis=clique.index(COMPONENT))


def code_shares(sampler: Sampler, name: str) -> np.ndarray:
    """Return (codes,) float64, the share of each fine code of a column inside its working code."""
    groups = sampler.grouping.groups.get(name)
    if groups is None:
        return np.ones(sampler.domain.size((name,)))
    inside, order = unfold(sampler.within[name], groups=np.asarray(groups))
    shares = np.empty(len(groups))
    shares[order] = inside
    return shares


def _of(given: Clique, known: list[tuple[Clique, np.ndarray]]) -> np.ndarray:
    """Return the shares of columns that were drawn, an axis a column in the order of ``given``."""
    for clique, table in reversed(known):
        if set(given) <= set(clique):
            axes = tuple(i for i, name in enumerate(clique) if name not in given)
            left = [name for name in clique if name in given]
            return np.asarray(table.sum(axis=axes).transpose([left.index(g) for g in given]))
    raise InvalidSampler(
        f"attribute {given[0]!r} is not in the tree where it should be",
        hint="this file was not made by silosynth",
    )
