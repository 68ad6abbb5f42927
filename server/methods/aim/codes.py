"""Over which codes AIM's model is, and at which level a pair is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import ROUNDS, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import (
    Measured,
    cells_of_rows,
    coarse_grouping,
    estimate_rows,
    finer_codes,
    keep_zeros_apart,
    merged_zeros,
    parted_by,
    phase_deviation,
    rounds_measured,
    rows_gather,
    working_grouping,
)
from silosynth.server.methods.aim.choosing import EDITIONS
from silosynth.server.methods.marginals import coarse_groups
from silosynth.server.methods.method import WORKING
from silosynth.server.model import build_junction_tree

LADDER = (4, 6, 8, 12, 16, 24, 32)
"""Groups an attribute may be merged to in a round; above, it is measured as the model has it."""
WORKING_DEVIATIONS = 1.5
"""Standard deviations of a round's noise in a cell of two of AIM's working attributes."""

AIM_RARE_DEVIATIONS = 1.0
"""AIM merges by mass in any case; merging more rare codes first blurs what 1-ways know."""
MOST_COARSE_GROUPS, MOST_AIM_GROUPS = 32, 64


def working_codes(
    plan: Plan,
    schema: Schema,
    one_way: Sequence[Measurement],
    *,
    pairs: Sequence[Measurement] = (),
    asked: Sequence[Measurement] = (),
) -> Grouping:
    """Return the merge of fine codes into the codes that the model is over.

    Into as many groups as the rounds can tell apart in a pair: finer cells would only be noise
    that the model follows.

    Args:
        pairs: those that say for which attributes finer codes stand out as well.
        asked: what rounds have measured, perhaps over such codes.
    """
    listed = EDITIONS[plan.edition].listed
    working = working_grouping(schema, one_way, rare_deviations=AIM_RARE_DEVIATIONS, listed=listed)
    deviation = WORKING_DEVIATIONS * phase_deviation(ROUNDS[0], plan=plan, one_way=one_way)
    count = coarse_groups(one_way, deviation=deviation, most=MOST_AIM_GROUPS)
    merged = coarse_grouping(schema, one_way, working=working, count=count, listed=listed)
    merged = keep_zeros_apart(merged, schema=schema)
    if not EDITIONS[plan.edition].gathered:
        return merged
    finer = finer_codes(
        schema,
        one_way,
        gathered=rows_gather(pairs, domain=schema.domain),
        rare=working,
        merged=parted_by(asked, merged=merged, domain=schema.domain),
        count=count,
        most=MOST_COARSE_GROUPS,
    )
    return keep_zeros_apart(finer, schema=schema)


def asking_codes(
    plan: Plan, schema: Schema, one_way: Sequence[Measurement], *, measured: Measured
) -> Grouping:
    """Return the codes that a round may ask over: finer than it was asked before, if there is room.

    Where a round has measured pairs of which one attribute nearly says the other, their counts say
    better than coarse ones how fine they are worth measuring.
    """
    coarse, asked = measured[PhaseName.COARSE], rounds_measured(measured)
    finer = working_codes(plan, schema, one_way, pairs=(*coarse, *asked), asked=asked)
    zeros = (z.clique for z in merged_zeros(schema, grouping=finer))
    tree = build_junction_tree(
        [*(m.clique for m in asked), *zeros], domain=finer.domain(schema.domain)
    )
    if tree.bytes <= plan.max_model_mb * EDITIONS[plan.edition].rounds_part * 2**20:
        return finer
    return working_codes(plan, schema, one_way, asked=asked)


def level_ladder(
    schema: Schema, one_way: Sequence[Measurement], *, working: Grouping, listed: bool
) -> dict[str, Grouping]:
    """Return the levels that a round may measure at, from coarse to as fine as the model."""
    largest = max(working.domain(schema.domain).shape)
    ladder = {
        f"groups-{count}": coarse_grouping(
            schema, one_way, working=working, count=count, listed=listed
        )
        for count in LADDER
        if count < largest
    }
    return {**ladder, WORKING: working}


def choose_level(
    clique: Clique,
    *,
    ladder: Mapping[str, Grouping],
    domain: Domain,
    one_way: Sequence[Measurement],
    deviation: float,
    cell_deviations: float,
    said: float = 0.0,
) -> str:
    """Return the finest level whose cells hold so many standard deviations of noise on average.

    Args: said: of :func:`nearly_said`; above 0 the cells count that rows are in, else all.
    """
    cells = estimate_rows(one_way) / (cell_deviations * deviation)
    alone = {m.clique[0]: m for m in one_way}
    for name, finer in pairwise(ladder):
        grouping = ladder[finer]
        held: float = (
            cells_of_rows(clique, grouping=grouping, one_way=alone, said=said)
            if said
            else grouping.domain(domain).size(clique)
        )
        if held > cells:
            return name
    return list(ladder)[-1]
