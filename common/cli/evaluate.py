"""The command that holds a synthetic table against real rows, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli.console import Force, Json, emit, say
from silosynth.common.errors import InvalidArgument

if TYPE_CHECKING:
    from silosynth.common.report import EvaluationFacts

_FAILED = 1


def evaluate_command(
    what: Annotated[
        Path,
        typer.Argument(metavar="RUN|SAMPLER|TABLE", help="A run's directory, sampler or table."),
    ],
    real: Annotated[Path, typer.Option(help="Real rows: .parquet, .csv or .arrow.")],
    out: Annotated[Path, typer.Option(help="Where to write report.html and report.json.")],
    control: Annotated[
        Path | None, typer.Option(help="Real rows of other people; without them scores flatter.")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="What the columns of a TABLE are; a sampler knows.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="A column to predict; repeat for more.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="A column whose groups are judged by themselves.")
    ] = None,
    attack: Annotated[
        bool, typer.Option("--attack", help="Try to tell who was in it; needs --control.")
    ] = False,
    gate: Annotated[
        Path | None, typer.Option(help="Bars to pass, in YAML; exit code 1 when one is missed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of rows, folds and questions.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Is it close, is it useful, is it private, can it be made again? Here, with real rows.

    The report is not differentially private: it must stay where the real rows are.

    [dim]silosynth evaluate run/ --real mine.parquet --target income --group sex --out judged/[/dim]
    [dim]silosynth evaluate other.csv --real mine.csv --control held.csv --attack --out o/[/dim]
    """
    from silosynth.common.evaluate import (
        Wish,  # scikit-learn is in an extra
        evaluate_file,
        hold_gate,
        load_gate,
    )
    from silosynth.common.report import check_place, write_report

    bars = None if gate is None else load_gate(gate)
    check_place(out, force=force)
    facts = evaluate_file(
        what,
        real=real,
        control=control,
        schema=schema,
        wish=Wish(targets=target or (), groups=group or (), attack=attack),
        seed=seed,
        tell=say,
    )
    found = facts.evaluation
    if found is None:
        raise InvalidArgument("nothing was compared", hint="give tables of 200 rows or more")
    missed = () if bars is None else hold_gate(bars, found)
    page, data = write_report(facts, out, force=force)
    _tell(found, page, missed)
    emit(
        {
            "html": str(page),
            "json": str(data),
            "lamps": {lamp.axis.value: lamp.state.value for lamp in found.lamps},
            "missed": list(missed),
        },
        as_json=as_json,
    )
    if missed:
        raise typer.Exit(_FAILED)


def _tell(found: EvaluationFacts, page: Path, missed: Sequence[str]) -> None:
    """Say the four answers, what was missed, and where the page lies."""
    for lamp in found.lamps:
        say(f"{lamp.axis.value}, {lamp.state.value}: {lamp.sentence}")
    for line in missed:
        say(f"gate missed: {line}")
    say(f"wrote {page}; it is private, like the real rows")
