"""The researcher's commands: run a plan on one machine, and look at what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say, show_table, with_flags
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import load_plan
from silosynth.common.report import ReportFacts, ScoreName, write_report
from silosynth.common.schema import load_schema
from silosynth.server.cli import replicate_run, write_replicates, write_run_report
from silosynth.simulations.audit import register_audit
from silosynth.simulations.run import Engine, RunDirectory, reopen
from silosynth.simulations.scenario import register_scenario, simulate_scenario
from silosynth.simulations.show import (
    progress_bars,
    remove_run,
    result_facts,
    run_with_progress,
    show_paths,
    show_result,
)
from silosynth.simulations.sweep import simulate_sweep
from silosynth.simulations.tables import read_maps, read_silos
from silosynth.simulations.whole import run_whole

if TYPE_CHECKING:
    from silosynth.simulations.demo_digits import Recognised

_SEED = 1


class DemoData(StrEnum):
    """What the demonstration is about."""

    INSURERS = "insurers"
    DIGITS = "digits"


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
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="Vary silos, skew.COLUMN, epsilon, trust, absent or delay: epsilon=0.5,1,2. "
            "Once or twice."
        ),
    ] = None
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each point of a sweep.")] = 1


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the researcher's commands."""
    flags: dict[str, list[type]] = {"rows": [RowFlags], "world": [WorldFlags]}
    app.command("simulate")(with_flags(simulate_command, flags))
    app.command("report")(report)
    app.command("replicate")(replicate)
    app.command("demo")(demo)
    register_scenario(groups)
    register_audit(groups, run=run_whole)


def simulate_command(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in YAML or JSON.")],
    schema: Annotated[Path, typer.Option(help="The schema that the plan is for.")],
    silos: Annotated[
        Path, typer.Option(help="A directory with one table a silo, or one table to split.")
    ],
    out: Annotated[Path, typer.Option(help="Where to keep the run: a directory.")],
    by: Annotated[
        str | None, typer.Option(help="The column to split by, when --silos is one table.")
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
    operator would be told of their table is printed first.

    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos tables/ --out run/[/dim]
    [dim]silosynth simulate plan.yaml --schema schema.yaml --silos all.csv --by place --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --scenario w.yaml --out r/[/dim]
    [dim]silosynth simulate plan.yaml --schema s.yaml --silos t/ --sweep epsilon=1,2 --out r/[/dim]
    """
    (of_rows,), (around,) = rows, world
    loaded, described = load_plan(plan), load_schema(schema)
    maps = read_maps(silos)
    persons = of_rows.person_column
    tables = read_silos(silos, schema=described, by=by, person_column=persons, maps=maps)
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
            force=force,
            as_json=as_json,
        )
        return
    if around.scenario is not None:
        _refuse_options(checkpoint, persons, of_rows.rows_per_person, maps or None)
        with progress_bars() as progress:
            simulate_scenario(
                loaded,
                described,
                tables=tables,
                scenario=around.scenario,
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


def _refuse_options(*options: object) -> None:
    """Raise InvalidArgument for what a scenario cannot do."""
    if any(option is not None for option in options):
        raise InvalidArgument(
            "a scenario or a sweep takes no checkpoint, no persons and no maps",
            hint="leave these options out",
        )


def report(
    directory: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A simulation's directory, or a federation's run id."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; the run's directory by default.")
    ] = None,
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

    [dim]silosynth report run/[/dim]
    [dim]silosynth report people-20260301-120000-1a2b[/dim]
    """
    if not directory.exists():
        written = write_run_report(str(directory), out=out, seed=seed, force=force)
        emit(written, as_json=as_json)
        return
    # What compares tables takes two seconds to import, which every command would wait for.
    from silosynth.simulations.run_report import report_facts

    result = reopen(directory, checkpoint=checkpoint)
    facts = report_facts(
        result, directory=directory, seed=seed, released_only=released_only, tell=say
    )
    page, data = write_report(facts, out or directory, force=force)
    say(f"wrote {page} and {data}")
    emit({"html": str(page), "json": str(data)}, as_json=as_json)


def replicate(
    directory: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's directory, or a coordinator's run id.")
    ],
    count: Annotated[int, typer.Option(min=2, max=200, help="How many; 20 do for 95 %.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same.")] = 1,
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
        made = write_replicates(
            reopen(directory).state,
            sampler=RunDirectory(path=directory).sampler,
            count=count,
            seed=seed,
            force=force,
        )
    emit(made, as_json=as_json)


def demo(
    data: Annotated[
        DemoData,
        typer.Option(help="A table of five insurers, or images that three offices hold."),
    ] = DemoData.INSURERS,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to keep the run: a directory; demo-out, or demo-digits."),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Flower messages on Ray, or plain calls in one process.")
    ] = Engine.FLOWER,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run the whole job on five insurers: the RAND Health Insurance Experiment, split by plan.

    With [bold]--data digits[/bold] on handwritten digits; needs scikit-learn and PyTorch.

    [dim]silosynth demo --out demo-out[/dim]
    [dim]silosynth demo --data digits[/dim]
    """
    from silosynth.simulations.demo_digits import (
        digits_plan,
        digits_schema,
        digits_silos,
        recognise,
        require_digits,
    )
    from silosynth.simulations.demo_insurers import demo_plan, demo_schema, demo_silos
    from silosynth.simulations.demo_results import write_demo

    digits = data is DemoData.DIGITS
    if digits:
        require_digits()
    out = out or Path("demo-digits" if digits else "demo-out")
    if force:
        remove_run(out)
    if digits:
        schema, tables, plan = digits_schema(), digits_silos(), digits_plan(out)
        say(f"{len(tables)} offices hold {schema.description}; no image leaves its office")
    else:
        schema, tables, plan = demo_schema(), demo_silos(), demo_plan(out)
        say(f"{len(tables)} insurers hold {schema.description}; no row leaves its insurer")
    result = run_with_progress(plan, schema, tables=tables, out=out, engine=engine)
    say("drawing rows and comparing them with the real ones, which only a simulation can do")
    written = write_demo(result, directory=out)
    show_scores(written.facts)
    more: dict[str, object] = {}
    if digits:
        found = recognise(result.sampler, seed=_SEED)
        show_recognised(found)
        more = {"accuracy": found.synthetic, "accuracy_real": found.real}
    show_paths(written.paths)
    paths = {name: str(path) for name, path in written.paths.items()}
    emit(result_facts(result, directory=out) | {"paths": paths} | more, as_json=as_json)


def show_recognised(found: Recognised) -> None:
    """Say what synthetic images taught a classifier, beside what real ones do."""
    say(
        f"a classifier that learnt from synthetic images names {found.synthetic:.0%} of "
        f"{found.images} real ones right that no office holds ({found.real:.0%} from real ones)"
    )


def show_scores(facts: ReportFacts) -> None:
    """Show the distances of a report beside their ceiling and floor."""
    if facts.certificate is not None:
        epsilon, delta = facts.certificate.epsilon, facts.certificate.delta
        say(f"epsilon {epsilon:.3g} at delta {delta:g}, for each silo")
    rows = [
        (f"{s.ways}-way", f"{s.ceiling:.4f}", f"{s.value:.4f}", f"{s.floor:.4f}")
        for s in facts.scores
        if s.name is ScoreName.MARGINAL_DISTANCE
    ]
    header = ("mean distance", "bootstrap of the real rows", "synthetic", "independent columns")
    show_table("0 is the same table, 1 another world", header, rows)
