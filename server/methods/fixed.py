"""The marginals that a person lists, after every attribute by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.plan import Method, PhaseName
from silosynth.common.schema import Schema
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Shares,
    Sizes,
    asked_size,
    calibrated,
    check_total,
    one_way_size,
)
from silosynth.server.methods.marginals import finish_model, with_last
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

SHARES: Shares = {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.WORKLOAD: Fraction(3, 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The marginals to measure; ``alone`` is the columns' share of rho, a quarter if None."""

    workload: Sequence[Clique] = ()
    alone: Fraction | None = None

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the sizes of both phases; raise InvalidPlan for a marginal that is too large."""
        sizes = one_way_size(schema, terms)
        cells = [schema.domain.size(c) for c in self.workload]
        for clique, count in zip(self.workload, cells, strict=True):
            if count > MAX_CELLS_PER_MARGINAL:
                raise InvalidPlan(
                    f"the marginal over {', '.join(clique)} has {count} cells; "
                    f"at most {MAX_CELLS_PER_MARGINAL} are allowed",
                    hint="give its attributes fewer bins or categories, or leave it out",
                )
        sizes[PhaseName.WORKLOAD] = asked_size(self.workload, terms=terms, cells=sum(cells) or 1)
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget by :data:`SHARES`, or as was chosen."""
        alone = SHARES[PhaseName.ONE_WAY] if self.alone is None else self.alone
        shares = {PhaseName.ONE_WAY: alone, PhaseName.WORKLOAD: 1 - alone}
        return Design(phases=calibrated(self.sizes(schema, terms), shares=shares, terms=terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFlags:
    """What the command line says of the marginals, for this method and for AIM."""

    workload: Annotated[
        str | None, "For fixed, or what aim is for: marginals as 'age,sex;age,income'."
    ] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the marginals."""
        return {"workload": read_workload(self.workload)}


def read_workload(text: str | None) -> tuple[Clique, ...]:
    """Read ``a,b;a,c`` as cliques."""
    if text is None:
        return ()
    cliques = [tuple(a.strip() for a in part.split(",")) for part in text.split(";") if part]
    if not cliques or any(not all(c) for c in cliques):
        raise InvalidArgument(
            f"--workload {text!r} is not a list of marginals",
            hint="write it as 'age,sex;age,income'",
        )
    return tuple(cliques)


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask the marginals of the plan."""
    working = known.rare_merged
    return ask_cliques(known.plan.workload, name=WORKING, grouping=working)


def _finish(known: Known) -> Outcome:
    """Fit the model that they make."""
    return finish_model(with_last(known), grouping=known.rare_merged)


RECIPE = Recipe(name=Method.FIXED, options=Fixed, flags=FixedFlags, ask=_ask, finish=_finish)
