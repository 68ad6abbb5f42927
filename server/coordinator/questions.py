"""What each phase asks: a pure function of the plan and of what was measured before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique, Grouping
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.messages.request import FINE, Request
from silosynth.common.messages.sum_proof import SumProof
from silosynth.common.plan.plan import ROUNDS, Method, PhaseName, Plan
from silosynth.common.schema.schema import Schema
from silosynth.server.generator.rounds import Learning, ask_round
from silosynth.server.measuring.aim import (
    WORKING,
    choose_cliques,
    choose_level,
    growing_limits,
    level_ladder,
    score_by_workload,
)
from silosynth.server.measuring.evidence import (
    Measured,
    fit_to_choose,
    fitting_measurements,
    merged_zeros,
    model_grouping,
    phase_deviation,
)
from silosynth.server.measuring.mst import (
    MOST_COARSE_GROUPS,
    all_pairs,
    coarse_groups,
    score_pairs,
    spanning_forest,
)
from silosynth.server.measuring.sum import regroup
from silosynth.server.measuring.working_domain import coarse_grouping
from silosynth.server.planning.sizes import MAX_CELLS_PER_MARGINAL

COARSE = "coarse"
AIM_COARSE_DEVIATIONS = 4.0
"""Standard deviations of noise in a coarse cell on average: AIM fits what the pairs say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The same marginals for every silo, or the next round of training.

    Without queries or a round, the phase is skipped. ``edges`` are where the bins of numbers begin
    by what was counted of their values, ``leaves`` those that are looked into once more.
    """

    queries: tuple[MarginalQuery, ...] = ()
    levels: Mapping[str, Grouping] = field(default_factory=dict)
    learning: Learning | None = None
    edges: Mapping[str, tuple[int, ...]] | None = None
    leaves: Mapping[str, tuple[int, ...]] | None = None

    @property
    def empty(self) -> bool:
        """Say whether nothing is asked."""
        return not self.queries and self.learning is None

    def request(
        self, *, plan: Plan, phase: PhaseName, silo: str, proof: SumProof | None = None
    ) -> Request:
        """Return the request of one silo; in shared trust it carries the ``proof`` of its set."""
        if self.learning is not None:
            return Request(
                plan_digest=plan.digest,
                phase=phase,
                silo=silo,
                training=ask_round(self.learning, plan=plan, silo=silo),
                edges=self.edges,
                sum=proof,
            ).with_weights(self.learning.encoded)
        return Request(
            plan_digest=plan.digest,
            phase=phase,
            silo=silo,
            levels={name: dict(g.groups) for name, g in self.levels.items()},
            queries=tuple((q.clique, q.level) for q in self.queries),
            edges=self.edges,
            leaves=self.leaves,
            sum=proof,
        )


def ask_phase(
    phase: PhaseName,
    *,
    plan: Plan,
    schema: Schema,
    measured: Mapping[PhaseName, Sequence[Measurement]],
    merging: Sequence[Measurement] = (),
) -> Question:
    """Return what ``phase`` asks, given the measurements of the phases before it.

    Args: merging: the 1-ways that codes are merged by, the same in every phase of a run; without
        them, those that were measured.
    """
    if phase is PhaseName.ONE_WAY:
        return Question(queries=tuple(MarginalQuery(clique=(a.name,)) for a in schema.coded))
    one_way = measured[PhaseName.ONE_WAY]
    merging = merging or one_way
    working = model_grouping(plan, schema, merging)
    if phase is PhaseName.COARSE:
        pairs = all_pairs(schema.domain)
        grouping = _coarse(plan, schema, merging, working=working)
        return _question(pairs, name=COARSE, grouping=grouping)
    if phase in ROUNDS:
        ladder = level_ladder(schema, merging, working=working)
        return _round(phase, plan=plan, schema=schema, measured=measured, ladder=ladder)
    if phase is PhaseName.TREE:
        return _question(
            _forest(schema, one_way, measured[PhaseName.COARSE], working=working),
            name=WORKING,
            grouping=working,
        )
    if phase is PhaseName.EMBEDDING:
        return _question((schema.domain.attributes,), name=WORKING, grouping=working)
    return _question(plan.workload, name=WORKING, grouping=working)


def _coarse(
    plan: Plan, schema: Schema, one_way: Sequence[Measurement], *, working: Grouping
) -> Grouping:
    """Return the merge of codes for the coarse pairs, by the noise that they will have."""
    deviation = phase_deviation(PhaseName.COARSE, plan=plan, one_way=one_way)
    if plan.method is Method.AIM:
        wanted = AIM_COARSE_DEVIATIONS * deviation
        count = coarse_groups(one_way, deviation=wanted, most=MOST_COARSE_GROUPS)
    else:
        count = coarse_groups(one_way, deviation=deviation)
    return coarse_grouping(schema, one_way, working=working, count=count)


def _round(
    phase: PhaseName,
    *,
    plan: Plan,
    schema: Schema,
    measured: Measured,
    ladder: Mapping[str, Grouping],
) -> Question:
    """Fit what is known, and ask the pairs that the model is furthest from.

    The noise was fixed for ``count`` pairs. Where fewer are worth it or fit the model, the pairs
    that were chosen first are measured again, which makes no model larger.
    """
    fine, one_way, working = schema.domain, measured[PhaseName.ONE_WAY], ladder[WORKING]
    zeros = merged_zeros(schema, grouping=working)
    fitted = fitting_measurements(measured, domain=fine, grouping=working)
    model = fit_to_choose(plan, fitted, domain=working.domain(fine), zeros=zeros)
    coarse = [regroup(m, domain=fine, grouping=working) for m in measured[PhaseName.COARSE]]
    before = list(dict.fromkeys(m.clique for name in ROUNDS for m in measured.get(name, ())))
    count = plan.phase(phase).marginals
    chosen = choose_cliques(
        score_by_workload(model, coarse, workload=plan.workload, weights=plan.weights),
        present=[*before, *(z.clique for z in zeros)],
        domain=model.domain,
        count=count,
        limit_bytes=growing_limits(
            max_model_mb=plan.max_model_mb,
            before=len(before),
            count=count,
            of=sum(p.marginals for p in plan.phases if p.name in ROUNDS),
        ),
    )
    deviation = phase_deviation(phase, plan=plan, one_way=one_way)
    levels = {
        c: choose_level(c, ladder=ladder, domain=fine, one_way=one_way, deviation=deviation)
        for c in (*chosen, *before[: count - len(chosen)])
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


def _question(cliques: Sequence[tuple[str, ...]], *, name: str, grouping: Grouping) -> Question:
    """Ask ``cliques`` at a level; the level is called fine when it merges nothing."""
    if not grouping.groups:
        return Question(queries=tuple(MarginalQuery(clique=c, level=FINE) for c in cliques))
    return Question(
        queries=tuple(MarginalQuery(clique=c, level=name) for c in cliques),
        levels={name: grouping},
    )


def _forest(
    schema: Schema,
    one_way: Sequence[Measurement],
    coarse: Sequence[Measurement],
    *,
    working: Grouping,
) -> tuple[tuple[str, ...], ...]:
    """Choose the pairs to measure from the coarse 2-way marginals."""
    shares = {m.clique[0]: _shares(m, grouping=coarse[0].grouping) for m in one_way}
    return spanning_forest(
        score_pairs(coarse, shares=shares),
        domain=working.domain(schema.domain),
        max_cells=MAX_CELLS_PER_MARGINAL,
    )


def _shares(one_way: Measurement, *, grouping: Grouping) -> np.ndarray:
    """Return (groups,) the share of each coarse group in a noised 1-way marginal."""
    groups = grouping.lookup(one_way.clique[0], len(one_way.values))
    mass = np.bincount(groups, weights=np.clip(one_way.values, 0.0, None))
    total = float(mass.sum())
    return mass / total if total > 0 else np.full(len(mass), 1.0 / len(mass))
