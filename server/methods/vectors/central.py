"""Central images first, then what lies around them: pictures without public data.

The middle of each class costs little and halves what pictures are away from; the rest of the
budget asks how they differ from it. Source: DP-FETA (Gong, Zhao, Li, Chen and Wang 2025) for
central images first; a normal law a class stands in place of its network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.generator import (
    CentralMap,
    CentralSettings,
    CentralStep,
    central_map,
    central_settings,
)
from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import estimate_rows
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Shares,
    Size,
    Sizes,
    calibrated,
    check_fitted,
    check_total,
)
from silosynth.server.methods.marginals import check_zeros, finish_mixture
from silosynth.server.methods.method import Design, Known, Outcome, Question, Recipe, Terms
from silosynth.server.mixture import (
    CENTRAL_COMPONENTS,
    fit_central,
    fit_laws,
    next_step,
    read_centres,
)
from silosynth.server.values import nearest_counts, nearest_shares

MOST_BLOCKS = 256
"""Pixels are looked at together where there are more: noise grows with the root of them."""

SHARES: Shares = {
    PhaseName.ONE_WAY: Fraction(1, 20),
    PhaseName.CENTRAL: Fraction(1, 5),
    PhaseName.AROUND: Fraction(3, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Central:
    """There is nothing to choose."""

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Look at as small blocks as there may be, and split the budget by :data:`SHARES`."""
        check_zeros(schema, method=Method.CENTRAL)
        settings = _settings(schema)
        return Design(
            phases=calibrated(_sizes(schema, settings), shares=SHARES, terms=terms),
            says={"central": settings},
            counts=False,
        )


def _settings(schema: Schema) -> CentralSettings:
    """Return the smallest blocks that are not too many."""
    settings = central_settings(schema, side=1)
    while settings.blocks > MOST_BLOCKS and settings.side < 64:
        settings = central_settings(schema, side=settings.side + 1)
    return settings


def _sizes(schema: Schema, settings: CentralSettings) -> Sizes:
    """Return the sizes of all phases; raise InvalidPlan for a vector that is too large."""
    beside = [a.size for a in schema.coded if a.name not in _pixels(schema)]
    classes = settings.classes(schema.domain)
    around = classes * settings.around
    if max(around, classes * settings.pixels) > MAX_CELLS_PER_MARGINAL:
        raise InvalidPlan(
            f"the images make {around} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
            hint="merge classes of the label, or use the method one-shot",
        )
    check_fitted(schema, classes=classes)
    bounds = settings.bounds
    return check_total(
        {
            PhaseName.ONE_WAY: Size(marginals=len(beside), cells=sum(beside)),
            PhaseName.CENTRAL: Size(
                marginals=1, cells=classes * settings.pixels, bound=bounds["central"]
            ),
            PhaseName.AROUND: Size(marginals=1, cells=around, bound=bounds["around"]),
        }
    )


def _pixels(schema: Schema) -> set[str]:
    """Return the names of all pixels."""
    return {name for image in schema.images for name in image.attributes}


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask the sum of all pictures, then how they differ from what came of it."""
    query = MarginalQuery(clique=known.schema.domain.attributes)
    if phase is PhaseName.CENTRAL:
        return Question(queries=(query,))
    return Question(queries=(query,), central=_step(known, _map(known)))


def _finish(known: Known) -> Outcome:
    """Fit a normal law around each central image, and hand out the mixture of their points."""
    central = _map(known)
    released = known.measured[PhaseName.AROUND][0]
    laws = fit_laws(
        released.values,
        deviation=float(released.variance.max()) ** 0.5,
        counts=_counts(known, central),
        central=central,
        step=_step(known, central),
    )
    known_pixels = _pixels(known.schema)
    others = [
        nearest_shares(m.values)
        for m in known.one_way
        if m.clique[0] not in known_pixels and m.clique[0] != known.schema.label
    ]
    fitted = fit_central(laws, others, central=central)
    total = estimate_rows(known.one_way)
    return finish_mixture(known, fitted, grouping=Grouping(), total=total)


def _map(known: Known) -> CentralMap:
    """Return what the silos were asked to look at."""
    if known.plan.central is None:
        raise RunFailed(f"plan {known.plan.id} has no central images")
    return central_map(known.plan.central, schema=known.schema)


def _step(known: Known, central: CentralMap) -> CentralStep:
    """Return around what the silos look, by the pictures that they summed."""
    counts = _counts(known, central)
    means = read_centres(
        known.measured[PhaseName.CENTRAL][0].values, counts=counts, central=central
    )
    return next_step(means, counts=counts, central=central)


def _counts(known: Known, central: CentralMap) -> np.ndarray:
    """Return (classes,) the noised rows of each class."""
    if central.label is None:
        return np.array([estimate_rows(known.one_way)])
    label = central.domain.attributes[central.label]
    counted = next(m for m in known.one_way if m.clique == (label,))
    return nearest_counts(counted.values)


def _describe(plan: Plan) -> Iterator[str]:
    """Say how pictures are looked at."""
    central = plan.central
    if central is not None:
        by_class = "" if central.label is None else f", for each class of {central.label!r}"
        yield (
            f"{central.pixels} pixels are summed{by_class}, and then how rows differ from that, in "
            f"{central.blocks} blocks"
        )


RECIPE = Recipe(
    name=Method.CENTRAL,
    options=Central,
    ask=_ask,
    finish=_finish,
    describe=_describe,
    replicates=False,
    components=lambda _: CENTRAL_COMPONENTS,
)
