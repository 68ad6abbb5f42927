"""Whether a plan goes with a schema."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.codec import layout_of, modelled_texts
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.families import link_names, view_domains
from silosynth.common.generator import check_central, check_votes, check_width
from silosynth.common.plan.cost import check_series
from silosynth.common.plan.methods import MEMBERS, DpSgd, Method
from silosynth.common.plan.plan import Plan
from silosynth.common.plan.training import TrainingSettings
from silosynth.common.plan.values import check_trees
from silosynth.common.schema import Schema
from silosynth.common.tables import AnySchema, TablesSchema


def check_plan(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan unless ``plan`` was made for ``schema`` and may be run on it."""
    if plan.schema_digest != schema.digest:
        raise InvalidPlan(
            f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
            hint="make the plan again with 'silosynth plan new'",
        )
    if plan.chosen.several_tables:
        raise InvalidPlan(
            f"plan {plan.id} is for several tables, and schema {schema.name!r} has one",
            hint="make a plan of another method",
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
    check_questions(plan, schema)
    check_series(plan)
    _check_lacks(plan, schema)
    chosen = plan.chosen
    if isinstance(chosen, DpSgd):
        _check_network(plan, schema, training=chosen.training)


def check_questions(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan where a plan asks of numbers or columns what the schema has not got."""
    check_trees(plan.values or {}, schema)
    if plan.projection is not None:
        check_width(plan.projection, domain=schema.domain)
    if plan.central is not None:
        check_central(plan.central, schema)
    if plan.votes is not None:
        check_votes(plan.votes, schema)


def check_any_plan(plan: Plan, schema: AnySchema) -> None:
    """Raise InvalidPlan unless ``plan`` may be run on a schema of one table, or of several."""
    if isinstance(schema, TablesSchema):
        check_tables_plan(plan, schema)
    else:
        check_plan(plan, schema)


def check_tables_plan(plan: Plan, schema: TablesSchema) -> None:
    """Raise InvalidPlan unless ``plan`` was made for several tables and may be run on them."""
    if plan.schema_digest != schema.digest:
        raise InvalidPlan(
            f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
            hint="make the plan again with 'silosynth plan new'",
        )
    if not plan.chosen.several_tables:
        raise InvalidPlan(
            f"plan {plan.id} is for one table, and schema {schema.name!r} has several",
            hint="make a plan of the method families",
        )
    if found := next(iter(schema.unvouched()), None):
        raise InvalidPlan(
            f"schema {schema.name!r}: {found} is unreviewed",
            hint="check it, then set its source to 'declared' or 'public'",
        )
    known = link_names(schema)
    if strange := sorted({*(plan.unlinked or ())}.difference(known)):
        told = f"plan {plan.id} leaves out {strange[0]!r}, which is no link of its schema"
        raise InvalidPlan(told, hint=f"known: {', '.join(map(repr, known))}")
    view_domains(schema)


def _check_lacks(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan unless every column is held, and one by all, which joins the others."""
    columns = schema.domain.attributes
    for silo, lacked in (plan.lacks or {}).items():
        if strange := sorted(set(lacked) - set(columns)):
            raise InvalidPlan(f"silo {silo} lacks {strange[0]!r}, which is no column that counts")
    for clique in [*((c,) for c in columns), *plan.workload]:
        if not plan.holders(clique, silos=plan.silos):
            raise InvalidPlan(
                f"no silo holds {' and '.join(clique)}",
                hint="take it out of the schema, or out of the workload",
            )
    if not any(len(plan.holders((c,), silos=plan.silos)) == len(plan.silos) for c in columns):
        raise InvalidPlan(
            "no column is held by all silos, so nothing joins what they hold",
            hint="leave a silo out, or have all of them hold one column at least",
        )


def check_texts(schema: Schema, *, method: Method, workload: Sequence[Clique] = ()) -> None:
    """Raise InvalidPlan where marginals are asked of a text, or a text would be lost."""
    texts = {text.name for text in schema.texts}
    asked = sorted(texts & {name for clique in workload for name in clique})
    learnt = tuple(modelled_texts(schema))
    if not asked and (not learnt or MEMBERS[method].reads_texts):
        return
    raise InvalidPlan(
        f"{(*asked, *learnt)[0]!r} is free text, which marginals cannot carry",
        hint="use the method dp-sgd or votes, or take its max_bytes out of the schema",
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
