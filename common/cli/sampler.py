"""The commands of a sampler: draw rows from it, and look at what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.certificate import Certificate, check_certificate, plain_words
from silosynth.common.cli.console import (
    Force,
    Json,
    emit,
    say,
    show_table,
)
from silosynth.common.cli.flags import TableFormat
from silosynth.common.cli.several.sample import inspect_tables, refuse_of_tables, sample_tables
from silosynth.common.codec import parse_conditions
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output
from silosynth.common.forest import is_forest
from silosynth.common.sampler import (
    AnySampler,
    AutoregressiveSampler,
    condition_on,
    describe_sampler,
    ending_of,
    load_sampler,
    write_rows,
)


def sample(
    path: Annotated[Path, typer.Argument(metavar="SAMPLER", help="A sampler file.")],
    rows: Annotated[int, typer.Option(min=0, help="How many rows to draw.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same rows.")],
    out: Annotated[
        Path,
        typer.Option(help="Where to write them: .parquet or .csv; a folder for several tables."),
    ],
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows with 'attribute=value' or 'age=30..39'; repeat for more."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The folder of the checkpoint that texts are written with, if any."),
    ] = None,
    replicates: Annotated[
        bool, typer.Option("--replicates", help="Draw a table of each replicate as well.")
    ] = False,
    format: Annotated[
        TableFormat | None,
        typer.Option(help="Of the files of several tables; as their schema says by default."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw synthetic rows from a sampler. It costs no privacy, however often.

    Of several tables, [bold]--rows[/bold] are persons, who come with all that is below them.

    [dim]silosynth sample run/result.sampler --rows 10000 --seed 1 --out synthetic.parquet[/dim]
    [dim]silosynth sample run/result.sampler --rows 500 --seed 1 --out x.csv --where state=TX[/dim]
    [dim]silosynth sample run/result.sampler --rows 10000 --seed 1 --out synthetic/[/dim]
    """
    if is_forest(path):
        refuse_of_tables(where=where, checkpoint=checkpoint, replicates=replicates)
        written = sample_tables(
            path, persons=rows, seed=seed, folder=out, format=format, force=force
        )
        emit(written, as_json=as_json)
        return
    if format is not None:
        raise InvalidArgument("one table is of the format of its name", hint="leave --format out")
    check_output(out, force=force)
    conditions = parse_conditions(where or ())
    loaded = load_sampler(path)
    others = _others(path, out, force=force) if replicates else {}
    if checkpoint is not None:
        if not isinstance(loaded, AutoregressiveSampler):
            raise InvalidArgument("this sampler needs no checkpoint", hint="leave it out")
        loaded = loaded.with_checkpoint(checkpoint)
    sampler = condition_on(loaded, conditions)
    told = write_rows(sampler, rows=rows, seed=seed, path=out, force=force)
    say(f"wrote {out}: {rows:,} rows")
    written = {"path": str(out), "rows": rows, "seed": seed, "where": conditions}
    for place, other in others.items():
        write_rows(condition_on(other, conditions), rows=rows, seed=seed, path=place, force=force)
    if others:
        say(f"and {len(others)} tables of its replicates, {min(others).name} and on")
        written["replicates"] = [str(place) for place in others]
    if sampler.schema.rules:
        say(
            f"every row keeps the {len(sampler.schema.rules)} rules; {told.bias:.2%} were drawn "
            "again, and the rows lie that far from the model"
        )
        written["rules"] = {"count": len(sampler.schema.rules), "bias": told.bias}
    emit(written, as_json=as_json)


def _others(path: Path, out: Path, *, force: bool) -> dict[Path, AnySampler]:
    """Return the replicates of a sampler by where their rows are written: OUT-001.csv and on."""
    from silosynth.common.estimate import load_replicates  # it needs scipy

    others = load_replicates(path).others
    ending = out.name[len(out.name) - len(ending_of(out)) :]
    stem = out.name.removesuffix(ending)
    places = [out.with_name(f"{stem}-{n:03d}{ending}") for n in range(1, len(others) + 1)]
    for place in places:
        check_output(place, force=force)
    return dict(zip(places, others, strict=True))


def inspect(
    path: Annotated[Path, typer.Argument(metavar="SAMPLER", help="A sampler file.")],
    as_json: Json = False,
) -> None:
    """Check a sampler file and show what it holds and what it cost.

    [dim]silosynth inspect run/result.sampler[/dim]
    """
    if is_forest(path):
        emit(inspect_tables(path), as_json=as_json)
        return
    sampler = load_sampler(path)
    certificate = Certificate.model_validate(sampler.certificate)
    check_certificate(certificate)
    facts = describe_sampler(sampler)
    say(f"{path}: schema {sampler.schema.name}, about {sampler.total:,.0f} rows were measured")
    say(f"plan {certificate.plan_id} ({sampler.plan_digest[:19]}...), {facts['cells']} numbers")
    if "generator" in facts:
        learnt = facts["generator"]
        say(f"generator: {learnt.get('kind', 'one-shot')}, label {learnt['label'] or 'none'}")
    header = ("attribute", "codes", "domain is", "codes in use", "chosen by")
    names = ("name", "codes", "source", "working_codes", "working_source")
    rows = [tuple(str(a[n]) for n in names) for a in facts["attributes"]]
    show_table("attributes (bought: merged by the noised counts)", header, rows)
    for sentence in plain_words(certificate):
        say(f"- {sentence}")
    emit(facts, as_json=as_json)
