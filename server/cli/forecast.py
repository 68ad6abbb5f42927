"""What a plan will spend, ask and reach: ``plan show``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.certificate import certify_plan, trust_words
from silosynth.common.cli import Json, emit, say, show_table
from silosynth.common.plan import (
    PhaseName,
    Plan,
    check_budget,
    check_plan,
    lack_words,
    load_plan,
)
from silosynth.common.tables import TablesSchema, load_any_schema
from silosynth.server.cli.plans.several import say_plan_of_tables
from silosynth.server.methods import describe_plan
from silosynth.server.planning import Forecast, remarks, what_helps
from silosynth.server.planning.forecast import forecast


def plan_show(
    path: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in YAML or JSON.")],
    schema: Annotated[Path, typer.Option(help="The schema that the plan is for.")],
    rows: Annotated[
        int | None, typer.Option(min=1, help="About how many rows in all: your public guess.")
    ] = None,
    persons: Annotated[
        int | None,
        typer.Option(min=1, help="Several tables: about how many persons in all, your guess."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a plan will spend, ask and reach. Nothing is spent by looking.

    [dim]silosynth plan show plan.yaml --schema schema.yaml --rows 20000[/dim]
    """
    plan, described = load_plan(path), load_any_schema(schema)
    if isinstance(described, TablesSchema):
        _show_tables(plan, described, persons=persons or rows, as_json=as_json)
        return
    check_plan(plan, described)
    epsilon = check_budget(plan)
    seen = forecast(plan, described, rows=rows)
    privacy = plan.privacy
    say(
        f"plan {plan.id}: {len(plan.silos)} silos, method {plan.method.value}, "
        f"{plan.trust.value} noise"
    )
    say(
        f"each silo spends epsilon {epsilon:.4g} (of {privacy.epsilon:g}) at delta "
        f"{privacy.delta:g} for one {privacy.unit}, at most {privacy.rows_per_person} rows a person"
    )
    if plan.masked:
        for sentence in trust_words(certify_plan(plan)):
            say(sentence)
    for sentence in (*lack_words(plan), *_value_words(plan), *describe_plan(plan)):
        say(sentence)
    helps = what_helps(plan, described, rows=rows) if rows is not None else ()
    for note in (*remarks(described, method=plan.method), *helps):
        say(note)
    _show_phases(seen)
    _show_cells(seen, largest=rows is None)
    emit(
        {**_facts(plan, seen, epsilon=epsilon), "helps": list(helps)},
        as_json=as_json,
    )


def _facts(plan: Plan, seen: Forecast, *, epsilon: float) -> dict[str, object]:
    """Return what a script wants to know of a plan."""
    return {
        "id": plan.id,
        "digest": plan.digest,
        "epsilon": epsilon,
        "delta": plan.privacy.delta,
        "forecast": asdict(seen),
    }


def _value_words(plan: Plan) -> Iterator[str]:
    """Say of which numbers values are looked at, and how finely."""
    trees = plan.values or {}
    if trees:
        cells = sum(tree.leaves.cells for tree in trees.values())
        joined = [name for name, tree in trees.items() if tree.digits()]
        more = f"; {len(joined)} of them once more where many rows are" if joined else ""
        yield f"values of {len(trees)} numbers are looked at in {cells:,} cells{more}"
    shown = {name: " and ".join(tree.shown) for name, tree in trees.items() if tree.shown}
    if shown:
        told = ", ".join(f"{units} of {name!r}" for name, units in shown.items())
        yield f"counted by the clock too: {told}"


def _show_tables(plan: Plan, schema: TablesSchema, *, persons: int | None, as_json: bool) -> None:
    """Show a plan of several tables."""
    seen, links, epsilon = say_plan_of_tables(plan, schema, persons=persons)
    _show_phases(seen)
    say(f"{seen.messages} messages; noise is the deviation of one cell, summed over the silos")
    facts = _facts(plan, seen, epsilon=epsilon)
    told = [{**asdict(link), "stands": link.stands} for link in links]
    emit({**facts, "unlinked": list(plan.unlinked or ()), "links": told}, as_json=as_json)


def _show_phases(seen: Forecast) -> None:
    """Show how the budget is split, and what it buys."""
    header = ("phase", "budget", "marginals", "cells", "largest", "message", "noise", "distance")
    rows = [
        (
            p.name.value,
            f"{p.rho_share:.0%}",
            str(p.marginals),
            f"{p.cells:,}",
            f"{p.largest_cells:,}",
            _size(p.message_bytes),
            f"± {p.noise:,.1f} rows" if p.name is not PhaseName.TRAINING else "-",
            "-" if p.distance is None else f"{p.distance:.3f}",
        )
        for p in seen.phases
    ]
    show_table("phases (cells and messages are upper bounds)", header, rows)


def _show_cells(seen: Forecast, *, largest: bool) -> None:
    """Show messages, memory, time, and what the numbers mean."""
    say(f"{seen.messages} messages; the model takes at most {_size(seen.model_bytes)}")
    if seen.seconds is not None:
        say(f"a simulation on two cores takes about {seen.seconds:.0f} s")
    say("noise is the standard deviation of one cell, summed over the silos")
    if largest:
        say("add --rows for the expected time and distance")
    else:
        say("distance is what the noise alone adds to a measured marginal, before fitting")


def _size(count: int) -> str:
    """Spell a number of bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
