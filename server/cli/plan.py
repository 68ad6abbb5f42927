"""The coordinator's commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer

from silosynth.common.cli import Force, Json, emit, say, with_flags
from silosynth.common.files import check_output, write_text
from silosynth.common.plan import (
    check_promise,
    dump_plan,
)
from silosynth.server.cli.dummy import dummy
from silosynth.server.cli.forecast import plan_show
from silosynth.server.cli.plan_flags import BudgetFlags, PersonFlags, TermFlags, TrustFlags
from silosynth.server.cli.plans.drift import register_repeated
from silosynth.server.cli.plans.planned import METHOD_FLAGS, make_plan, notes_on
from silosynth.server.cli.replicate import register_replicate
from silosynth.server.cli.report import register_report
from silosynth.server.cli.roster import register_roster
from silosynth.server.cli.service import register_service
from silosynth.server.cli.setup import admit, nodes, register_certs
from silosynth.server.federation import load_roster, with_roster
from silosynth.server.methods import METHODS, Flags


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the coordinator's commands."""
    flags: dict[str, Sequence[type]] = {
        "budget": (BudgetFlags,),
        "said": METHOD_FLAGS,
        "person": (PersonFlags,),
        "trust": (TrustFlags,),
        "terms": (TermFlags,),
    }
    groups["plan"].command("new")(with_flags(plan_new, flags))
    groups["plan"].command("show")(plan_show)
    register_service(app)
    register_report(app, groups)
    register_replicate(app)
    register_roster(app, groups)
    register_repeated(app, groups)
    register_certs(groups)
    app.command("dummy")(dummy)
    app.command("admit")(admit)
    app.command("nodes")(nodes)


def plan_new(
    schema: Annotated[Path, typer.Argument(help="The schema of the silos' tables.")],
    budget: tuple[BudgetFlags],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    method: Annotated[
        str | None,
        typer.Option(
            click_type=click.Choice([m.value for m in METHODS]),
            help="What is measured or trained; without it, what suits the schema.",
        ),
    ] = None,
    *,
    said: Sequence[Flags],
    person: tuple[PersonFlags],
    trust: tuple[TrustFlags],
    terms: tuple[TermFlags],
    plan_id: Annotated[str | None, typer.Option("--id", help="A name of your own.")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="The silos' public keys; a federation needs them.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a plan from a budget: how many marginals, and how much noise each.

    [dim]silosynth plan new schema.yaml --epsilon 1 --delta 1e-6 --silos a,b --out plan.yaml[/dim]
    """
    check_output(out, force=force)
    promise = budget[0]
    check_promise(epsilon=promise.epsilon, delta=promise.delta)
    described, plan = make_plan(
        schema,
        budget=promise,
        said=said,
        person=person[0],
        trust=trust[0],
        method=method,
        plan_id=plan_id,
    )
    plan = terms[0].apply(plan)
    if roster is not None:
        plan = with_roster(plan, load_roster(roster))
    write_text(out, dump_plan(plan), force=force)
    say(f"wrote {out}: plan {plan.id}, {len(plan.silos)} silos, epsilon {promise.epsilon:g}")
    notes = notes_on(
        described,
        plan,
        chosen=method is not None,
        bounded=trust[0].rows_at_most is not None,
    )
    for note in notes:
        say(note)
    say(f"next: silosynth plan show {out} --schema {schema}")
    emit(
        {
            "path": str(out),
            "id": plan.id,
            "digest": plan.digest,
            "method": plan.method.value,
            "remarks": list(notes),
        },
        as_json=as_json,
    )
