"""Public projections of whole rows, and a normal law a class: for few rows of many numbers.

One sum says of every class where its rows lie and how their columns go together, whatever the
columns are, where a marginal of each pair would be lost in noise. What is no normal law is lost,
such as which of many unordered codes go together: such tables want the method mixture.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from pydantic import ValidationError

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.generator import (
    MOST_COLUMNS,
    ProjectionMap,
    ProjectionSettings,
    check_width,
    projection_map,
)
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.plan import Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import regroup
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Shares,
    Size,
    Sizes,
    calibrated,
    check_fitted,
    check_total,
    one_way_size,
)
from silosynth.server.methods.marginals import check_zeros, finish_mixture
from silosynth.server.methods.method import (
    WORKING,
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
)
from silosynth.server.mixture import (
    PROJECTED_COMPONENTS,
    fit_projected,
    normal_scores,
    read_moments,
)
from silosynth.server.values import nearest_counts, nearest_shares

DIMENSIONS = 128
"""As many where the table is wider: a narrower one is taken as it is, each column by itself."""

SHARES: Shares = {PhaseName.ONE_WAY: Fraction(1, 2), PhaseName.PROJECTION: Fraction(1, 2)}
"""Even: of few rows the 1-ways of many columns are what is known least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Onto how many dimensions; as many as there are columns, up to :data:`DIMENSIONS`, if None."""

    dimensions: int | None = None

    def sizes(self, schema: Schema, projection: ProjectionSettings) -> Sizes:
        """Return the sizes of both phases; raise InvalidPlan for a vector that is too large."""
        sizes = one_way_size(schema)
        label = projection.label
        classes = 1 if label is None else schema.domain.size((label,))
        cells = classes * projection.cells
        if cells > MAX_CELLS_PER_MARGINAL:
            raise InvalidPlan(
                f"the projections make {cells} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
                hint="give fewer --dimensions, or merge classes of the label",
            )
        check_fitted(schema, classes=classes)
        sizes[PhaseName.PROJECTION] = Size(marginals=1, cells=cells, bound=projection.bound)
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Choose the projection, and split the budget by :data:`SHARES`."""
        projection = _settings(schema, dimensions=self.dimensions)
        sizes = self.sizes(schema, projection)
        return Design(
            phases=calibrated(sizes, shares=SHARES, terms=terms),
            says={"projection": projection},
            counts=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionFlags:
    """What the command line says of the projection."""

    dimensions: Annotated[
        int | None,
        "For projection: onto how many dimensions; as many as there are columns, 128 at most.",
    ] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the choice that was made."""
        return {"dimensions": self.dimensions}


def _settings(schema: Schema, *, dimensions: int | None) -> ProjectionSettings:
    """Return the projection of a plan, with a public seed of its own."""
    check_zeros(schema, method=Method.PROJECTION)
    domain = schema.domain
    label = schema.label if schema.label in domain.attributes else None
    width = len(domain.attributes) - (label is not None)
    if width < 1:
        raise InvalidPlan("the method projection needs an attribute beside the label")
    wanted = min(width, DIMENSIONS) if dimensions is None else dimensions
    try:
        settings = ProjectionSettings(dimensions=wanted, seed=secrets.randbelow(2**31), label=label)
    except ValidationError as err:
        raise InvalidPlan(
            f"{wanted} dimensions are out of range", hint=f"use 1 to {MOST_COLUMNS} dimensions"
        ) from err
    check_width(settings, domain=domain)
    return settings


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask the sum of the projections of all attributes, with what each code stands for."""
    working = known.rare_merged
    query = MarginalQuery(clique=known.schema.domain.attributes, level=WORKING)
    return Question(queries=(query,), levels={WORKING: working}, scores=_scores(known, working))


def _finish(known: Known) -> Outcome:
    """Fit a normal law to each class, and give each attribute its codes back."""
    grouping = known.rare_merged
    counts = _working(known, known.one_way, grouping)
    over = grouping.domain(known.schema.domain)
    projection = _map(known, grouping)
    label = projection.label
    totals = float(np.mean([m.sum() for m in counts.values()]))
    classes = np.array([totals]) if label is None else counts[over.attributes[label]]
    released = known.measured[PhaseName.PROJECTION][0]
    moments = read_moments(
        released.values,
        deviation=float(released.variance.max()) ** 0.5,
        counts=nearest_counts(classes),
        projection=projection,
    )
    alone = tuple(nearest_shares(counts[over.attributes[i]]) for i in projection.inputs)
    fitted = fit_projected(moments, alone, label=label)
    return finish_mixture(known, fitted, grouping=grouping, total=totals)


def _map(known: Known, grouping: Grouping) -> ProjectionMap:
    """Return the projection that the silos were asked for."""
    settings, domain = known.plan.projection, grouping.domain(known.schema.domain)
    if settings is None:
        raise RunFailed(f"plan {known.plan.id} has no projection")
    return projection_map(settings, domain=domain, scores=_scores(known, grouping))


def _scores(known: Known, grouping: Grouping) -> dict[str, tuple[int, ...]]:
    """Return what each working code stands for, by the 1-ways that codes are merged by."""
    counts = _working(known, known.merged_by, grouping)
    label = None if known.plan.projection is None else known.plan.projection.label
    return {name: normal_scores(nearest_shares(c)) for name, c in counts.items() if name != label}


def _working(
    known: Known, one_way: Sequence[Measurement], grouping: Grouping
) -> dict[str, np.ndarray]:
    """Return (working codes,) the noised counts of each attribute."""
    domain: Domain = known.schema.domain
    return {m.clique[0]: regroup(m, domain=domain, grouping=grouping).values for m in one_way}


def _describe(plan: Plan) -> Iterator[str]:
    """Say what is projected."""
    if plan.projection is not None:
        label = plan.projection.label
        by_class = "" if label is None else f", for each class of {label!r} by itself"
        yield f"rows are projected onto {plan.projection.dimensions} dimensions{by_class}"


RECIPE = Recipe(
    name=Method.PROJECTION,
    options=Projection,
    flags=ProjectionFlags,
    ask=_ask,
    finish=_finish,
    describe=_describe,
    replicates=False,
    components=lambda _: PROJECTED_COMPONENTS,
)
