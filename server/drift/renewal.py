"""Plan what is measured again: every column, and the pairs where it is worth its noise."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from silosynth.common.certificate import certify_plan
from silosynth.common.digest import digest_of
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Method, PhaseName, Plan, Renewal, parse_plan
from silosynth.common.sampler import Sampler, parse_sampler
from silosynth.common.schema import Schema
from silosynth.server.drift.choice import Candidate, choose_pairs
from silosynth.server.judging import KEPT, refuse_lacks
from silosynth.server.planning import new_plan


def plan_renewal(
    trained: Plan,
    schema: Schema,
    sampler: bytes,
    *,
    moved: Mapping[tuple[str, str], float] | None = None,
    weak: Sequence[Candidate] = (),
    epsilon: float,
    delta: float | None = None,
    plan_id: str | None = None,
) -> Plan:
    """Return the plan that measures some pairs, and takes the rest from the last sampler.

    Numbers keep the bins of that sampler, and nothing is spent on where their values lie.

    Args:
        moved: by pair that moved, what share of the people did; None where nobody looked.
        weak: what the last run's releases say that its sampler leaves out.

    Raises InvalidPlan where nothing moved, for a sampler that nothing can be taken from, and for
    silos that lack columns.
    """
    if moved is not None and not moved:
        raise InvalidPlan(
            "nothing moved, so there is nothing to measure again", hint="keep the sampler"
        )
    refuse_lacks(trained)
    last = parse_sampler(sampler)
    if last.schema.digest != trained.schema_digest or schema.digest != trained.schema_digest:
        raise InvalidPlan(f"the sampler is of another schema than plan {trained.id}")
    if last.plan_digest != trained.digest:
        raise InvalidPlan("the sampler is of another plan than the run's")
    if not isinstance(last, Sampler):
        raise InvalidPlan(
            "nothing can be taken over from a generator or a mixture", hint="run a whole epoch"
        )

    def planned(pairs: Sequence[Clique]) -> Plan:
        return new_plan(
            schema,
            epsilon=epsilon,
            delta=delta or trained.privacy.delta,
            silos=trained.silos,
            rows_per_person=trained.privacy.rows_per_person,
            unit=trained.privacy.unit,
            on_absent=trained.on_absent,
            plan_id=plan_id or f"{trained.id[:47]}-renew-{secrets.token_hex(4)}",
            **_asked(trained, pairs, columns=len(schema.domain.attributes)),
        )

    alone = certify_plan(planned(())).cell_noise[PhaseName.ONE_WAY]
    people = float(max(last.total, 1))
    pairs = choose_pairs(
        last,
        moved={pair: 2 * share * people for pair, share in (moved or {}).items()},
        weak=weak,
        deviation=math.sqrt(alone / len(schema.domain.attributes)),
    )
    renews = Renewal(trained=trained.digest, sampler=digest_of(sampler))
    # Whom the last run left alone is left alone, so that the new sampler is judged on them too.
    kept = trained.model_dump(mode="json", include={*KEPT, "held_out"})
    stated = planned(pairs).model_dump(mode="json") | kept
    return parse_plan(stated | {"renews": renews.model_dump()})


def _asked(trained: Plan, pairs: Sequence[Clique], *, columns: int) -> dict[str, Any]:
    """Return how columns and pairs are asked: each marginal with the same noise."""
    terms: dict[str, Any] = {
        name: getattr(trained, name) for name in ("trust", "colluders", "absent", "attempts")
    }
    terms |= {"bins_known": True, "method": Method.INDEPENDENT}
    if pairs:
        terms |= {"method": Method.FIXED, "workload": tuple(pairs)}
        terms |= {"alone": Fraction(columns, columns + len(pairs))}
    return terms
