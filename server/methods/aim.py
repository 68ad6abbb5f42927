"""AIM in a federation: choose, measure and fit, in a few rounds of many cliques.

See :mod:`silosynth.server.methods.choosing` for what differs from the published mechanism.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import Annotated, Any

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.messages import FINE
from silosynth.common.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema import ImpossibleCells, Schema
from silosynth.server.measuring import (
    Measured,
    coarse_grouping,
    finer_codes,
    fitting_measurements,
    held_inside,
    keep_zeros_apart,
    merged_zeros,
    part_coarse,
    parted_by,
    phase_deviation,
    regroup,
    rounds_measured,
    rows_gather,
    trust_empty,
    working_grouping,
)
from silosynth.server.methods.budget import (
    Sizes,
    asked_size,
    calibrated,
    check_pairs,
    check_total,
    crowding,
    fewer_pairs,
    largest,
    one_way_share,
    one_way_size,
    shares_of_rounds,
)
from silosynth.server.methods.choosing import (
    EDITIONS,
    NEWEST,
    choose_cliques,
    choose_level,
    growing_limits,
    level_ladder,
    room_of,
    score_by_workload,
)
from silosynth.server.methods.marginals import COARSE, all_pairs, coarse_groups, finish_model
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
from silosynth.server.model import Device, GraphicalModel
from silosynth.server.model.fit import fit

AIM_ROUNDS = 2
"""Selection rounds of a plan."""
AIM_PAIRS = Fraction(7, 2)
"""Pairs that a plan asks for each attribute, where one noise is on all silos' sum."""
AIM_PAIRS_OWN_NOISE = Fraction(2)
"""Fewer where several silos add noise of their own; see docs/decisions/025."""
FEWER_PAIRS_FROM = 1.5
"""From so many silos on whose own noise is in a pair's sum, on average."""
AIM_MODEL_MB, AIM_LARGE_MODEL_MB = 5, 16
LARGE_FROM = 100_000
"""Rows of a public bound from which on the model's size loses more than noise; see decision 156."""
MOST_COARSE_GROUPS = 32
MOST_AIM_GROUPS = 64
AIM_COARSE_DEVIATIONS = 4.0
"""Standard deviations of noise in a coarse cell on average: AIM fits what the pairs say."""
WORKING_DEVIATIONS = 1.5
"""Standard deviations of a round's noise in a cell of two of AIM's working attributes."""

AIM_RARE_DEVIATIONS = 1.0
"""AIM merges by mass in any case; merging more rare codes first blurs what 1-ways know."""
ROUND_ITERATIONS = 150
ONE_WAY_VARIANCE = 0.1
"""Of what was measured, in the last fit; see docs/decisions/043."""
AIM_ITERATIONS = 300
"""Of the last fit: on models of many cells, further ones follow the noise and take a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What AIM chooses for, all pairs alike without it, and how often it chooses."""

    workload: Sequence[Clique] = ()
    weights: Sequence[int] = ()
    rounds: int = AIM_ROUNDS

    def sizes(self, schema: Schema, terms: Terms) -> Sizes:
        """Return the most that each phase can ask of one silo.

        Raises InvalidPlan for a number of rounds out of range or a schema without a pair.
        """
        sizes, domain = one_way_size(schema, terms), schema.domain
        whole = frozenset(a for z in schema.impossible() for a in z.clique)
        check_pairs(domain, method=Method.AIM)
        if not 1 <= self.rounds <= len(ROUNDS):
            raise InvalidPlan(
                f"{self.rounds} rounds were asked for", hint=f"give 1 to {len(ROUNDS)}"
            )
        coarse = asked_size(
            all_pairs(domain), terms=terms, cells=sum(_cells(domain, most=MOST_COARSE_GROUPS))
        )
        few = terms.holders(all_pairs(domain)) >= FEWER_PAIRS_FROM
        pairs = min(
            AIM_PAIRS_OWN_NOISE if few else AIM_PAIRS,
            fewer_pairs(AIM_PAIRS, crowded=crowding(schema, terms)),
        )
        cliques = max(min(round(pairs * sizes[PhaseName.ONE_WAY].paid), coarse.paid), 1)
        rounds = min(self.rounds, cliques)
        sizes[PhaseName.COARSE] = coarse
        parts = -(-coarse.marginals // coarse.paid)
        fine = _cells(domain, most=MOST_AIM_GROUPS, whole=whole)
        for i, name in enumerate(ROUNDS[:rounds]):
            count = cliques * (i + 1) // rounds - cliques * i // rounds
            sizes[name] = largest(fine, count=count * parts, paid=count)
        return check_total(sizes)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget; where several silos add noise of their own, fewer pairs share it."""
        sizes = self.sizes(schema, terms)
        alone = one_way_share(crowding(schema, terms))
        large = (terms.rows_at_most or 0) >= LARGE_FROM
        model_mb = AIM_LARGE_MODEL_MB if large else AIM_MODEL_MB
        return Design(
            phases=calibrated(sizes, shares=shares_of_rounds(sizes, alone=alone), terms=terms),
            says={"max_model_mb": model_mb, "edition": NEWEST},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AimFlags:
    """What the command line says of AIM."""

    weights: Annotated[str | None, "For aim: a whole number a marginal, such as '3,1'."] = None
    rounds: Annotated[int | None, "For aim: how often it measures, 1 to 3."] = None
    max_model_mb: Annotated[int | None, "Most MiB of the model's tables; aim stays below."] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the choices that were made."""
        rounds = {} if self.rounds is None else {"rounds": self.rounds}
        return {"weights": read_weights(self.weights), "max_model_mb": self.max_model_mb, **rounds}


def read_weights(text: str | None) -> tuple[int, ...]:
    """Read ``3,1`` as two weights."""
    try:
        return tuple(int(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise InvalidArgument(
            f"the weights {text!r} are not whole numbers", hint="write --weights 3,1"
        ) from None


def _cells(domain: Domain, *, most: int, whole: frozenset[str] = frozenset()) -> list[int]:
    """Return the cells of each pair, largest first, of attributes merged to ``most`` groups.

    Args: whole: attributes whose structural zeros may keep their codes from merging.
    """
    pairs = zip(domain.attributes, domain.shape, strict=True)
    capped = [size if name in whole else min(size, most) for name, size in pairs]
    return sorted((a * b for a, b in combinations(capped, 2)), reverse=True)


def working_codes(
    plan: Plan,
    schema: Schema,
    one_way: Sequence[Measurement],
    *,
    coarse: Sequence[Measurement] = (),
    asked: Sequence[Measurement] = (),
) -> Grouping:
    """Return the merge of fine codes into the codes that the model is over.

    Into as many groups as the rounds can tell apart in a pair: finer cells would only be noise
    that the model follows.

    Args:
        coarse: pairs that say for which attributes finer codes stand out as well.
        asked: what rounds have measured, perhaps over such codes.
    """
    working = working_grouping(schema, one_way, rare_deviations=AIM_RARE_DEVIATIONS)
    deviation = WORKING_DEVIATIONS * phase_deviation(ROUNDS[0], plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=deviation, most=MOST_AIM_GROUPS)
    merged = coarse_grouping(schema, one_way, working=working, count=count)
    merged = keep_zeros_apart(merged, schema=schema)
    if not EDITIONS[plan.edition].gathered:
        return merged
    finer = finer_codes(
        schema,
        one_way,
        gathered=rows_gather(coarse, domain=schema.domain),
        rare=working,
        merged=merged,
        count=count,
        most=MOST_COARSE_GROUPS,
    )
    return keep_zeros_apart(parted_by(asked, merged=finer, domain=schema.domain), schema=schema)


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask all pairs coarsely, and then in each round those that the model is furthest from."""
    plan, schema, one_way = known.plan, known.schema, known.merged_by
    if phase is not PhaseName.COARSE:
        asked = rounds_measured(known.measured)
        coarse = () if asked else known.measured[PhaseName.COARSE]
        working = working_codes(plan, schema, one_way, coarse=coarse, asked=asked)
        ladder = level_ladder(schema, one_way, working=working)
        return _round(phase, plan=plan, schema=schema, measured=known.measured, ladder=ladder)
    working = working_codes(plan, schema, one_way)
    wanted = AIM_COARSE_DEVIATIONS * phase_deviation(phase, plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=wanted, most=MOST_COARSE_GROUPS)
    grouping = coarse_grouping(schema, one_way, working=working, count=count)
    return ask_cliques(all_pairs(schema.domain), name=COARSE, grouping=grouping)


def _round(
    phase: PhaseName,
    *,
    plan: Plan,
    schema: Schema,
    measured: Measured,
    ladder: Mapping[str, Grouping],
) -> Question:
    """Fit what is known, and ask the pairs that the model is furthest from.

    The noise was fixed for as many pairs as one silo is asked. Where fewer are worth it or fit the
    model, the pairs that were chosen first are measured again, which makes no model larger.
    """
    fine, one_way, working = schema.domain, measured[PhaseName.ONE_WAY], ladder[WORKING]
    edition = EDITIONS[plan.edition]
    zeros = merged_zeros(schema, grouping=working)
    fitted = fitting_measurements(measured, domain=fine, grouping=working, zeros=zeros)
    model = fit_to_choose(plan, fitted, domain=working.domain(fine), zeros=zeros)
    coarse = [regroup(m, domain=fine, grouping=working) for m in measured[PhaseName.COARSE]]
    before = list(dict.fromkeys(m.clique for name in ROUNDS for m in measured.get(name, ())))
    room = room_of(plan, plan.phase(phase))
    times = -(-len(coarse) // plan.phase(PhaseName.COARSE).marginals)
    count = plan.phase(phase).marginals * times
    chosen = choose_cliques(
        score_by_workload(model, coarse, plan=plan),
        present=[*before, *(z.clique for z in zeros)],
        domain=model.domain,
        count=count,
        limit_bytes=growing_limits(
            max_model_mb=plan.max_model_mb * edition.rounds_part,
            before=len(before),
            count=count,
            of=times * sum(p.marginals for p in plan.phases if p.name in ROUNDS),
        ),
        room=room,
    )
    deviation = phase_deviation(phase, plan=plan, one_way=one_way)
    again: list[Clique] = []
    for clique in before:
        if len(chosen) + len(again) < count and room(clique, (*chosen, *again)):
            again.append(clique)
    gathered = rows_gather(measured[PhaseName.COARSE], domain=fine) if edition.gathered else {}
    levels = {
        c: choose_level(
            c,
            ladder=ladder,
            domain=fine,
            one_way=one_way,
            deviation=deviation,
            gathered=gathered.get(c, 1.0),
        )
        for c in (*chosen, *again)
    }
    return _questions(levels, ladder=ladder)


def _questions(levels: Mapping[Clique, str], *, ladder: Mapping[str, Grouping]) -> Question:
    """Ask each clique at its level; a level that merges nothing is called fine."""
    used = {name for name in levels.values() if ladder[name].groups}
    return Question(
        queries=tuple(
            MarginalQuery(clique=c, level=name if name in used else FINE)
            for c, name in levels.items()
        ),
        levels={name: grouping for name, grouping in ladder.items() if name in used},
    )


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


def fit_to_choose(
    plan: Plan,
    fitted: Sequence[Measurement],
    *,
    domain: Domain,
    zeros: Sequence[ImpossibleCells],
) -> GraphicalModel:
    """Fit a model that pairs are scored against."""
    return fit(
        fitted,
        domain=domain,
        iterations=ROUND_ITERATIONS,
        max_model_mb=plan.max_model_mb,
        zeros=zeros,
        # A replay must choose the same again, and sums on a GPU differ from run to run.
        device=Device.CPU,
    )


def _finish(known: Known) -> Outcome:
    """Fit everything that was measured, with the coarse pairs that the model is furthest from."""
    asked = rounds_measured(known.measured)
    grouping = working_codes(known.plan, known.schema, known.merged_by, asked=asked)
    return finish_model(known, grouping=grouping, fit=fit_run)


RECIPE = Recipe(
    name=Method.AIM,
    options=Aim,
    flags=AimFlags,
    ask=_ask,
    finish=_finish,
)
