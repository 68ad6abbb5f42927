"""The last sampler as a public candidate: what a run that renews it takes over.

It was handed out, so whatever is made of it costs nothing. It belongs to the state from the start,
so whatever reads a run reads what it renewed, or is told in one line that it is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Plan
from silosynth.common.sampler import Sampler, parse_sampler
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.common.values import keeps_bins, refine
from silosynth.server.measuring import Carried, carry, weigh_columns
from silosynth.server.values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What a run takes over: counts, and how the values of numbers lie in their codes, if known."""

    carried: Carried = field(default_factory=Carried)
    values: Values | None = None

    def columns(self, one_way: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """Return 1-ways of now with those of then in them; as they are where nothing is renewed."""
        return weigh_columns(one_way, self.carried)


def take_last(plan: Plan, schema: Schema | TablesSchema, sampler: bytes | None) -> Renewed:
    """Return what a plan takes over from the last sampler; nothing where it renews none.

    Codes stay as they were: numbers keep the bins that its run chose, so that counts of then and
    of now are of the same cells.

    Raises RunFailed without that sampler, InvalidPlan for one that nothing can be taken from.
    """
    if plan.renews is None:
        return Renewed()
    if sampler is None or digest_of(sampler) != plan.renews.sampler:
        raise RunFailed(
            f"plan {plan.id} takes over from a sampler that is not here",
            hint="do it where the last run was made, or put its sampler beside this run's journal",
        )
    last = parse_sampler(sampler)
    if (
        not isinstance(last, Sampler)
        or not isinstance(schema, Schema)
        or last.schema.digest != plan.schema_digest
    ):
        raise InvalidPlan("the last sampler is of another schema, or no model of marginals")
    carried = carry(last, pairs=[c for c in plan.workload if len(c) == 2])
    return Renewed(carried=carried, values=_values(last, schema))


def _values(last: Sampler, schema: Schema) -> Values | None:
    """Return the bins that a sampler's numbers have, and how values lie in them."""
    if not last.spreads:
        return None
    kept = keeps_bins(schema)
    edges = {name: s.edges for name, s in last.spreads.items() if name not in kept}
    return Values(schema=refine(schema, edges=edges), edges=edges, spreads=dict(last.spreads))
