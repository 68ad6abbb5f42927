"""What each phase asks: a pure function of the plan and of what was measured before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.plan import FINE, PhaseName, Plan, Request
from silosynth.common.schema import Schema
from silosynth.server.compress import coarse_grouping, working_grouping
from silosynth.server.planner import MAX_CELLS_PER_MARGINAL
from silosynth.server.select import all_pairs, coarse_groups, score_pairs, spanning_forest

COARSE = "coarse"
WORKING = "working"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The same marginals for every silo. Without queries, the phase is skipped."""

    queries: tuple[MarginalQuery, ...]
    levels: Mapping[str, Grouping] = field(default_factory=dict)

    def request(self, *, plan: Plan, phase: PhaseName, silo: str) -> Request:
        """Return the request of one silo."""
        return Request(
            plan_digest=plan.digest,
            phase=phase,
            silo=silo,
            levels={name: dict(g.groups) for name, g in self.levels.items()},
            queries=tuple((q.clique, q.level) for q in self.queries),
        )


def ask_phase(
    phase: PhaseName,
    *,
    plan: Plan,
    schema: Schema,
    measured: Mapping[PhaseName, Sequence[Measurement]],
) -> Question:
    """Return what ``phase`` asks, given the measurements of the phases before it."""
    if phase is PhaseName.ONE_WAY:
        return Question(queries=tuple(MarginalQuery(clique=(a.name,)) for a in schema.coded))
    one_way = measured[PhaseName.ONE_WAY]
    working = working_grouping(schema, one_way)
    if phase is PhaseName.COARSE:
        count = coarse_groups(one_way, deviation=_deviation(phase, plan=plan, one_way=one_way))
        coarse = coarse_grouping(schema, one_way, working=working, count=count)
        pairs = all_pairs(schema.domain)
        return _question(pairs, name=COARSE, grouping=coarse)
    if phase is PhaseName.TREE:
        return _question(
            _forest(schema, one_way, measured[PhaseName.COARSE], working=working),
            name=WORKING,
            grouping=working,
        )
    if phase is PhaseName.EMBEDDING:
        return _question((schema.domain.attributes,), name=WORKING, grouping=working)
    return _question(plan.workload, name=WORKING, grouping=working)


def _deviation(phase: PhaseName, *, plan: Plan, one_way: Sequence[Measurement]) -> float:
    """Return the noise of a cell of ``phase`` after summing over as many silos as answered."""
    silos = float(one_way[0].variance[0] / plan.phase(PhaseName.ONE_WAY).sigma2)
    return math.sqrt(silos * plan.phase(phase).sigma2)


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
