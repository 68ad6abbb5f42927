"""What methods share that fit a graphical model: coarse pairs, and the model's sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import CliqueMarginal, build_sampler
from silosynth.server.measuring import fit_measured, within_groups
from silosynth.server.methods.method import Known, Outcome
from silosynth.server.model import GraphicalModel

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


def estimate_rows(one_way: Sequence[Measurement]) -> float:
    """Estimate the number of rows, at least 1, from the noised 1-way marginals."""
    return max(float(np.mean([m.values.sum() for m in one_way])), 1.0)


def finish_model(known: Known, *, grouping: Grouping, fit: FitRun = fit_measured) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    model, fitted = fit(known.plan, known.schema, known.measured, grouping=grouping)
    certificate = certify_plan(known.plan)
    sampler = build_sampler(
        schema=known.schema,
        grouping=grouping,
        within=within_groups(grouping, known.one_way),
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


def draw_order(model: GraphicalModel) -> tuple[CliqueMarginal, ...]:
    """Return the model's clique marginals in the order in which a sampler draws them."""
    tree = model.tree
    return tuple(
        CliqueMarginal(clique=clique, separator=separator, values=table.ravel())
        for clique, separator, table in zip(
            tree.cliques, tree.separators, model.tables, strict=True
        )
    )
