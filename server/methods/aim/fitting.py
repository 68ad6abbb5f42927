"""What AIM fits: to choose what is asked next, and when a run is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Plan
from silosynth.common.schema import ImpossibleCells, Schema
from silosynth.server.measuring import (
    Measured,
    held_inside,
    merged_zeros,
    part_coarse,
    trust_empty,
)
from silosynth.server.methods.aim.choosing import (
    EDITIONS,
    Room,
    beside,
    choose_cliques,
    score_by_workload,
)
from silosynth.server.methods.mixed import most_cells
from silosynth.server.mixture import Levels, Settings, Trees, fit_trees
from silosynth.server.model import Device, GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit

ROUND_ITERATIONS, STEP_ITERATIONS = 150, 60
"""Of a model that pairs are chosen by: with what was measured before, and with what was chosen."""
ONE_WAY_VARIANCE = 0.1
"""Of what was measured, in the last fit; see docs/decisions/043."""
AIM_ITERATIONS = 300
"""Of the last fit: on models of many cells, further ones follow the noise and take a minute."""

MIXED_STEPS = 1000
SMOOTHING = 4.0
"""Of a mixture; in standard deviations of a cell's noise, by the distance from the 1-ways."""


def fit_run(
    plan: Plan, schema: Schema, measured: Measured, *, grouping: Grouping
) -> tuple[GraphicalModel, tuple[Measurement, ...]]:
    """Fit the model of a finished run, and return it with what it was fitted to.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    domain, zeros = grouping.domain(schema.domain), merged_zeros(schema, grouping=grouping)
    edition = EDITIONS[plan.edition]
    fitted, outside = part_coarse(measured, domain=schema.domain, grouping=grouping, zeros=zeros)
    if outside:
        fitted += joining_pairs(plan, fitted, outside=outside, domain=domain, zeros=zeros)
    model = fit(
        _trusted(fitted, domain=domain, times=edition.empty_precision),
        domain=domain,
        iterations=AIM_ITERATIONS,
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
    )
    return model, fitted


def is_mixed(plan: Plan, schema: Schema) -> bool:
    """Say whether a run's last fit is a mixture of forests.

    It knows every coarse pair, where a junction tree has room for a few. But what is impossible for
    certain a tree keeps out wholly, and few marginals that somebody named it has as they are.
    """
    return EDITIONS[plan.edition].mixed and not plan.workload and not schema.impossible()


def fit_mixed(plan: Plan, levels: Levels) -> Trees:
    """Fit the mixture of forests of a finished run."""
    settings = Settings.of_codes(len(levels.shares), steps=MIXED_STEPS, smoothing=SMOOTHING)
    return fit_trees(
        levels,
        settings=settings,
        most_cells=most_cells(plan, components=settings.components),
    )


def _trusted(
    fitted: Sequence[Measurement], *, domain: Domain, times: float
) -> tuple[Measurement, ...]:
    """Let the last fit keep nearer to the 1-ways, which many noised pairs pull away from.

    And to empty cells, whose noise would be rows otherwise. Args: times: how many times nearer.
    """
    one_way = [m for m in fitted if len(m.clique) == 1]
    pairs = [m for m in fitted if len(m.clique) > 1]
    surer = trust_empty(pairs, one_way, domain=domain, times=times) if times > 1 else pairs
    closer = (replace(m, variance=m.variance * ONE_WAY_VARIANCE) for m in one_way)
    found = dict(zip(map(id, (*one_way, *pairs)), (*closer, *surer), strict=True))
    return tuple(found[id(m)] for m in fitted)


def joining_pairs(
    plan: Plan,
    fitted: Sequence[Measurement],
    *,
    outside: Sequence[Measurement],
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
) -> tuple[Measurement, ...]:
    """Return the pairs of ``outside`` that join a run's last fit: coarse ones that no round asked.

    The model takes those that it is furthest from while it stays within the plan's limit, and then
    all that lie inside one of its cliques. They are measured already, so this costs no privacy.
    """
    model = fit_to_choose(plan, fitted, domain=domain, zeros=zeros)
    present = [*(m.clique for m in fitted), *(z.clique for z in zeros)]
    chosen = choose_cliques(
        score_by_workload(model, outside, plan=plan),
        present=present,
        domain=domain,
        count=len(outside),
        limit_bytes=[plan.max_model_mb * 2**20] * len(outside),
    )
    return held_inside(outside, present=[*present, *chosen], domain=domain)


def choose_in_steps(
    plan: Plan,
    known: Sequence[Measurement],
    *,
    coarse: Sequence[Measurement],
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
    limit_bytes: Sequence[int],
    room: Room,
    mixed: bool,
) -> tuple[Clique, ...]:
    """Return the pairs that a round asks: in steps, each by a model that knows those before it.

    What is chosen is known coarsely already, so a model can be fitted to it before a round measures
    it. A pair that follows from others is then not asked beside them: it costs a round's noise and
    the model's room, and says little. Where the last fit is no tree, pairs that a tree has no room
    for are asked as well, those that this model is furthest from first.

    Args:
        known: what was measured, but for coarse pairs. coarse: those, over the same codes.
        limit_bytes: (count,) of :func:`choose_cliques`, as many as may be chosen.
        mixed: whether the last fit is a mixture, which has room for all pairs.
    """
    steps, count = EDITIONS[plan.edition].steps, len(limit_bytes)
    asked = {m.clique for m in known}
    if mixed:
        known = _with_room(known, domain=domain, limit_bytes=limit_bytes[-1])
    present = [*(m.clique for m in known), *(z.clique for z in zeros)]
    coarse = [m for m in coarse if m.clique in present or m.clique not in asked]
    chosen: tuple[Clique, ...] = ()

    def more(wanted: int, limits: Sequence[int] | None) -> tuple[Clique, ...]:
        held = held_inside(coarse, present=[*present, *chosen], domain=domain)
        iterations = STEP_ITERATIONS if chosen else ROUND_ITERATIONS
        model = fit_to_choose(
            plan, [*known, *held], domain=domain, zeros=zeros, iterations=iterations
        )
        return choose_cliques(
            score_by_workload(model, coarse, plan=plan),
            present=[*present, *chosen],
            domain=domain,
            count=wanted,
            limit_bytes=limits,
            room=partial(beside, chosen, room),
        )

    for step in range(steps):
        upto = -(-count * (step + 1) // steps)
        if upto == len(chosen):
            continue
        if not (new := more(upto - len(chosen), limit_bytes[len(chosen) : upto])):
            break
        chosen += new
    if mixed and len(chosen) < count:
        chosen += more(count - len(chosen), None)
    return chosen


def _with_room(
    known: Sequence[Measurement], *, domain: Domain, limit_bytes: int
) -> list[Measurement]:
    """Return what a junction tree of so many bytes has room for, each as it comes."""
    held: list[Measurement] = []
    for m in known:
        cliques = [*(h.clique for h in held), m.clique]
        if build_junction_tree(cliques, domain=domain).bytes <= limit_bytes:
            held.append(m)
    return held


def fit_to_choose(
    plan: Plan,
    fitted: Sequence[Measurement],
    *,
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
    iterations: int = ROUND_ITERATIONS,
) -> GraphicalModel:
    """Fit a model that pairs are scored against."""
    return fit(
        fitted,
        domain=domain,
        iterations=iterations,
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
        # A replay must choose the same again, and sums on a GPU differ from run to run.
        device=Device.CPU,
    )
