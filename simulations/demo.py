"""The demonstration: the whole job on tables that come along, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say, show_table
from silosynth.common.report import ReportFacts, ScoreName, write_report
from silosynth.common.sampler import write_rows
from silosynth.simulations.run import Engine
from silosynth.simulations.run_files import RunDirectory, RunResult
from silosynth.simulations.show import (
    remove_run,
    result_facts,
    run_with_progress,
    show_paths,
)

if TYPE_CHECKING:
    from silosynth.simulations.digits import Recognised

_SEED = 1


class DemoData(StrEnum):
    """What the demonstration is about."""

    INSURERS = "insurers"
    DIGITS = "digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResults:
    """Where each result lies, and the facts of the report."""

    paths: Mapping[str, Path]
    facts: ReportFacts


def write_demo(result: RunResult, *, directory: Path) -> DemoResults:
    """Draw as many rows as there are real ones, compare them, and write everything."""
    # What compares tables takes two seconds to import, which every command would wait for.
    from silosynth.simulations.run_report import report_facts

    facts = report_facts(result, directory=directory, seed=_SEED)
    page, _ = write_report(facts, directory, force=True)
    tables = [directory / f"synthetic{suffix}" for suffix in (".parquet", ".csv")]
    rows = facts.headline.rows_synthetic or 0
    for path in tables:
        write_rows(result.sampler, rows=rows, seed=_SEED, path=path, force=True)
    run = RunDirectory(path=directory)
    return DemoResults(
        paths={
            "synthetic table (Parquet)": tables[0],
            "synthetic table (CSV)": tables[1],
            "sampler": run.sampler,
            "privacy certificate": run.certificate,
            "report": page,
        },
        facts=facts,
    )


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

    With [bold]--data digits[/bold] on handwritten digits; needs scikit-learn.

    [dim]silosynth demo --out demo-out[/dim]
    [dim]silosynth demo --data digits[/dim]
    """
    from silosynth.simulations.demo_insurers import demo_plan, demo_schema, demo_silos
    from silosynth.simulations.digits import (
        digits_plan,
        digits_schema,
        digits_silos,
        recognise,
        require_digits,
    )

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
