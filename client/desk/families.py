"""A plan of several tables in plain words: who a person is, what is weighed, what each phase costs.

As public facts: nothing here has looked at a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silosynth.common.families import MOST_LENGTH, NORM_BINS
from silosynth.common.plan import TABLES_PHASES, Phase, Plan, Views

Facts = Mapping[str, Any]


def families_facts(plan: Plan) -> Facts | None:
    """Return what a plan of several tables says beside its phases; None for one table."""
    return {"unlinked": list(plan.unlinked or ())} if plan.chosen.several_tables else None


def cost_share(plan: Plan, phase: Phase) -> float:
    """Return a phase's part of what the plan costs a person, by zCDP."""
    return float(plan.phase_cost(phase).rho / plan.rho)


def families_words(plan: Facts) -> tuple[str, ...]:
    """Say who a person is, and which links are left out."""
    found = plan.get("families")
    if found is None:
        return ()
    tables = f" ({', '.join(plan['tables'])})" if plan.get("tables") else ""
    left = ", ".join(f"'{name}'" for name in found["unlinked"])
    return (
        f"it is about several tables{tables}: a person is a row of the persons' table with all "
        "rows that are below it in this silo, whatever their number, and all of them together are "
        "protected and paid for once; rows below nobody here are counted nowhere",
        *((f"nothing is asked about the links {left}",) if left else ()),
    )


def person_words(plan: Facts) -> str:
    """Say what of a person the plan's promise is about."""
    if plan.get("families") is not None:
        return "with all rows below it, in all tables of this silo"
    rows = plan["rows_per_person"]
    return f"up to {rows} row{'s' * (rows > 1)}"


def families_phase(phase: Facts) -> str:
    """Say what one phase asks of families, its noise, and its part of the cost."""
    kind = TABLES_PHASES[phase["name"]]
    noise = f"noise of standard deviation {phase['noise_deviation']:.4g}"
    share = f"{phase['cost_share']:.0%} of what the plan costs"
    if kind.lengths:
        return (
            f"one histogram of {NORM_BINS} bins of how long persons' counts are, with {noise} on "
            f"every bin; a person is in one bin ({share}). From it the coordinator chooses T, the "
            "length that persons are weighed down to"
        )
    if kind.weighs:
        fineness = phase["fineness"]
        return (
            f"up to {phase['marginals']:,} marginals of all other rows, rows below rows among "
            f"them, as one: whatever rows a person has, each gets one weight of at most F = "
            f"{fineness}, by which all that the person adds is at most {fineness} T long, and "
            f"every count has {noise} T; T is a whole number up to {MOST_LENGTH:,} that the "
            f"coordinator states, and changes nothing of the cost ({share})"
        )
    what = {
        Views.PERSONS: "of the persons' table and of how many rows are below: one row a person",
        Views.FIRST: "of the first row below a person in each table, with what stands above it: "
        "one row a person and table",
    }[kind.views]
    return (
        f"up to {phase['marginals']:,} marginals {what}, with {noise} on every count; a person "
        f"moves each of them by one ({share})"
    )
