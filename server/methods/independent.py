"""Every attribute by itself: nothing is known of how attributes depend on one another."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from silosynth.common.plan import Method, PhaseName
from silosynth.common.schema import Schema
from silosynth.server.methods.budget import Shares, Sizes, calibrated, check_total, one_way_size
from silosynth.server.methods.marginals import finish_model, with_last
from silosynth.server.methods.method import (
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
)

SHARES: Shares = {PhaseName.ONE_WAY: Fraction(1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Independent:
    """There is nothing to choose."""

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the size of the one phase."""
        return check_total(one_way_size(schema, terms))

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Spend all of the budget on it."""
        return Design(phases=calibrated(self.sizes(schema, terms), shares=SHARES, terms=terms))


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask nothing more."""
    return Question()


def _finish(known: Known) -> Outcome:
    """Fit a model without pairs."""
    return finish_model(with_last(known), grouping=known.rare_merged)


RECIPE = Recipe(name=Method.INDEPENDENT, options=Independent, ask=_ask, finish=_finish)
