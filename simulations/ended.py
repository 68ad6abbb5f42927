"""A run that has ended: its report, replicates of it, and its evaluation by those held out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, GateFile, Json, emit, keep_no_memory, say
from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.forest import is_forest
from silosynth.common.plan import Plan, check_budget, check_plan, dump_plan, load_plan
from silosynth.common.schema import dump_schema, load_schema
from silosynth.server.cli import (
    COUNT,
    SEED,
    Count,
    Evaluation,
    Out,
    Seed,
    Shown,
    Silos,
    hand_over,
    localise_run,
    put_report,
    replicate_run,
    write_local,
    write_replicates,
    write_run_report,
)
from silosynth.server.driver import Journal
from silosynth.server.judging import Judgement, write_judgement
from silosynth.simulations.families import report_run
from silosynth.simulations.local import run_local
from silosynth.simulations.run import reopen, replay_ended
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.silos import SiloDirectory, alone


def report(
    directory: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A simulation's directory, or a federation's run id."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; the run's directory by default.")
    ] = None,
    evaluation: Evaluation = None,
    gate: GateFile = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows that are compared.")] = 1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where the run's pretrained checkpoint lies, if it was moved."),
    ] = None,
    released_only: Annotated[
        bool,
        typer.Option("--released-only", help="Use released measurements alone, no real row."),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the report of a run: an HTML page that opens offline, and the same facts as JSON.

    In a simulation it compares with the real rows and says so. With [bold]--released-only[/bold]
    it is made as in a federation, where nobody holds them.

    With [bold]--evaluation[/bold] it says what the people held out said of the sampler.

    [dim]silosynth report run/[/dim]
    [dim]silosynth report run/ --evaluation evaluated/[/dim]
    [dim]silosynth report people-20260301-120000-1a2b --evaluation EVAL_RUN[/dim]
    """
    shown = Shown(evaluation=evaluation, gate=gate, seed=seed)
    if not directory.exists():
        hand_over(
            write_run_report(str(directory), shown=shown, out=out, force=force), as_json=as_json
        )
        return
    bars = shown.bars(directory)
    keep_no_memory()
    if is_forest(RunDirectory(path=directory).sampler):
        if evaluation is not None:
            raise InvalidArgument("several tables hold nobody out", hint="leave --evaluation out")
        report_run(
            directory,
            out=out,
            seed=seed,
            released_only=released_only,
            force=force,
            as_json=as_json,
        )
        return
    # What compares tables takes two seconds to import, which every command would wait for.
    from silosynth.simulations.run_report import report_facts

    result = reopen(directory, checkpoint=checkpoint)
    facts = report_facts(
        result, directory=directory, seed=seed, released_only=released_only, tell=say
    )
    facts = shown.added(facts, run=directory)
    hand_over(put_report(facts, out or directory, bars=bars, force=force), as_json=as_json)


def replicate(
    directory: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's directory, or a coordinator's run id.")
    ],
    count: Count = COUNT,
    seed: Seed = SEED,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make replicates of a run beside its sampler, so that estimates have intervals.

    Each is a sampler that the run might have come to with other noise and other people. They are
    made from what was released: nothing is asked and nothing is spent.

    [dim]silosynth replicate run/[/dim]
    [dim]silosynth replicate people-20260301-120000-1a2b[/dim]
    """
    if not directory.exists():
        made = replicate_run(str(directory), count=count, seed=seed, force=force)
    else:
        ended = reopen(directory)
        made = write_replicates(
            ended.state,
            ended.outcome,
            sampler=RunDirectory(path=directory).sampler,
            count=count,
            seed=seed,
            force=force,
        )
    emit(made, as_json=as_json)


def localise(
    directory: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's directory, or a coordinator's run id.")
    ],
    silo: Silos = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a sampler for each silo beside the one for all, from what was released.

    Only of plans with own noise, where each silo's release was seen. Nothing is asked and nothing
    is spent: whoever sees one of these learns no more than the coordinator does.

    [dim]silosynth localise run/ --out local/[/dim]
    [dim]silosynth localise people-20260301-120000-1a2b --silo north[/dim]
    """
    if not directory.exists():
        made = localise_run(str(directory), silos=silo, out=out, force=force)
    else:
        state, folder = replay_ended(directory), out or directory / "local"
        made = write_local(state, silos=silo, folder=folder, force=force)
    emit(made, as_json=as_json)


def simulate_evaluation(plan: Plan, *, run: Path, out: Path, times: int = 1) -> Judgement:
    """Run a plan that evaluates on the silos of a simulated run; return what it says.

    It is charged to the same ledgers, to those who were held out. Called again with the same
    plan, it goes on where it stopped, and nothing is charged twice.

    Args: times: how many evaluations of this cost the silos' budgets have room for.
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
            times=times,
        )
    return write_judgement(state, sampler, out)
