"""What methods share that measure marginals: all pairs, and what is made of a fitted model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

import numpy as np

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidPlan
from silosynth.common.measurement import Measurement
from silosynth.common.plan import MOST_MARGINALS, Method, PhaseName
from silosynth.common.sampler import (
    CliqueMarginal,
    Mixture,
    TableSampler,
    build_sampler,
    shares,
    shares_of_groups,
)
from silosynth.common.schema import Schema
from silosynth.server.measuring import (
    estimate_rows,
    fit_measured,
    merged_zeros,
    regroup,
    take_over,
    weigh_columns,
    within_groups,
    within_memory,
)
from silosynth.server.methods.budget import Shares, check_pairs, crowding
from silosynth.server.methods.method import Known, Outcome, Terms
from silosynth.server.mixture import (
    NoisedPairs,
    Products,
    collect_pairs,
)
from silosynth.server.model import GraphicalModel
from silosynth.server.values import FEWEST_CODES, steady_counts

MOST_ALONE, FIFTH, LEAST_ALONE = Fraction(3, 5), Fraction(1, 5), Fraction(1, 50)
ALONE = 4
"""Parts of rho for the 1-ways: the wider a table, the more of them its pairs say as well."""

FEW_CODES = 4
"""Of an attribute that pairs are asked of as it is."""

COARSE = "coarse"
FEWEST_GROUPS = 4
MOST_GROUPS = 16
FitRun = Callable[..., tuple[GraphicalModel, tuple[Measurement, ...]]]


def all_pairs(domain: Domain) -> tuple[Clique, ...]:
    """Return every pair of attributes, in column order."""
    return tuple(combinations(domain.attributes, 2))


def coarse_groups(
    one_way: Sequence[Measurement], *, deviation: float, most: int = MOST_GROUPS
) -> int:
    """Return into how many groups to merge each attribute for 2-way marginals.

    As many as leave about ``deviation`` rows in a cell, on average: the square root of rows over
    ``deviation``, within [4, most].
    """
    wanted = np.sqrt(estimate_rows(one_way) / deviation)
    return int(np.clip(np.rint(wanted), FEWEST_GROUPS, most))


def with_last(known: Known) -> Known:
    """Return what is known with what the last sampler says, of a plan that renews it.

    The columns of now have the old in them, and the sampler's cliques stand beside the pairs of
    now. What was measured is paid for, so nothing of the last sampler makes a model too large.
    """
    if not known.carried:
        return known
    domain, grouping = known.schema.domain, known.rare_merged
    columns = weigh_columns(known.one_way, known.carried)
    pairs = known.measured.get(PhaseName.WORKLOAD, ())
    found = take_over(
        pairs,
        known.carried,
        one_way=known.one_way,
        columns=columns,
        domain=domain,
        grouping=grouping,
    )
    zeros = (z.clique for z in merged_zeros(known.schema, grouping=grouping))
    kept = within_memory(
        found,
        present=[*((name,) for name in domain.attributes), *(m.clique for m in pairs), *zeros],
        domain=grouping.domain(domain),
        max_model_mb=known.plan.max_model_mb,
    )
    measured = {PhaseName.ONE_WAY: columns, PhaseName.WORKLOAD: (*pairs, *kept)}
    return replace(known, measured={**known.measured, **measured})


def finish_model(known: Known, *, grouping: Grouping, fit: FitRun = fit_measured) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    steady = steadied(known)
    one_way = [steady.get(m.clique, m) for m in known.one_way]
    measured = {**known.measured, PhaseName.ONE_WAY: tuple(one_way)}
    model, fitted = fit(known.plan, known.schema, measured, grouping=grouping)
    plain = {m.clique: m for m in known.one_way if m.clique in steady}
    # What was measured is told as it was.
    fitted = tuple(
        regroup(plain[m.clique], domain=known.schema.domain, grouping=grouping)
        if m.clique in plain
        else m
        for m in fitted
    )
    certificate = certify_plan(known.plan)
    sampler = build_sampler(
        schema=known.schema,
        grouping=grouping,
        within=within_groups(grouping, one_way),
        nodes=draw_order(model),
        total=model.total,
        certificate=certificate.model_dump(mode="json"),
        plan_digest=known.plan.digest,
    )
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=model,
        measurements=fitted,
        grouping=grouping,
    )


def steadied(known: Known) -> dict[Clique, Measurement]:
    """Return the 1-ways of long lists with what all counts of each say together of every one.

    Of lists without an order: in an order rare codes are merged with their neighbours, and numbers
    have trees. See decision 167.
    """
    rows = estimate_rows(known.one_way) if known.one_way else 0.0
    free = {(a.name,) for a in known.schema.coded if not (a.rising or a.above)}
    found: dict[Clique, Measurement] = {}
    for m in known.one_way:
        long, even = len(m.values) >= FEWEST_CODES, np.ptp(m.variance) == 0
        if m.clique in free and long and even:
            deviation = float(np.sqrt(m.variance[0]))
            counts = steady_counts(m.values, deviation=deviation, rows=rows)
            found[m.clique] = replace(m, values=counts)
    return found


def finish_mixture(known: Known, fitted: Products, *, grouping: Grouping, total: float) -> Outcome:
    """Make what is handed out of a mixture over the codes that ``grouping`` makes."""
    shape = grouping.domain(known.schema.domain).shape
    tables = np.split(fitted.codes, np.cumsum(shape)[:-1], axis=1)
    return hand_out(known, weights=fitted.weights, tables=tables, grouping=grouping, total=total)


def hand_out(
    known: Known,
    *,
    weights: np.ndarray,
    tables: Sequence[np.ndarray],
    grouping: Grouping,
    total: float,
    lines: Sequence[str] | None = None,
) -> Outcome:
    """Make what is handed out of the components of a mixture.

    Args: weights: (components,) shares. tables: of each attribute (components, codes) those of its
        codes. lines: each component's text, if it has one.
    """
    domain = known.schema.domain
    certificate, working = certify_plan(known.plan), grouping.domain(domain)
    within = within_groups(grouping, known.one_way)
    sampler = TableSampler(
        schema=known.schema,
        grouping=grouping,
        within=shares_of_groups(within, grouping=grouping),
        weights=shares(weights[None, :], name="the components")[0],
        tables=tuple(
            shares(table, name=name) for name, table in zip(working.attributes, tables, strict=True)
        ),
        lines=None if lines is None else tuple(lines),
        total=max(round(total), 0),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=known.plan.digest,
    )
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=MixtureModel(total=total, mixture=sampler.mixture()),
        measurements=tuple(regroup(m, domain=domain, grouping=grouping) for m in known.one_way),
        grouping=grouping,
    )


def gather(
    known: Known, one_way: Sequence[Measurement], *, grouping: Grouping, over: Domain
) -> NoisedPairs:
    """Return all that was measured, over the codes that the pairs were asked over."""
    merged = [regroup(m, domain=known.schema.domain, grouping=grouping) for m in one_way]
    return collect_pairs(merged, known.measured[PhaseName.COARSE], domain=over)


def shares_of(schema: Schema, terms: Terms) -> Shares:
    """Return each phase's share of rho: of the 1-ways 4 over the width, within a 50th and a 5th.

    That is enough where codes are few, as a pair says them as well. Of codes that are merged in
    pairs the 1-ways alone say which are how frequent: a 5th where a quarter of the attributes has
    many, and more where a public bound on the rows says that the noise of 1-ways is large.
    """
    shape = schema.domain.shape
    alone = max(min(FIFTH, Fraction(ALONE, len(shape))), LEAST_ALONE)
    many = min(Fraction(ALONE * sum(size > FEW_CODES for size in shape), len(shape)), Fraction(1))
    crowded = max(crowding(schema, terms), 1.0)
    more = Fraction(3 * math.log10(crowded) / 5).limit_denominator(1000)
    alone = max(alone, many * min(FIFTH + more, MOST_ALONE))
    return {PhaseName.ONE_WAY: alone, PhaseName.COARSE: 1 - alone}


def check_wide(schema: Schema, *, method: Method) -> None:
    """Raise InvalidPlan for a schema that a method of all pairs cannot take."""
    check_zeros(schema, method=method)
    check_pairs(schema.domain, method=method)
    width = len(schema.domain.attributes)
    if (pairs := width * (width - 1) // 2) > MOST_MARGINALS:
        raise InvalidPlan(
            f"{width} attributes make {pairs} pairs; at most {MOST_MARGINALS} can be asked for",
            hint=f"use the method {Method.ONE_SHOT.value}, or leave attributes out",
        )


def check_zeros(schema: Schema, *, method: Method) -> None:
    """Raise InvalidPlan where a method would break declared zeros; rules are kept in the draw."""
    if schema.structural_zeros:
        raise InvalidPlan(
            f"the method {method.value} cannot keep impossible combinations apart",
            hint="use mst, aim or fixed, or take them out of the schema",
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixtureModel:
    """The expected counts of a sampler that is a mixture, over working codes."""

    total: float
    mixture: Mixture

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""
        return self.mixture.marginal(clique) * self.total

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""
        return {pair: self.marginal(pair) for pair in pairs}


def draw_order(model: GraphicalModel) -> tuple[CliqueMarginal, ...]:
    """Return the model's clique marginals in the order in which a sampler draws them."""
    tree = model.tree
    return tuple(
        CliqueMarginal(clique=clique, separator=separator, values=table.ravel())
        for clique, separator, table in zip(
            tree.cliques, tree.separators, model.tables, strict=True
        )
    )
