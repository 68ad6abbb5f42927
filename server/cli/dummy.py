"""``silosynth dummy``: rows of a schema, for whoever builds on a table that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.files import check_output
from silosynth.common.sampler import write_rows
from silosynth.common.schema import load_schema
from silosynth.server.methods import MADE_FROM, dummy_sampler


def dummy(
    schema: Annotated[Path, typer.Argument(metavar="SCHEMA", help="A schema in YAML or JSON.")],
    rows: Annotated[int, typer.Option(min=0, help="How many rows to make.")],
    out: Annotated[Path, typer.Option(help="Where to write them: .parquet or .csv.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make rows from a schema alone: rules and forms kept, every code as likely.

    No data is read and no privacy is spent. A Parquet file is marked so in its metadata.

    [dim]silosynth dummy schema.yaml --rows 1000 --out dummy.parquet[/dim]
    """
    check_output(out, force=force)
    sampler = dummy_sampler(load_schema(schema))
    mark = {"silosynth": f"made from {MADE_FROM}; epsilon 0"}
    told = write_rows(sampler, rows=rows, seed=seed, path=out, force=force, mark=mark)
    say(f"wrote {out}: {rows:,} rows, made from {MADE_FROM}; epsilon 0")
    facts = {"path": str(out), "rows": rows, "seed": seed, "made_from": MADE_FROM, "epsilon": 0}
    emit(facts | {"drawn": told.drawn or rows}, as_json=as_json)
