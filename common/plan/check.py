"""Whether a plan goes with a schema."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.codec.examples import layout_of, modelled_texts
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan.methods import MEMBERS, DpSgd, Method
from silosynth.common.plan.plan import Plan
from silosynth.common.plan.training import TrainingSettings
from silosynth.common.plan.values import check_trees
from silosynth.common.schema.schema import Schema


def check_plan(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan unless ``plan`` was made for ``schema`` and may be run on it."""
    if plan.schema_digest != schema.digest:
        raise InvalidPlan(
            f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
            hint="make the plan again with 'silosynth plan new'",
        )
    unreviewed = schema.unreviewed()
    if unreviewed:
        raise InvalidPlan(
            f"schema {schema.name!r}: {len(unreviewed)} attributes or rules are unreviewed, "
            f"{unreviewed[0]!r} first",
            hint="check each domain, then set its source to 'declared' or 'public'",
        )
    check_texts(schema, method=plan.method, workload=plan.workload)
    for clique in plan.workload:
        schema.domain.size(clique)
    check_trees(plan.values or {}, schema)
    chosen = plan.chosen
    if isinstance(chosen, DpSgd):
        _check_network(plan, schema, training=chosen.training)


def check_texts(schema: Schema, *, method: Method, workload: Sequence[Clique] = ()) -> None:
    """Raise InvalidPlan where marginals are asked of a text, or a text would be lost."""
    texts = {text.name for text in schema.texts}
    asked = sorted(texts & {name for clique in workload for name in clique})
    learnt = tuple(modelled_texts(schema))
    if not asked and (not learnt or MEMBERS[method].reads_texts):
        return
    raise InvalidPlan(
        f"{(*asked, *learnt)[0]!r} is free text, which marginals cannot carry",
        hint="use the method dp-sgd, or take its max_bytes out of the schema and leave it out",
    )


def _check_network(plan: Plan, schema: Schema, *, training: TrainingSettings) -> None:
    """Raise InvalidPlan or CapExceeded unless the plan counts its network's weights right."""
    exact = training.architecture.parameters(layout_of(schema))
    stated = plan.phases[-1].cells
    if exact != stated:
        raise InvalidPlan(
            f"plan {plan.id}: the network has {exact} weights, the phase training states {stated}",
            hint="make the plan again with 'silosynth plan new'",
        )
