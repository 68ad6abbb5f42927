"""Two epochs of a table: a whole run, a look for drift, and a renewal for part of its budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.aim.published import Counts, count_with_cache
from bench.series.tables import Epochs
from bench.support.pooled import PooledRun, run_pooled
from silosynth.common.held import Inputs, evaluate_release
from silosynth.common.held.counters import Counters
from silosynth.common.plan import Plan, plan_units
from silosynth.common.sampler import AnySampler, Sampler, draw_codes, dump_sampler
from silosynth.common.schema import Schema
from silosynth.common.scores import all_cliques, marginal_distance
from silosynth.server.drift import find_drift, plan_drift, plan_renewal, unexplained
from silosynth.server.judging import Judgement
from silosynth.server.measuring import carry
from silosynth.server.planning import new_plan

DELTA = 1e-6
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begun:
    """A first epoch, and a fresh run of the second one: the plan of both, and what was made."""

    case: Epochs
    plan: Plan
    first: PooledRun
    fresh: PooledRun
    seed: int

    @property
    def last(self) -> Sampler:
        """Return the first epoch's sampler."""
        assert isinstance(self.first.sampler, Sampler)  # mst makes a model of marginals
        return self.first.sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What a second epoch came to: the 2-way distance to its own people, and what was done.

    ``units`` is the part of a whole run's ledger units that it cost, ``pairs`` how many it
    measured, ``moved`` how many were found to have moved.
    """

    distance: float
    units: float
    pairs: int
    moved: int


def begin(case: Epochs, *, epsilon: float, seed: int) -> Begun:
    """Make a sampler of each epoch by a whole run."""
    names = tuple(f"silo-{i}" for i in range(case.silos))
    schema = case.schema
    plan = new_plan(schema, epsilon=epsilon, delta=DELTA, silos=names, method="mst", plan_id="t")
    first, fresh = (
        run_pooled(
            plan,
            _counts(codes, schema),
            schema=schema,
            rng=np.random.default_rng(100 * at + seed),
            silos=case.silos,
        )
        for at, codes in enumerate((case.before, case.now))
    )
    return Begun(case=case, plan=plan, first=first, fresh=fresh, seed=seed)


def second_epoch(begun: Begun, *, units: float) -> Second:
    """Make a second epoch's sampler of the first's for a part of a whole run's ledger units.

    Where a look was made and nothing was found to have moved, the sampler stays.
    """
    case, whole = begun.case, plan_units(begun.plan)
    moved, spent = _moved(begun)
    if moved is not None and not moved:
        distance = distance_to(begun.last, case.now)
        return Second(distance=distance, units=spent / whole, pairs=0, moved=0)
    renewal = _renewal(begun, moved=moved, most=int(units * whole) - spent)
    renewed = run_pooled(
        renewal,
        _counts(case.now, case.schema),
        schema=case.schema,
        rng=np.random.default_rng(begun.seed + 200),
        silos=case.silos,
        carried=carry(begun.last, pairs=renewal.workload),
    )
    return Second(
        distance=distance_to(renewed.sampler, case.now),
        units=(spent + plan_units(renewal)) / whole,
        pairs=len(renewal.workload),
        moved=len(moved or ()),
    )


def _moved(begun: Begun) -> tuple[dict[Pair, float] | None, int]:
    """Return what two looks find to have moved, and what one costs; None where nobody looks."""
    case, last = begun.case, begun.last
    if case.look is None:
        return None, 0
    random = np.random.default_rng(begun.seed + 300)
    plan, inputs = plan_drift(begun.plan, dump_sampler(last), epsilon=case.look, plan_id="look")
    before, now = (
        look(plan, inputs, codes, random=random, silos=case.silos)
        for codes in (case.before, case.now)
    )
    found = find_drift(before, now, sampler=last)
    shares = dict(zip(found.columns, map(float, found.by), strict=True))
    return {pair: shares[pair] for pair in found.moved}, plan_units(plan)


def _renewal(begun: Begun, *, moved: dict[Pair, float] | None, most: int) -> Plan:
    """Return the plan of a renewal that costs at most so many ledger units."""
    weak = unexplained(begun.first.measured, begun.first.model.marginal, last=begun.last)
    data = dump_sampler(begun.last)
    epsilon = begun.plan.privacy.epsilon * (most / plan_units(begun.plan)) ** 0.5
    while True:
        plan = plan_renewal(
            begun.plan, begun.case.schema, data, moved=moved, weak=weak, epsilon=epsilon
        )
        if plan_units(plan) <= most:
            return plan
        epsilon *= 0.999 * (most / plan_units(plan)) ** 0.5


def look(
    plan: Plan, inputs: Inputs, codes: np.ndarray, *, random: np.random.Generator, silos: int
) -> Judgement:
    """Return a look at rows, with the noise of so many silos."""
    counters = Counters(inputs)
    counters.add(list(codes.T))
    variance = float(plan.noise(plan.phases[0]).variance(silos=silos))
    vector = counters.vector()
    values = vector + np.rint(random.normal(0, variance**0.5, len(vector)))
    found = evaluate_release(inputs, values, variance=variance)
    return Judgement(plan=plan, inputs=inputs, values=values, variance=variance, found=found)


def distance_to(sampler: AnySampler, codes: np.ndarray) -> float:
    """Return the mean total variation of all 2-way marginals to real rows."""
    drawn = tuple(draw_codes(sampler, rows=len(codes), seed=0))
    pairs = all_cliques(sampler.domain, 2)
    real = tuple(codes.T)
    return float(marginal_distance(real, drawn, domain=sampler.domain, cliques=pairs).mean())


def _counts(codes: np.ndarray, schema: Schema) -> Counts:
    return count_with_cache(codes.astype(np.int64), domain=schema.domain)
