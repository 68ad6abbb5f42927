"""Plans of several tables: ``plan new`` and ``plan show`` where the schema describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from silosynth.common.cli import say
from silosynth.common.errors import InvalidArgument
from silosynth.common.families import MOST_FINENESS
from silosynth.common.plan import OnAbsent, Plan, check_budget, check_tables_plan, trust_of
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.server.cli.plan_flags import BudgetFlags, PersonFlags, TrustFlags
from silosynth.server.methods import Flags
from silosynth.server.planning import (
    Forecast,
    LinkForecast,
    forecast_tables,
    new_tables_plan,
    words_of_links,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamiliesFlags:
    """What the command line says of several tables."""

    persons: Annotated[
        int | None,
        "Several tables: about how many persons in all, a public guess; links that do not stand "
        "above their noise are left out.",
    ] = None
    fineness: Annotated[
        int | None, "Several tables: F, how finely persons' weights are told apart; 256 without it."
    ] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Raise InvalidArgument for what is said of several tables where there is one."""
        for name, value in asdict(self).items():
            if value is not None:
                raise InvalidArgument(
                    f"--{name} is for a schema of several tables, and {schema.name!r} has one",
                    hint="leave it out",
                )
        return {}

    def choices(self) -> Mapping[str, Any]:
        """Return what was chosen; raise InvalidArgument for what cannot be."""
        if self.persons is not None and self.persons < 1:
            raise InvalidArgument("--persons must be at least 1")
        if self.fineness is not None and not 2 <= self.fineness <= MOST_FINENESS:
            raise InvalidArgument(f"--fineness must lie between 2 and {MOST_FINENESS:,}")
        return {n: v for n, v in asdict(self).items() if v is not None}


def plan_of_tables(
    schema: TablesSchema,
    *,
    budget: BudgetFlags,
    said: Sequence[Flags | FamiliesFlags],
    person: PersonFlags,
    trust: TrustFlags,
    method: str | None,
    plan_id: str | None,
) -> Plan:
    """Make a plan for a schema of several tables; raise InvalidArgument for what only one has."""
    _check_of_several(said, person=person, trust=trust, method=method)
    sharing = trust_of(
        trust.trust, colluders=trust.colluders, absent=trust.absent, attempts=trust.attempts
    )
    goes_on = person.on_absent or (OnAbsent.CONTINUE if trust.absent else OnAbsent.STOP)
    choices = next((f.choices() for f in said if isinstance(f, FamiliesFlags)), {})
    return new_tables_plan(
        schema,
        epsilon=budget.epsilon,
        delta=budget.delta,
        silos=budget.read(),
        trust=sharing,
        plan_id=plan_id,
        on_absent=goes_on.value,
        **choices,
    )


_OF_BOTH = ("on_absent",)
"""What is said of persons and silos alike for one table and for several."""


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_of_several(
    said: Sequence[Flags | FamiliesFlags],
    *,
    person: PersonFlags,
    trust: TrustFlags,
    method: str | None,
) -> None:
    of_methods = [f for f in said if not isinstance(f, FamiliesFlags) and f != type(f)()]
    of_one = [f for f in fields(person) if f.name not in _OF_BOTH]
    wrong = {
        "--method": method not in (None, "families"),
        **{_option(f.name): getattr(person, f.name) != f.default for f in of_one},
        "--rows-at-most": trust.rows_at_most is not None,
        "an option of another method": bool(of_methods),
    }
    if stated := [option for option, there in wrong.items() if there]:
        raise InvalidArgument(
            f"{stated[0]} is for a schema of one table, and this one has several",
            hint="leave it out: a person is a row of the persons' table with all rows below it",
        )


def say_plan_of_tables(
    plan: Plan, schema: TablesSchema, *, persons: int | None
) -> tuple[Forecast, tuple[LinkForecast, ...], float]:
    """Say what a plan of several tables asks, and how links stand; return what is foreseen."""
    check_tables_plan(plan, schema)
    epsilon = check_budget(plan)
    seen, links = forecast_tables(plan, schema, persons=persons)
    privacy, unlinked = plan.privacy, plan.unlinked or ()
    say(
        f"plan {plan.id}: {len(plan.silos)} silos, {plan.trust.value} noise, tables {_tree(schema)}"
    )
    say(
        f"each silo spends epsilon {epsilon:.4g} (of {privacy.epsilon:g}) at delta "
        f"{privacy.delta:g} for one person: a row of {schema.person!r} with all rows below it; "
        "rows below nobody of the same silo are counted nowhere, and a person whose rows lie in "
        "several silos is several persons"
    )
    said = words_of_links(links, unlinked=unlinked)
    if not links:
        said = (
            *(f"link '{name}' is left out" for name in unlinked),
            "add --persons, your public guess, for how links stand to their noise",
        )
    for sentence in said:
        say(sentence)
    weighed = [p.fineness for p in plan.phases if p.fineness is not None]
    if weighed:
        say(
            f"in the last phase persons are weighed (F {weighed[0]}); T is chosen in the run from "
            "the noised histogram of the phase 'lengths', and the noise here is that of a person "
            "with the usual rows"
        )
    return seen, links, epsilon


def _tree(schema: TablesSchema) -> str:
    """Say which tables there are, and whose rows each holds."""
    below = (f"{n} of {schema.tables[n].parent}" for n in schema.downward[1:])
    return ", ".join((schema.person, *below))
