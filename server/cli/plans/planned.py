"""What ``plan new`` makes of its options: a plan of one table, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from silosynth.common.cli import say
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.common.tables import AnySchema, TablesSchema, load_any_schema
from silosynth.server.cli.plan_flags import BudgetFlags, PersonFlags, TrustFlags, read_lacks
from silosynth.server.cli.plans.several import FamiliesFlags, plan_of_tables
from silosynth.server.methods import METHODS, Flags
from silosynth.server.planning import new_plan, reason_for, remarks, rows_that_crowd

METHOD_FLAGS = (
    *(recipe.flags for recipe in METHODS.values() if recipe.flags is not None),
    FamiliesFlags,
)


def make_plan(path: Path, **asked: Any) -> tuple[AnySchema, Plan]:
    """Return the schema of a file, and the plan for it: see the two functions that make one."""
    schema = load_any_schema(path)
    if isinstance(schema, TablesSchema):
        return schema, plan_of_tables(schema, **asked)
    return schema, plan_of_table(schema, **asked)


def plan_of_table(
    schema: Schema,
    *,
    budget: BudgetFlags,
    said: Sequence[Flags | FamiliesFlags],
    person: PersonFlags,
    trust: TrustFlags,
    method: str | None,
    plan_id: str | None,
) -> Plan:
    """Make a plan for a schema of one table."""
    choices: dict[str, Any] = {}
    for flags in said:
        choices |= flags.read(schema)
    return new_plan(
        schema,
        epsilon=budget.epsilon,
        delta=budget.delta,
        silos=budget.read(),
        method=method,
        plan_id=plan_id,
        **(asdict(person) | {"lacks": read_lacks(person.lacks)}),
        **asdict(trust),
        **choices,
    )


_FEW_ROWS = 1_000
"""Up to so many rows single columns of a sparing schema never ask for more of a budget."""


def notes_on(schema: AnySchema, plan: Plan, *, chosen: bool, bounded: bool) -> tuple[str, ...]:
    """Return what is to be known of a plan at once: what it leaves out, and what suits better.

    Args: bounded: whether a public bound on the rows was given.
    """
    if isinstance(schema, TablesSchema):
        unlinked = plan.unlinked or ()
        return tuple(f"link '{n}' does not stand above its noise; left out" for n in unlinked)
    if not chosen and not plan.workload:
        say(f"method {plan.method.value}: {reason_for(schema, plan.method)}")
    few = 0 if bounded else rows_that_crowd(plan, schema)
    hint = (
        f"if fewer than about {_two_digits(few):,} rows are in all silos together, --rows-at-most "
        "makes the result better: a number that their rows are surely below, which becomes public; "
        "take it from what is public already, and never from a count of rows",
    )
    return (*remarks(schema, method=plan.method), *(hint if few >= _FEW_ROWS else ()))


def _two_digits(number: int) -> int:
    """Return a number to two digits, rounded down."""
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return number // unit * unit
