"""What a plan of one table or of several will ask, send and reach, before anything is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from silosynth.common.accounting import ORDERS, RHO_UNIT, add_vectors, rdp_vector
from silosynth.common.families import Question, view_domains
from silosynth.common.generator import AMPLITUDE, LENGTH, SQUARE_WEIGHT, Pretrained
from silosynth.common.plan import (
    OF_ALL_ATTRIBUTES,
    OF_PICTURES,
    OF_VALUES,
    TABLES_PHASES,
    Phase,
    PhaseName,
    Plan,
    Views,
)
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.server.families import ask_families
from silosynth.server.methods import METHODS
from silosynth.server.planning.links import (
    Federated,
    LinkForecast,
    forecast_links,
    view_noises,
    view_rows,
)

BYTES_PER_CELL = 8
HEADER_BYTES = 600
_SECONDS_PER_ROW_AND_MARGINAL = 4e-9
_SECONDS_PER_NOISED_CELL = 4e-7
_SECONDS_PER_MESSAGE = 0.03
_SECONDS_PER_GRADIENT = 2e-9
_SECONDS_TO_START = 10.0
"""Measured on two cores; see docs/reference/plan.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseForecast:
    """One phase of a plan.

    ``noise`` is the standard deviation, in rows, of one cell after summing over the silos;
    ``distance`` the expected total variation distance that this noise alone puts between a
    measured marginal and the true one, None when the number of rows is not given, for random
    features, and for histograms of values, which are not taken as they come.
    """

    name: PhaseName
    marginals: int
    cells: int
    largest_cells: int
    rho_share: float
    noise: float
    message_bytes: int
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The whole plan. ``seconds`` is None when the number of rows is not given."""

    phases: tuple[PhaseForecast, ...]
    messages: int
    model_bytes: int
    seconds: float | None


def forecast(plan: Plan, schema: Schema, *, rows: int | None = None) -> Forecast:
    """Work out sizes, noise, messages, time and accuracy of a plan.

    Args: rows: about how many rows all silos have together: a public guess, never a count.
    """
    phases = tuple(_forecast_phase(p, plan=plan, schema=schema, rows=rows) for p in plan.phases)
    return Forecast(
        phases=phases,
        messages=2 * len(plan.silos) * (_asked(plan) + plan.sharing.steps),
        model_bytes=BYTES_PER_CELL * _model_cells(plan, schema),
        seconds=None if rows is None or _is_pretrained(plan) else _seconds(plan, rows=rows),
    )


def _model_cells(plan: Plan, schema: Schema) -> int:
    """Return the most numbers of the model: of a mixture those of its components' codes."""
    recipe = METHODS.get(plan.method)
    components = 0 if recipe is None else recipe.components(plan)
    return components * sum(schema.domain.shape) or max(p.cells for p in plan.phases)


_WHOLE = {
    PhaseName.PROJECTION: SQUARE_WEIGHT * LENGTH**2,
    **dict(zip(OF_PICTURES, (LENGTH, SQUARE_WEIGHT * LENGTH**2), strict=True)),
}
"""The integer that the most a row adds to one number is written as, where it is no cosine."""


def _forecast_phase(phase: Phase, *, plan: Plan, schema: Schema, rows: int | None) -> PhaseForecast:
    """Work out one phase."""
    whole = 1 if phase.bound == 1 else _WHOLE.get(phase.name, AMPLITUDE)
    noise = math.sqrt(plan.noise(phase).variance(silos=len(plan.silos))) / whole
    cells = phase.cells / phase.marginals
    share = _share(phase, plan=plan)
    return PhaseForecast(
        name=phase.name,
        marginals=phase.marginals,
        cells=phase.cells,
        largest_cells=_largest(phase, schema=schema, plan=plan),
        rho_share=float(share),
        noise=noise,
        message_bytes=plan.sum_bits // 8 * phase.cells + HEADER_BYTES,
        distance=None
        if rows is None or phase.bound > 1 or phase.name in OF_VALUES
        else noise_distance(noise, cells=cells, rows=rows),
    )


def _share(phase: Phase, *, plan: Plan) -> float:
    """Return a phase's part of the budget, by zCDP or at the Rényi order that suits all of it."""
    if plan.training is None:
        return float(plan.phase_cost(phase).rho / plan.rho)
    vectors = [rdp_vector(plan.phase_cost(p)) for p in plan.phases]
    total = add_vectors(vectors)
    logs = -math.log(plan.privacy.delta)
    best = min(range(len(ORDERS)), key=lambda i: total[i] / RHO_UNIT + logs / (ORDERS[i] - 1))
    return vectors[plan.phases.index(phase)][best] / total[best]


def _asked(plan: Plan) -> int:
    """Return how many requests a silo gets: one a phase, and one a round of training."""
    return sum(plan.requests(phase) // plan.attempts for phase in plan.phases)


def _largest(phase: Phase, *, schema: Schema, plan: Plan) -> int:
    """Return the most cells that one marginal of the phase can have."""
    sizes = sorted(schema.domain.shape, reverse=True)
    if phase.name is PhaseName.VALUES and plan.values:
        return max(tree.leaves.cells for tree in plan.values.values())
    if phase.name is PhaseName.CLOSER:
        return phase.cells
    if phase.name is PhaseName.ONE_WAY:
        return min(sizes[0], phase.cells)
    if phase.name in (*OF_ALL_ATTRIBUTES, PhaseName.TRAINING):
        return phase.cells
    if phase.name is PhaseName.WORKLOAD:
        return max(schema.domain.size(c) for c in plan.workload)
    return min(sizes[0] * sizes[1], phase.cells)


def noise_distance(noise: float, *, cells: float, rows: int) -> float:
    """Return the mean of half the L1 norm of Gaussian noise over the rows, at most 1."""
    return min(1.0, 0.5 * cells * noise * math.sqrt(2 / math.pi) / max(rows, 1))


def _is_pretrained(plan: Plan) -> bool:
    """Say whether a plan's time is that of a checkpoint, which its number of weights hides."""
    return plan.training is not None and isinstance(plan.training.architecture, Pretrained)


def _seconds(plan: Plan, *, rows: int) -> float:
    """Return about how long a simulation takes on two cores."""
    silos = len(plan.silos)
    if plan.training is not None:
        cells, steps = plan.phases[-1].cells, plan.training.steps
        learnt = float(plan.phases[-1].rate or 1) * rows * steps * cells
        noised = silos * steps * cells
        return (
            _SECONDS_TO_START + learnt * _SECONDS_PER_GRADIENT + noised * _SECONDS_PER_NOISED_CELL
        )
    marginals = sum(p.marginals for p in plan.phases)
    cells = sum(p.cells for p in plan.phases)
    work = rows * marginals * _SECONDS_PER_ROW_AND_MARGINAL
    noise = silos * cells * _SECONDS_PER_NOISED_CELL
    messages = silos * (len(plan.phases) + plan.sharing.steps) * _SECONDS_PER_MESSAGE
    return _SECONDS_TO_START + work + noise + messages


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
