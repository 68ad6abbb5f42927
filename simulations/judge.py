"""Evaluate a simulated run on the people whom it held out, through its silos' own gateways."""

from __future__ import annotations

from pathlib import Path

from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.plan import Plan, check_budget, check_plan, dump_plan, load_plan
from silosynth.common.schema import dump_schema, load_schema
from silosynth.server.driver import Journal
from silosynth.server.judging import Judgement, write_judgement
from silosynth.simulations.local import run_local
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.silos import SiloDirectory, alone


def simulate_evaluation(plan: Plan, *, run: Path, out: Path) -> Judgement:
    """Run a plan that evaluates on the silos of a simulated run; return what it says.

    It is charged to the same ledgers, to those who were held out. Called again with the same
    plan, it goes on where it stopped, and nothing is charged twice.

    Raises InvalidPlan, InvalidArgument or OutputExists before anything is spent.
    """
    trained = RunDirectory(path=run)
    if not trained.sampler.is_file():
        raise InvalidArgument(f"{run} is not the directory of a run that has ended")
    schema = load_schema(trained.schema)
    check_plan(plan, schema)
    check_budget(plan)
    if plan.evaluation is None:
        raise InvalidArgument(
            f"plan {plan.id} evaluates nothing", hint="make one with 'silosynth plan evaluate'"
        )
    sampler, of = trained.sampler.read_bytes(), plan.evaluation.trained
    out.mkdir(parents=True, exist_ok=True)
    place = RunDirectory(path=out)
    if place.plan.exists() and load_plan(place.plan).digest != plan.digest:
        raise OutputExists(f"{out} holds a run of another plan", hint="choose another directory")
    place.schema.write_text(dump_schema(schema), encoding="utf-8")
    place.plan.write_text(dump_plan(plan), encoding="utf-8")
    silos = [SiloDirectory(path=trained.silos / name) for name in plan.silos]
    with alone(run), Journal(out, plan_digest=plan.digest, durable=False) as journal:
        state = run_local(
            plan,
            schema,
            silos=silos,
            journal=journal,
            samplers=lambda digest: sampler if digest == of else None,
        )
    return write_judgement(state, sampler, out)
