"""Plan what is measured again after drift: the pairs that moved, and every column by itself."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from silosynth.common.digest import digest_of
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Method, Plan, Renewal, parse_plan
from silosynth.common.sampler import Sampler, parse_sampler
from silosynth.common.schema import Schema
from silosynth.server.judging import KEPT
from silosynth.server.planning import new_plan


def plan_renewal(
    trained: Plan,
    schema: Schema,
    sampler: bytes,
    *,
    moved: Sequence[Clique],
    epsilon: float,
    delta: float | None = None,
    plan_id: str | None = None,
) -> Plan:
    """Return the plan that measures pairs that moved, and takes the rest from the last sampler.

    Raises InvalidPlan where nothing moved, and for a sampler that nothing can be taken from.
    """
    if not moved:
        raise InvalidPlan(
            "nothing moved, so there is nothing to measure again", hint="keep the sampler"
        )
    last = parse_sampler(sampler)
    if last.schema.digest != trained.schema_digest or schema.digest != trained.schema_digest:
        raise InvalidPlan(f"the sampler is of another schema than plan {trained.id}")
    if last.plan_digest != trained.digest:
        raise InvalidPlan("the sampler is of another plan than the run's")
    if not isinstance(last, Sampler) or last.spreads:
        raise InvalidPlan(
            "nothing can be taken over from a generator, a mixture, or a sampler whose numbers "
            "have bins that its run chose",
            hint="run a whole epoch",
        )
    sharing = {name: getattr(trained, name) for name in ("trust", "colluders", "absent")}
    fresh = new_plan(
        schema,
        epsilon=epsilon,
        delta=delta or trained.privacy.delta,
        silos=trained.silos,
        method=Method.FIXED,
        workload=tuple(tuple(pair) for pair in moved),
        rows_per_person=trained.privacy.rows_per_person,
        unit=trained.privacy.unit,
        attempts=trained.attempts,
        on_absent=trained.on_absent,
        plan_id=plan_id or f"{trained.id[:47]}-renew-{secrets.token_hex(4)}",
        **sharing,
    )
    if fresh.values:
        raise InvalidPlan(
            "numbers of this schema have bins that each run chooses", hint="run a whole epoch"
        )
    renews = Renewal(trained=trained.digest, sampler=digest_of(sampler))
    kept = trained.model_dump(mode="json", include=set(KEPT))
    return parse_plan(fresh.model_dump(mode="json") | kept | {"renews": renews.model_dump()})
