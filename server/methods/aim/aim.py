"""AIM in a federation: choose, measure and fit, in a few rounds of many cliques.

See :mod:`silosynth.server.methods.aim.choosing` for what differs from the published mechanism.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Annotated, Any

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.measurement import MarginalQuery
from silosynth.common.messages import FINE
from silosynth.common.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import (
    Measured,
    coarse_grouping,
    merged_zeros,
    nearly_said,
    phase_deviation,
    regroup,
    rounds_measured,
)
from silosynth.server.methods.aim.choosing import (
    EDITIONS,
    NEWEST,
    beside,
    cover_evenly,
    growing_limits,
    room_of,
)
from silosynth.server.methods.aim.codes import (
    MOST_AIM_GROUPS,
    MOST_COARSE_GROUPS,
    asking_codes,
    choose_level,
    level_ladder,
    working_codes,
)
from silosynth.server.methods.aim.fitting import (
    SMOOTHING,
    choose_in_steps,
    fit_mixed,
    fit_run,
    is_mixed,
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
from silosynth.server.methods.mixed import finish_trees, measured_levels

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
AIM_COARSE_DEVIATIONS = 4.0
"""Standard deviations of noise in a coarse cell on average: AIM fits what the pairs say."""


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


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask all pairs coarsely, and then in each round those that the model is furthest from."""
    plan, schema, one_way = known.plan, known.schema, known.merged_by
    listed = EDITIONS[plan.edition].listed
    if phase is not PhaseName.COARSE:
        working = asking_codes(plan, schema, one_way, measured=known.measured)
        ladder = level_ladder(schema, one_way, working=working, listed=listed)
        return _round(phase, plan=plan, schema=schema, measured=known.measured, ladder=ladder)
    working = working_codes(plan, schema, one_way)
    wanted = AIM_COARSE_DEVIATIONS * phase_deviation(phase, plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=wanted, most=MOST_COARSE_GROUPS)
    grouping = coarse_grouping(schema, one_way, working=working, count=count, listed=listed)
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
    model, the pairs that were chosen first are measured again, which makes no model larger; then
    a mixture is told of others what they say of their columns.
    """
    fine, one_way, working = schema.domain, measured[PhaseName.ONE_WAY], ladder[WORKING]
    edition, mixed = EDITIONS[plan.edition], is_mixed(plan, schema)
    coarse = [regroup(m, domain=fine, grouping=working) for m in measured[PhaseName.COARSE]]
    before = list(dict.fromkeys(m.clique for m in rounds_measured(measured)))
    room = room_of(plan, plan.phase(phase))
    times = -(-len(coarse) // plan.phase(PhaseName.COARSE).marginals)
    count = plan.phase(phase).marginals * times
    limits = growing_limits(
        max_model_mb=plan.max_model_mb * edition.rounds_part,
        before=len(before),
        count=count,
        of=times * sum(p.marginals for p in plan.phases if p.name in ROUNDS),
    )
    chosen = choose_in_steps(
        plan,
        [
            regroup(m, domain=fine, grouping=working)
            for name, found in measured.items()
            if name is not PhaseName.COARSE
            for m in found
        ],
        coarse=coarse,
        domain=working.domain(fine),
        zeros=merged_zeros(schema, grouping=working),
        limit_bytes=limits,
        room=room,
        mixed=mixed,
    )
    deviation = phase_deviation(phase, plan=plan, one_way=one_way)
    again: list[Clique] = []
    for clique in before:
        if len(chosen) + len(again) < count and room(clique, (*chosen, *again)):
            again.append(clique)
    if mixed:
        again += cover_evenly(
            (*before, *chosen, *again),
            pairs=[m.clique for m in coarse],
            domain=working.domain(fine),
            count=count - len(chosen) - len(again),
            room=partial(beside, (*chosen, *again), room),
        )
    known = (*measured[PhaseName.COARSE], *rounds_measured(measured))
    said = nearly_said(known, domain=fine) if edition.gathered else {}
    levels = {
        c: choose_level(
            c,
            ladder=ladder,
            domain=fine,
            one_way=one_way,
            deviation=deviation,
            cell_deviations=edition.cell_deviations,
            said=said.get(c, 0.0),
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


def _finish(known: Known) -> Outcome:
    """Fit everything that was measured: a mixture of forests to all of it, where it may be."""
    plan, asked = known.plan, rounds_measured(known.measured)
    grouping = working_codes(plan, known.schema, known.merged_by, asked=asked)
    if is_mixed(plan, known.schema):
        levels = measured_levels(known, grouping=grouping, smoothing=SMOOTHING)
        return finish_trees(known, fit_mixed(plan, levels), grouping=grouping, total=levels.total)
    return finish_model(known, grouping=grouping, fit=fit_run)


RECIPE = Recipe(
    name=Method.AIM,
    options=Aim,
    flags=AimFlags,
    ask=_ask,
    finish=_finish,
)
