"""The researcher's commands: run a plan on one machine, and look at what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, refuse_of_tables, say, with_flags
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import load_plan
from silosynth.common.schema import describes_tables, load_schema
from silosynth.simulations.audit import register_audit
from silosynth.simulations.demo import demo
from silosynth.simulations.ended import localise, replicate, report, simulate_evaluation
from silosynth.simulations.families import simulate_folders
from silosynth.simulations.local import run_whole
from silosynth.simulations.real_time import Once
from silosynth.simulations.run import Engine
from silosynth.simulations.scenario import RowsOf, register_scenario, simulate_scenario
from silosynth.simulations.show import (
    progress_bars,
    remove_run,
    result_facts,
    run_with_progress,
    show_result,
)
from silosynth.simulations.sweep import simulate_sweep
from silosynth.simulations.tables import read_maps, read_silos


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFlags:
    """What a simulation says of its silos' rows."""

    person_column: Annotated[
        str | None,
        typer.Option(
            help="The column that names persons, as in a policy; each row is one without."
        ),
    ] = None
    rows_per_person: Annotated[
        int | None,
        typer.Option(min=1, help="The most rows of a person that count; the plan's by default."),
    ] = None
    accept_misfits: Annotated[
        bool,
        typer.Option(
            "--anyway", "--accept-misfits", help="Go on where hardly anything of a column fits."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFlags:
    """What a simulation says of the world that it runs in, and what of it varies."""

    scenario: Annotated[
        Path | None,
        typer.Option(help="A world to run in, by a virtual clock: delays, outages, people, rules."),
    ] = None
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time",
            help="With --scenario: over Flower, with a SuperLink and each silo's line, relay and "
            "gateway as processes, by the clock on the wall.",
        ),
    ] = False
    otherwise: Annotated[
        bool,
        typer.Option(
            "--otherwise",
            help="With --scenario: live through it again with each deadline, on_absent, absent and "
            "attempts otherwise, and show what they bought.",
        ),
    ] = False
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="Vary silos, skew.COLUMN, epsilon, trust, absent or delay: epsilon=0.5,1,2. "
            "Once or twice."
        ),
    ] = None
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each point of a sweep.")] = 1
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Run a sweep, or place the silos of --real-time, on a Ray cluster: HOST:PORT, or "
            "'local'; on this machine without it."
        ),
    ] = None


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the researcher's commands."""
    flags: dict[str, list[type]] = {"rows": [RowFlags], "world": [WorldFlags]}
    app.command("simulate")(with_flags(simulate_command, flags))
    app.command("report")(report)
    app.command("replicate")(replicate)
    app.command("localise")(localise)
    app.command("demo")(demo)
    register_scenario(groups)
    register_audit(groups, run=run_whole)


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
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The folder of the pretrained checkpoint that the plan names, if any."),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Flower messages on Ray, or plain calls in one process.")
    ] = Engine.FLOWER,
    rows: tuple[RowFlags] = (RowFlags(),),
    world: tuple[WorldFlags] = (WorldFlags(),),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run a plan on one machine: every silo with a gateway and a ledger of its own.

    The same command goes on where it was stopped. Nothing is charged twice. What each silo's
    operator would be told of their table is printed first. A plan that evaluates asks the silos of
    a run: there [bold]--silos[/bold] is the run's directory.

    Several tables are run in one process, and the report is written too.

    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos tables/ --out run/[/dim]
    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos all.csv --by place --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema tables.yaml --silos export/ --by site --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --scenario w.yaml --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --scenario w.yaml --real-time
    --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --sweep epsilon=1,2 --out r/[/dim]
    """
    (of_rows,), (around,) = rows, world
    if describes_tables(schema):
        refuse_of_tables(
            checkpoint=checkpoint,
            **{f: getattr(of_rows, f) for f in ("person_column", "rows_per_person")},
            **{
                f: getattr(around, f) or None for f in ("scenario", "sweep", "cluster", "real_time")
            },
        )
        simulate_folders(
            plan, schema=schema, silos=silos, by=by, out=out, force=force, as_json=as_json
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
    _check_world(around)
    if around.sweep:
        _refuse_options(checkpoint, persons, of_rows.rows_per_person, maps or None)
        simulate_sweep(
            loaded,
            described,
            tables=tables,
            asked=around.sweep,
            scenario=around.scenario,
            out=out,
            repeats=around.repeat,
            cluster=around.cluster,
            force=force,
            as_json=as_json,
        )
        return
    if around.scenario is not None:
        _refuse_options(checkpoint)
        lives = _lives(around)
        with progress_bars() as progress:
            simulate_scenario(
                loaded,
                described,
                tables=tables,
                scenario=around.scenario,
                rows=RowsOf(
                    maps=maps,
                    person_column=persons,
                    rows_per_person=of_rows.rows_per_person,
                ),
                otherwise=around.otherwise,
                lives=lives,
                out=out,
                force=force,
                progress=progress,
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
        checkpoint=checkpoint,
        person_column=persons,
        rows_per_person=of_rows.rows_per_person,
        accept_misfits=of_rows.accept_misfits,
        maps=maps,
    )
    show_result(result, directory=out)
    emit(result_facts(result, directory=out), as_json=as_json)


def _check_world(around: WorldFlags) -> None:
    """Raise InvalidArgument for flags of a world that do not go together."""
    if around.real_time and (around.scenario is None or around.sweep or around.otherwise):
        raise InvalidArgument(
            "--real-time goes with --scenario alone",
            hint="a sweep and --otherwise live through many runs, by the virtual clock",
        )


def _lives(around: WorldFlags) -> Once | None:
    """Return what lives through a scenario by the clock on the wall, where that is asked for."""
    return Once(cluster=around.cluster, tell=say) if around.real_time else None


def _refuse_options(*options: object) -> None:
    """Raise InvalidArgument for what a scenario cannot do."""
    if any(option is not None for option in options):
        raise InvalidArgument(
            "a scenario takes no checkpoint, and a sweep no checkpoint, no persons and no maps",
            hint="leave these options out",
        )
