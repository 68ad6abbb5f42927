"""The command that holds releases of one table against one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli.console import Force, Json, emit, say, show_table

if TYPE_CHECKING:
    from silosynth.common.changes import ChangeFacts, MarginalFacts, StepFacts

_SHOWN = 12


def compare_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="SAMPLER...", help="Releases, the oldest first.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="A folder for changes.html and changes.json.")
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows are drawn of each.")] = 2**17,
    alarm: Annotated[
        float, typer.Option(help="The chance that a step calls anything moved where nothing is.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say what changed between releases of one table, beside the noise of each.

    It costs no privacy. Replicates that lie beside a sampler are made use of.

    [dim]silosynth compare january.sampler february.sampler --out changes/[/dim]
    """
    from silosynth.common.changes import compare_releases, load_release, write_changes

    facts = compare_releases(
        [load_release(path) for path in paths], rows=rows, seed=seed, alarm=alarm
    )
    for step in facts.steps:
        _show(facts, step)
    if out is not None:
        page, _ = write_changes(facts, out, force=force)
        say(f"wrote {page}")
    emit(facts.model_dump(mode="json"), as_json=as_json)


def _show(facts: ChangeFacts, step: StepFacts) -> None:
    """Print what moved in a step, and what differs most of the rest."""
    one, other = facts.releases[step.before], facts.releases[step.after]
    marginals = (*step.columns, *step.pairs)
    moved = sum(m.word.name == "MOVED" for m in marginals)
    title = f"{one.name} to {other.name}: {moved} of {len(marginals)} columns and pairs moved"
    ordered = sorted(marginals, key=lambda m: (m.word.name != "MOVED", -m.distance))[:_SHOWN]
    header = ("column or pair", "distance", "by noise", "says", "most in", "before", "after")
    show_table(title, header, [_row(m) for m in ordered])


def _row(marginal: MarginalFacts) -> tuple[str, ...]:
    """Write a marginal with its cell that differs most."""
    cell = max(marginal.cells, key=lambda c: abs(c.after - c.before))
    return (
        " x ".join(marginal.columns),
        f"{marginal.distance:.4g}",
        "not known" if marginal.by_noise is None else f"{marginal.by_noise:.4g}",
        marginal.word.value,
        cell.label,
        f"{cell.before:.2%}",
        f"{cell.after:.2%}",
    )
