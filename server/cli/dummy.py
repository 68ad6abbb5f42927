"""``silosynth dummy``: rows of a schema, for whoever builds on a table that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, TableFormat, emit, say
from silosynth.common.files import check_output
from silosynth.common.sampler import write_rows
from silosynth.common.schema import describes_tables, load_schema
from silosynth.common.tables import drawable, load_tables
from silosynth.server.dummy import MADE_FROM, dummy_sampler, write_dummy_tables


def dummy(
    schema: Annotated[Path, typer.Argument(metavar="SCHEMA", help="A schema in YAML or JSON.")],
    rows: Annotated[int, typer.Option(min=0, help="How many rows to make.")],
    out: Annotated[
        Path,
        typer.Option(help="Where to write them: .parquet or .csv; a folder for several tables."),
    ],
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 1,
    format: Annotated[
        TableFormat, typer.Option(help="Of the files of several tables.")
    ] = TableFormat.PARQUET,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make rows from a schema alone: rules and forms kept, every code as likely.

    No data is read and no privacy is spent. A Parquet file is marked so in its metadata. Of several
    tables, [bold]--rows[/bold] are persons, and about.json in the folder says what they are.

    [dim]silosynth dummy schema.yaml --rows 1000 --out dummy.parquet[/dim]
    [dim]silosynth dummy tables.yaml --rows 1000 --out dummy/[/dim]
    """
    if describes_tables(schema):
        written = _several(schema, rows, folder=out, seed=seed, format=format, force=force)
        emit(written, as_json=as_json)
        return
    check_output(out, force=force)
    known = load_schema(schema)
    drawn = drawable(known)
    sampler = dummy_sampler(drawn)
    coin = {a.name for a in drawn.attributes} - {a.name for a in known.attributes}
    mark = {"silosynth": f"made from {MADE_FROM}; epsilon 0"}
    told = write_rows(sampler, rows=rows, seed=seed, path=out, force=force, mark=mark, without=coin)
    say(f"wrote {out}: {rows:,} rows, made from {MADE_FROM}; epsilon 0")
    facts = {"path": str(out), "rows": rows, "seed": seed, "made_from": MADE_FROM, "epsilon": 0}
    emit(facts | {"drawn": told.drawn or rows}, as_json=as_json)


def _several(
    path: Path, persons: int, *, folder: Path, seed: int, format: TableFormat, force: bool
) -> dict[str, object]:
    """Write a folder of tables and return what was written."""
    schema = load_tables(path)
    ending = f".{format}"
    for name in schema.tables if folder.is_dir() else ():
        check_output(folder / f"{name}{ending}", force=force)
    written = write_dummy_tables(
        schema, persons=persons, seed=seed, folder=folder, ending=ending, force=force
    )
    for name, rows in written.items():
        say(f"wrote {folder / name}{ending}: {rows:,} rows, made from {MADE_FROM}; epsilon 0")
    facts = {"path": str(folder), "rows": written, "seed": seed}
    return facts | {"made_from": MADE_FROM, "epsilon": 0}
