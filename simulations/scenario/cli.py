"""The commands of scenarios: new, check, show, json-schema; and ``simulate --scenario``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from silosynth.common.cli import Force, Json, emit, say, show_table
from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.files import write_text
from silosynth.common.plan import Plan, load_plan
from silosynth.common.schema import Schema
from silosynth.server.driver import Progress
from silosynth.simulations.scenario.member import RowsOf
from silosynth.simulations.scenario.outcome import Places, Rehearsal, forget
from silosynth.simulations.scenario.page import bytes_words
from silosynth.simulations.scenario.rehearse import Lives, rehearse
from silosynth.simulations.world import (
    MOST_SEED,
    Scenario,
    broken,
    check_rules,
    described,
    idle,
    load_scenario,
    match_plan,
    parse_scenario,
    scenario_json_schema,
    spell_span,
)

_MOST_TOLD = 5


def register_scenario(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``scenario``."""
    group = typer.Typer(help="Describe the world of a federation.", no_args_is_help=True)
    group.command("new")(scenario_new)
    group.command("check")(scenario_check)
    group.command("show")(scenario_show)
    group.command("json-schema")(scenario_schema)
    groups["scenario"] = group


def scenario_new(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan to live through.")],
    out: Annotated[Path, typer.Option(help="Where to write the scenario.")],
    regions: Annotated[
        str, typer.Option(help="Regions, with commas; silos are dealt to them in turn.")
    ] = "eu,us",
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="One seed gives one timeline.")
    ] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a calm scenario for a plan, to be made rougher by hand.

    [dim]silosynth scenario new plan.yaml --regions eu,us,asia --out regions.yaml[/dim]
    """
    loaded = load_plan(plan)
    names = [name.strip() for name in regions.split(",")]
    if len(set(names)) < len(names) or not all(names):
        raise InvalidArgument("--regions names one twice, or none", hint="as in eu,us,asia")
    if len(names) > len(loaded.silos):
        raise InvalidArgument(f"{len(names)} regions for {len(loaded.silos)} silos")
    data: dict[str, Any] = {
        "version": 1,
        "name": loaded.id[:64],
        "seed": seed,
        "regions": {
            name: {
                "silos": list(loaded.silos[i :: len(names)]),
                "link": {"delay": "20ms", "jitter": "5ms", "bandwidth_mbit": 100},
            }
            for i, name in enumerate(names)
        },
    }
    parse_scenario(data, origin="--regions")
    write_text(out, dump_document(data), force=force)
    say(f"wrote {out}; 'silosynth scenario json-schema' describes it to an editor")
    emit({"path": str(out), "silos": len(loaded.silos)}, as_json=as_json)


def scenario_check(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO")],
    plan: Annotated[
        Path | None, typer.Option(help="A plan that has to keep the rules of every region.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a scenario, and with a plan the rules of every region; nothing is run or spent.

    [dim]silosynth scenario check regions.yaml --plan plan.yaml[/dim]
    """
    loaded = load_scenario(scenario)
    if plan is not None:
        asked = load_plan(plan)
        match_plan(loaded, asked)
        _show_broken(loaded, asked)
        check_rules(loaded, asked)
        _tell_idle(loaded, asked)
    silos = len(loaded.homes())
    say(f"{scenario}: {silos} silos in {len(loaded.regions)} regions")
    emit({"silos": silos, "regions": list(loaded.regions)}, as_json=as_json)


def _tell_idle(scenario: Scenario, plan: Plan) -> None:
    """Tell what of a scenario never happens to a plan."""
    for line in idle(scenario, plan):
        say(f"note: {line}")


def _show_broken(scenario: Scenario, plan: Plan) -> None:
    """Show every rule that a plan breaks, not the first alone."""
    rows = [
        (name, rule, fault)
        for name, region in scenario.regions.items()
        for rule, fault in broken(region.rules, plan)
    ]
    if rows:
        show_table(f"plan {plan.id} breaks", ("region", "rule", "how"), rows, numbers=False)


def scenario_show(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO")], as_json: Json = False
) -> None:
    """Show a scenario in words: regions, links, people, rules, and what happens when.

    [dim]silosynth scenario show regions.yaml[/dim]
    """
    loaded = load_scenario(scenario)
    for title, header, rows in described(loaded):
        show_table(title, header, rows, numbers=False)
    emit(loaded.model_dump(mode="json", by_alias=True), as_json=as_json)


def scenario_schema() -> None:
    """Print the JSON Schema of scenario files, for editors.

    [dim]silosynth scenario json-schema > scenario.schema.json[/dim]
    """
    sys.stdout.write(scenario_json_schema())


def simulate_scenario(
    plan: Plan,
    schema: Schema,
    *,
    tables: dict[str, pa.Table],
    scenario: Path,
    rows: RowsOf,
    otherwise: bool,
    lives: Lives | None,
    out: Path,
    force: bool,
    progress: Callable[[Progress], None],
    as_json: bool,
) -> None:
    """Live through a scenario, show it, and raise the error that ended the run, if one did."""
    loaded = load_scenario(scenario)
    _tell_idle(loaded, plan)
    if force:
        forget(out)
    result = rehearse(
        plan,
        schema=schema,
        tables=tables,
        scenario=loaded,
        directory=out,
        rows=rows,
        otherwise=otherwise,
        lives=lives,
        progress=progress,
        tell=say,
    )
    _show(result, out=out)
    if result.error is not None:
        raise _with_place(result.error, out, clock=result.timeline.clock)
    emit({"out": str(out), **result.facts()}, as_json=as_json)


def _show(result: Rehearsal, *, out: Path) -> None:
    """Show the stages of a run in virtual time, who left, and where the picture is."""
    facts = result.timeline.facts()
    rows = [
        (
            leg["name"],
            spell_span(round(leg["begin_seconds"] * 1_000_000)),
            leg["took"],
            f"{leg['answered']} of {leg['asked']}" if leg["asked"] else "",
            ", ".join([*leg["missed"], *(late["silo"] for late in leg["late"])][:3]),
        )
        for leg in facts["legs"]
    ]
    header = ("stage", "begins", "takes", "answered", "missed it, or late")
    show_table(f"{facts['virtual_time']} of {facts['clock']} time", header, rows, numbers=False)
    traffic = [
        (region, f"{n['to_silos']:,}", f"{n['from_silos']:,}")
        for region, n in facts["bytes"].items()
    ]
    show_table(bytes_words(facts["clock"]), ("region", "to silos", "from silos"), traffic)
    for silo, lines in list(result.told.items())[:_MOST_TOLD]:
        say(f"{silo}: its operator was told: {lines[0]}")
    _show_otherwise(result.otherwise)
    for silo, why in result.state.left.items():
        say(f"went on without {silo}: {why}")
    for fault in result.broken:
        say(f"DOES NOT HOLD: {fault}")
    places = Places(path=out)
    paths = {"report": places.report, "timeline": places.picture, "facts": places.facts}
    paths |= {} if result.sampler is None else {"sampler": result.sampler}
    show_table("results", ("what", "where"), [(k, str(v)) for k, v in paths.items()], numbers=False)


def _show_otherwise(otherwise: Sequence[Mapping[str, Any]]) -> None:
    """Show what the plan's settings bought, where that was asked for."""
    names = ("setting", "value", "instead", "ended", "virtual_time", "silos")
    rows = [tuple(str(other[name]) for name in names) for other in otherwise]
    if rows:
        header = ("setting", "here", "instead", "then it ends", "after", "silos")
        show_table("the same world, with one setting otherwise", header, rows, numbers=False)


def _with_place(error: SilosynthError, out: Path, *, clock: str) -> SilosynthError:
    """Return the error that ended a run, with the way to its timeline."""
    return type(error)(
        f"in {clock} time, {error.message}",
        hint=f"{Places(path=out).picture} shows what led to it",
    )
