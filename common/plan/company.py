"""Of how many silos' rows at least anything that leaves a silo is a sum."""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import or_

from silosynth.common.plan.lacks import lackers_by_column
from silosynth.common.plan.plan import Plan


def fewest_in_sum(plan: Plan) -> int:
    """Return the fewest honest silos whose rows anything that leaves can be a sum of.

    In own trust a silo's release stands alone. In shared trust as many as the plan spares may be
    away, and the shares of those that collude are known to the coordinator; of a marginal over
    columns that some silos lack, the others add noise alone.
    """
    if not plan.masked:
        return 1
    spared = len(plan.silos) - plan.shares
    fewest = _of_pairs(plan) if plan.chosen.pairs_at_most else _of_any_width(plan)
    return max(fewest - spared, 1)


def _of_pairs(plan: Plan) -> int:
    """Return how many silos hold the columns that fewest hold, of those that anybody holds.

    A silo works this out before anybody approved, of a thousand silos and the pairs of hundreds of
    columns: bits stand for silos.
    """
    away = lackers_by_column(plan.lacks or {}, silos=plan.silos)
    cliques = ((), *combinations(away, 1), *combinations(away, 2), *plan.workload)
    lacking = {reduce(or_, (away.get(c, 0) for c in clique), 0) for clique in cliques}
    counts = (len(plan.silos) - silos.bit_count() for silos in lacking)
    return min(count for count in counts if count)


def _of_any_width(plan: Plan) -> int:
    """Return the same over all sets of columns.

    Fewest hold all that some silo holds: who holds that lacks nothing that this silo has.
    """
    lacks = [frozenset((plan.lacks or {}).get(silo, ())) for silo in plan.silos]
    return min(sum(other <= own for other in lacks) for own in lacks)
