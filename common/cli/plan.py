"""The command that holds a plan against its schema and its promise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli.console import (
    Json,
    emit,
    say,
)
from silosynth.common.plan import check_any_plan, check_budget, load_plan
from silosynth.common.tables import load_any_schema


def plan_check(
    path: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in YAML or JSON.")],
    schema: Annotated[Path, typer.Option(help="The schema that the plan is for.")],
    as_json: Json = False,
) -> None:
    """Check that a plan fits a schema and keeps what it promises.

    [dim]silosynth plan check plan.yaml --schema schema.yaml[/dim]
    """
    plan = load_plan(path)
    check_any_plan(plan, load_any_schema(schema))
    epsilon = check_budget(plan)
    say(f"{path}: plan {plan.id} costs each silo epsilon {epsilon:.4g} of {plan.privacy.epsilon:g}")
    emit({"id": plan.id, "digest": plan.digest, "epsilon": epsilon}, as_json=as_json)
