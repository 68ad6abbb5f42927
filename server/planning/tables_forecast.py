"""What a plan of several tables will ask, send and reach, before anything is spent."""

from __future__ import annotations

import math
from functools import partial

from silosynth.common.families import Question, view_domains
from silosynth.common.plan import TABLES_PHASES, Phase, Plan, Views
from silosynth.common.tables import TablesSchema
from silosynth.server.families import ask_families
from silosynth.server.planning.forecast import (
    BYTES_PER_CELL,
    HEADER_BYTES,
    Forecast,
    PhaseForecast,
    noise_distance,
)
from silosynth.server.planning.links import (
    Federated,
    LinkForecast,
    forecast_links,
    view_noises,
    view_rows,
)

_NOBODY = 1
"""A guess that no distance is told of."""


def forecast_tables(
    plan: Plan, schema: TablesSchema, *, persons: int | None = None
) -> tuple[Forecast, tuple[LinkForecast, ...]]:
    """Work out sizes, noise and messages of a plan, and how each link stands to its noise.

    Args: persons: about how many all silos have together: a public guess, never a count. Without
        it, no distance and no link is told.
    """
    size = Federated(silos=len(plan.silos), shares=plan.shares, persons=persons or _NOBODY)
    see = partial(_phase, plan=plan, schema=schema, size=size, told=persons)
    seen = Forecast(
        phases=tuple(map(see, plan.phases)),
        messages=2 * len(plan.silos) * (len(plan.phases) + plan.sharing.steps),
        model_bytes=BYTES_PER_CELL * sum(p.cells for p in plan.phases),
        seconds=None,
    )
    left_out = plan.unlinked or ()
    links = forecast_links(schema, plan.phases, size=size, left_out=left_out) if persons else ()
    return seen, links


def _phase(
    phase: Phase, *, plan: Plan, schema: TablesSchema, size: Federated, told: int | None
) -> PhaseForecast:
    """Work out one phase; where persons are weighed, at the T of one with the usual rows."""
    kind, domains = TABLES_PHASES[phase.name], view_domains(schema)
    questions = _questions(plan, schema)[kind.views]
    sizes = [domains[q.view].size(q.clique) for q in questions]
    noise = math.sqrt(plan.noise(phase).variance(silos=size.silos))
    distance = None
    if not kind.lengths:
        view = questions[0].view
        noise = view_noises(schema, [phase], size=size)[view]
        rows = view_rows(schema, persons=size.persons)[view]
        cells = phase.cells / phase.marginals
        distance = noise_distance(noise, cells=cells, rows=round(rows)) if told else None
    return PhaseForecast(
        name=phase.name,
        marginals=phase.marginals,
        cells=phase.cells,
        largest_cells=phase.cells if kind.lengths else max(sizes),
        rho_share=float(plan.phase_cost(phase).rho / plan.rho),
        noise=float(noise),
        message_bytes=BYTES_PER_CELL * phase.cells + HEADER_BYTES,
        distance=distance,
    )


def _questions(plan: Plan, schema: TablesSchema) -> dict[Views, tuple[Question, ...]]:
    asked = ask_families(schema, left_out=plan.unlinked or ())
    return {
        Views.PERSONS: asked.persons.plain,
        Views.FIRST: asked.first.plain,
        Views.OTHERS: asked.later.weighed,
    }
