"""Pairs of yes and no, and a Gaussian copula: for very wide tables of answers or of ordered codes.

Every attribute is cut in two where its noised 1-way is nearest to a half, so that a pair has four
cells whatever its codes; those come back from the 1-ways. What a single cut does not tell, such as
which of many unordered codes go together, is lost: such tables want the method mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silosynth.common.domain import Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Method, PhaseName
from silosynth.common.schema import Schema
from silosynth.server.methods.budget import (
    Sizes,
    asked_size,
    calibrated,
    check_total,
    one_way_size,
)
from silosynth.server.methods.marginals import (
    COARSE,
    all_pairs,
    check_wide,
    finish_mixture,
    gather,
    shares_of,
)
from silosynth.server.methods.method import (
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
    ask_cliques,
)
from silosynth.server.mixture import COPULA_COMPONENTS, fit_copula
from silosynth.server.values import project

_CELLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Copula:
    """There is nothing to choose."""

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the most that each phase asks of one silo.

        Raises InvalidPlan for a schema without a pair, with too many of them, or with zeros.
        """
        sizes = one_way_size(schema, terms)
        check_wide(schema, method=Method.COPULA)
        pairs = all_pairs(schema.domain)
        sizes[PhaseName.COARSE] = asked_size(pairs, terms=terms, cells=_CELLS * len(pairs))
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget as :func:`shares_of` says."""
        return Design(
            phases=calibrated(
                self.sizes(schema, terms), shares=shares_of(schema, terms), terms=terms
            )
        )


def _halves(known: Known) -> Grouping:
    """Return the cut of every attribute, nearest to the middle of its noised 1-way."""
    cut = {m.clique[0]: halve(m) for m in known.merged_by}
    return Grouping(groups={name: groups for name, groups in cut.items() if len(groups) > _WHOLE})


_WHOLE = 2
"""Attributes of so many codes are as they are."""


def halve(one_way: Measurement) -> tuple[int, ...]:
    """Return 0 for the codes below the cut and 1 for those above; what is missing lies above."""
    counts = _projected(one_way.values)
    rising = counts.cumsum()[:-1]
    place = int(np.argmin(np.abs(rising - counts.sum() / 2))) if len(rising) else 0
    return tuple(int(code > place) for code in range(len(counts)))


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask all pairs of halves."""
    return ask_cliques(all_pairs(known.schema.domain), name=COARSE, grouping=_halves(known))


def _finish(known: Known) -> Outcome:
    """Fit a copula, and give each attribute its codes back."""
    grouping, halves = known.rare_merged, _halves(known)
    domain = known.schema.domain
    pairs = gather(known, known.one_way, grouping=halves, over=halves.domain(domain))
    known_halves = np.split(pairs.shares, pairs.starts[1:])
    one_way = {m.clique[0]: m for m in known.one_way}
    shares = tuple(
        _shares(
            one_way[name].values,
            halves=np.asarray(halves.lookup(name, size)),
            of_halves=of_halves,
            groups=np.asarray(grouping.lookup(name, size)),
        )
        for name, size, of_halves in zip(domain.attributes, domain.shape, known_halves, strict=True)
    )
    return finish_mixture(known, fit_copula(pairs, shares), grouping=grouping, total=pairs.total)


def _shares(
    counts: np.ndarray, *, halves: np.ndarray, of_halves: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return the shares of working codes by a noised 1-way, with halves as all pairs say."""
    counts = _projected(counts)
    whole = np.bincount(halves, weights=counts)[halves]
    alike = np.bincount(halves)[halves]
    inside = np.where(whole > 0, counts / np.where(whole > 0, whole, 1.0), 1.0 / alike)
    shares: np.ndarray = np.bincount(groups, weights=inside * of_halves[halves])
    return shares


def _projected(counts: np.ndarray) -> np.ndarray:
    """Return the nearest counts that are not negative and add up to as many, at least one."""
    total = np.array([max(float(counts.sum()), 1.0)])
    there = np.ones((1, counts.size), dtype=bool)
    nearest: np.ndarray = project(counts[None, :], there=there, total=total)[0]
    return nearest


RECIPE = Recipe(
    name=Method.COPULA,
    options=Copula,
    ask=_ask,
    finish=_finish,
    replicates=False,
    components=lambda _: COPULA_COMPONENTS,
)
