"""The researcher's commands: run a plan on one machine, and look at what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, refuse_of_tables, say, with_flags
from silosynth.common.plan import load_plan
from silosynth.common.schema import describes_tables, load_schema
from silosynth.simulations.audit import register_audit
from silosynth.simulations.demo import demo
from silosynth.simulations.ended import localise, replicate, report, simulate_evaluation
from silosynth.simulations.families import simulate_folders
from silosynth.simulations.local import WHOLE
from silosynth.simulations.real_time import RowFlags, WorldFlags, live_in_world
from silosynth.simulations.run import Engine
from silosynth.simulations.scenario import register_scenario
from silosynth.simulations.show import (
    NamedFlags,
    progress_bars,
    remove_run,
    result_facts,
    run_with_progress,
    show_result,
)
from silosynth.simulations.tables import read_maps, read_silos


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the researcher's commands."""
    flags: dict[str, list[type]] = {
        "named": [NamedFlags],
        "rows": [RowFlags],
        "world": [WorldFlags],
    }
    app.command("simulate")(with_flags(simulate_command, flags))
    app.command("report")(report)
    app.command("replicate")(replicate)
    app.command("localise")(localise)
    app.command("demo")(demo)
    register_scenario(groups)
    register_audit(groups, run=WHOLE)


def simulate_command(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in YAML or JSON.")],
    schema: Annotated[Path, typer.Option(help="The schema that the plan is for.")],
    silos: Annotated[
        Path,
        typer.Option(
            help="A directory with one table a silo, or one table to split; of several tables one "
            "folder a silo, or one folder to split."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to keep the run: a directory.")],
    by: Annotated[
        str | None,
        typer.Option(
            help="The column to split by, when --silos is one table, or one folder of tables: then "
            "it is of the persons' table."
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Flower messages on Ray, or plain calls in one process.")
    ] = Engine.FLOWER,
    named: tuple[NamedFlags] = (NamedFlags(),),
    rows: tuple[RowFlags] = (RowFlags(),),
    world: tuple[WorldFlags] = (WorldFlags(),),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run a plan on one machine: every silo with a gateway and a ledger of its own.

    The same command goes on where it was stopped; only a run in a scenario begins anew, with
    [bold]--force[/bold]. Nothing is charged twice. What each silo's operator would be told of their
    table is printed first. A plan that evaluates asks the silos of a run: there
    [bold]--silos[/bold] is the run's directory.

    Several tables are run in one process, and the report is written too.

    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos tables/ --out run/[/dim]
    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos all.csv --by place --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema tables.yaml --silos export/ --by site --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --scenario w.yaml --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --scenario w.yaml --real-time
    --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --sweep epsilon=1,2 --out r/[/dim]
    """
    (given,), (of_rows,), (around,) = named, rows, world
    if describes_tables(schema):
        refuse_of_tables(
            checkpoint=given.checkpoint,
            generator=given.generator,
            **{f: getattr(of_rows, f) for f in ("person_column", "rows_per_person")},
            **{
                f: getattr(around, f) or None
                for f in ("scenario", "sweep", "cluster", "real_time", "otherwise")
            },
        )
        simulate_folders(
            plan,
            schema=schema,
            silos=silos,
            by=by,
            out=out,
            force=force,
            accept_misfits=of_rows.accept_misfits,
            as_json=as_json,
        )
        return
    loaded, described = load_plan(plan), load_schema(schema)
    if loaded.evaluation is not None:
        # Of a run that is there already: its silos, its ledgers, its sampler.
        from silosynth.server.judging import describe, judgement_words

        facts = describe(simulate_evaluation(loaded, run=silos, out=out))
        for line in judgement_words(facts):
            say(line)
        emit(facts, as_json=as_json)
        return
    maps = read_maps(silos)
    persons = of_rows.person_column
    tables = read_silos(silos, schema=described, by=by, person_column=persons, maps=maps)
    if around.asked:
        live_in_world(
            loaded,
            described,
            tables=tables,
            maps=maps,
            of_rows=of_rows,
            around=around,
            programs=given.programs,
            out=out,
            force=force,
            bars=progress_bars,
            as_json=as_json,
        )
        return
    if force:
        remove_run(out)
    result = run_with_progress(
        loaded,
        described,
        tables=tables,
        out=out,
        engine=engine,
        named=given,
        rows=of_rows,
        maps=maps,
    )
    show_result(result, directory=out)
    emit(result_facts(result, directory=out), as_json=as_json)
