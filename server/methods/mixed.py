"""What methods share that hand out a mixture of forests: what it is fitted to, what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Clique, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler import COMPONENT, Conditional, Sampler, shares, shares_of_groups
from silosynth.common.schema import Schema
from silosynth.server.measuring import regroup, rounds_measured, within_groups
from silosynth.server.methods.marginals import steadied
from silosynth.server.methods.method import Known, Outcome
from silosynth.server.mixture import Levels, Trees, clean_coarse, join_columns

MOST_EDGES_MB = 16
"""Of the tables of a forest's edges, which are handed out with every component."""
_SHARE_BYTES = 4


def most_cells(plan: Plan, *, components: int) -> int:
    """Return how many cells the tables of a forest's edges may have, by the plan's limit."""
    return min(plan.max_model_mb, MOST_EDGES_MB) * 2**20 // (_SHARE_BYTES * components)


def finish_trees(known: Known, fitted: Trees, *, grouping: Grouping, total: float) -> Outcome:
    """Make what is handed out of a mixture of forests over the codes that ``grouping`` makes."""
    steady = steadied(known)
    one_way = [steady.get(m.clique, m) for m in known.one_way]
    domain, certificate = known.schema.domain, certify_plan(known.plan)
    within = within_groups(grouping, one_way)
    sampler = Sampler(
        schema=known.schema,
        grouping=grouping,
        within=shares_of_groups(within, grouping=grouping),
        conditionals=tuple(_conditionals(fitted, grouping.domain(domain).attributes)),
        components=len(fitted.weights),
        total=max(round(total), 0),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=known.plan.digest,
    )
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=TreesModel(total=total, trees=fitted, attributes=domain.attributes),
        measurements=tuple(regroup(m, domain=domain, grouping=grouping) for m in known.one_way),
        grouping=grouping,
    )


def _conditionals(fitted: Trees, names: Clique) -> Iterator[Conditional]:
    """Yield the component's law, and of each attribute that given it and what it hangs on."""
    forest = fitted.forest
    alone = shares(fitted.weights[None, :], name="the components")
    yield Conditional(attribute=COMPONENT, given=(), ends=alone)
    for v in forest.order:
        given: Clique = (COMPONENT,)
        table = fitted.codes[:, forest.slices[v]]
        if forest.parents[v] >= 0:
            given = (COMPONENT, names[forest.parents[v]])
            table = forest.conditional(v, fitted.codes).reshape(-1, forest.sizes[v])
        yield Conditional(attribute=names[v], given=given, ends=shares(table, name=names[v]))


def measured_levels(known: Known, *, grouping: Grouping, smoothing: float) -> Levels:
    """Return 1-ways, coarse pairs and those of rounds over the codes that a mixture is fitted over.

    1-ways of long lists are those of :func:`finish_model`, and what pairs say of columns is in all.

    Args: smoothing: of the mixture, by which it is seen how much noise is taken off coarse pairs.
    """
    domain, over = known.schema.domain, grouping.domain(known.schema.domain)
    coarse = known.measured[PhaseName.COARSE]

    def merged(measured: Iterable[Measurement]) -> list[Measurement]:
        return [regroup(m, domain=domain, grouping=grouping) for m in measured]

    steady = steadied(known)
    one_way = merged(steady.get(m.clique, m) for m in known.one_way)
    rounds = merged(rounds_measured(known.measured))

    def levels(noised: Sequence[Measurement], cleaned: Sequence[Measurement]) -> Levels:
        pairs = [*merged(noised), *rounds]
        return Levels.of_measurements(
            join_columns(one_way, pairs, domain=over),
            pairs,
            domain=over,
            rising=rising(known.schema),
            cleaned=[*merged(cleaned), *rounds],
        )

    cleaned = clean_coarse(coarse, known.one_way, domain=domain, levels=levels, smoothing=smoothing)
    return levels(coarse, cleaned)


def rising(schema: Schema) -> list[bool]:
    """Say of each attribute whether its codes stand in an order."""
    return [bool(attribute.rising) for attribute in schema.coded]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreesModel:
    """The expected counts of a mixture of forests, over working codes."""

    total: float
    trees: Trees
    attributes: Clique

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""
        places = [self.attributes.index(name) for name in clique]
        trees = self.trees
        cells = trees.forest.marginal(places, weights=trees.weights, codes=trees.codes)
        return cells.ravel() * self.total

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""
        tables, codes = self.trees.pair_tables() * self.total, self.trees.forest.slices
        place = {name: codes[v] for v, name in enumerate(self.attributes)}
        return {pair: tables[place[pair[0]], place[pair[1]]].ravel() for pair in pairs}
