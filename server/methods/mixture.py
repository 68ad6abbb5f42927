"""All pairs at once, and a mixture of products that is fitted to them: for wide tables.

One round trip after the 1-ways, whatever comes of it: which model is fitted, and how far it is
smoothed, is chosen from the released pairs themselves, see :mod:`silosynth.server.mixture.pairs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.plan import Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import coarse_grouping, working_grouping
from silosynth.server.methods.budget import (
    Sizes,
    asked_size,
    calibrated,
    check_total,
    one_way_size,
)
from silosynth.server.methods.marginals import (
    all_pairs,
    check_wide,
    finish_mixture,
    gather,
    shares_of,
)
from silosynth.server.methods.method import (
    WORKING,
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
    ask_cliques,
)
from silosynth.server.methods.mixed import finish_trees, most_cells, rising
from silosynth.server.mixture import (
    COPULA_COMPONENTS,
    Candidate,
    Levels,
    NoisedPairs,
    Products,
    Settings,
    Trees,
    choose,
    denoise,
    fit_copula,
    fit_trees,
)

MOST_CODES = 1200
"""Of all attributes together, so that a fit takes seconds; attributes merge to as few groups."""
GROUPS = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3)
"""What an attribute may be merged to."""
FEWEST_GROUPS = 2

STEPS = 1000
SMOOTHING = 2.0
"""In standard deviations of a cell's noise, by the distance from the 1-ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """There is nothing to choose."""

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the most that each phase asks of one silo.

        Raises InvalidPlan for a schema without a pair, with too many of them, or with zeros.
        """
        sizes, domain = one_way_size(schema, terms), schema.domain
        check_wide(schema, method=Method.MIXTURE)
        groups = [min(size, most_groups(domain)) for size in domain.shape]
        sizes[PhaseName.COARSE] = asked_size(
            all_pairs(domain), terms=terms, cells=sum(a * b for a, b in combinations(groups, 2))
        )
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget as :func:`shares_of` says."""
        return Design(
            phases=calibrated(
                self.sizes(schema, terms), shares=shares_of(schema, terms), terms=terms
            )
        )


def most_groups(domain: Domain) -> int:
    """Return into how many groups an attribute may be merged at most, so that a fit stays small."""
    fits = (g for g in GROUPS if sum(min(size, g) for size in domain.shape) <= MOST_CODES)
    return next(fits, FEWEST_GROUPS)


def _grouping(known: Known) -> Grouping:
    """Return the merge of fine codes into the codes of pairs and model: rare ones, and the many."""
    schema, one_way, most = known.schema, known.merged_by, most_groups(known.schema.domain)
    working = working_grouping(schema, one_way, listed=True)
    return coarse_grouping(schema, one_way, working=working, count=most, listed=True)


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask all pairs over the codes of the model."""
    return ask_cliques(all_pairs(known.schema.domain), name=WORKING, grouping=_grouping(known))


def _finish(known: Known) -> Outcome:
    """Fit the candidate that is nearest to what it has not seen."""
    grouping = _grouping(known)
    over = grouping.domain(known.schema.domain)
    pairs = gather(known, known.one_way, grouping=grouping, over=over)
    fitted = choose(pairs, candidates(known.plan, order=rising(known.schema))).fit(pairs)
    if isinstance(fitted, Products):
        return finish_mixture(known, fitted, grouping=grouping, total=pairs.total)
    return finish_trees(known, fitted, grouping=grouping, total=pairs.total)


def candidates(plan: Plan, *, order: Sequence[bool]) -> tuple[Candidate, ...]:
    """Return all models that are compared: no dependence, a copula, and a mixture of forests."""

    def mixture(pairs: NoisedPairs) -> Trees:
        levels = Levels.of_pairs(pairs, denoise(pairs), rising=order)
        settings = Settings.of_codes(len(pairs.shares), steps=STEPS, smoothing=SMOOTHING)
        cells = most_cells(plan, components=settings.components)
        return fit_trees(levels, settings=settings, most_cells=cells)

    return (
        Candidate(name="independent", fit=_independent),
        Candidate(name="copula", fit=_copula),
        Candidate(name="mixture", fit=mixture),
    )


def _independent(pairs: NoisedPairs) -> Products:
    return Products(weights=np.ones(1), codes=pairs.shares[None, :])


def _copula(pairs: NoisedPairs) -> Products:
    return fit_copula(pairs, tuple(np.split(pairs.shares, pairs.starts[1:])))


RECIPE = Recipe(
    name=Method.MIXTURE,
    options=Mixture,
    ask=_ask,
    finish=_finish,
    components=lambda _: COPULA_COMPONENTS,
)
