"""The silo's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.approver import register_approver
from silosynth.client.cli.auditor import register_auditor
from silosynth.client.cli.joining import register_joining
from silosynth.client.cli.judging import register_judging
from silosynth.client.cli.keeping import register_keeping
from silosynth.client.cli.operator import register_operator
from silosynth.client.cli.relay import relay
from silosynth.client.cli.silo import register_silo
from silosynth.client.csv import declared_dialect
from silosynth.client.drafting import draft_schema, draft_tables, propose_rules
from silosynth.client.source import read_table, table_name
from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, write_text
from silosynth.common.schema import SCHEMA_VERSION, dump_schema, load_schema, schema_name


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the silo's commands."""
    groups["schema"].command("draft")(schema_draft)
    groups["schema"].command("rules")(schema_rules)
    app.command("relay")(relay)
    register_silo(groups)
    register_judging(groups)
    register_operator(groups)
    register_joining(groups)
    register_keeping(groups)
    register_approver(groups)
    register_auditor(groups)


def schema_draft(
    table: Annotated[
        Path,
        typer.Argument(help="A table: Parquet, CSV, Arrow or Excel; a folder of several tables."),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the draft (YAML).")],
    name: Annotated[str | None, typer.Option(help="A name for the schema.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What separates fields of a text file; found out by default.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="utf-8, latin-1, utf-16, -le or -be; UTF-8 by default.")
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line of a text file is a row.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draft a schema beside the data, for a person to review.

    Whatever was read off the data is marked [bold]unreviewed[/bold], and no plan is made from it
    until somebody has put declared or public facts in its place.

    Of a folder, each file is a table: which column is a key and what names whose rows is found by
    the values.

    [dim]silosynth schema draft patients.parquet --out schema.yaml[/dim]
    [dim]silosynth schema draft export/ --out tables.yaml[/dim]
    """
    check_output(out, force=force)
    how = declared_dialect(delimiter=delimiter, encoding=encoding, header=not no_header)
    if table.is_dir():
        if how is not None:
            raise InvalidArgument("how text is written is found out for each file of a folder")
        several = draft_tables(table, name=name or schema_name(table.name), beside=out.parent)
        text, notes, left = several.text(), several.notes, several.schema.unvouched()
    else:
        draft = draft_schema(table, name=name or schema_name(table_name(table)), dialect=how)
        text, notes, left = draft.text(), draft.notes, draft.schema.unreviewed()
    write_text(out, text, force=force)
    for note in notes:
        say(f"note: {note}")
    say(f"wrote {out}; it holds facts of the data, so review it before it leaves this machine")
    rules = "" if table.is_dir() else f"; silosynth schema rules {table} --schema {out} --out ..."
    say(f"next: silosynth schema review {out}{rules}")
    emit({"path": str(out), "unreviewed": list(left)}, as_json=as_json)


def schema_rules(
    table: Annotated[Path, typer.Argument(help="A table: Parquet, CSV or Arrow.")],
    schema: Annotated[Path, typer.Option(help="The schema of the table.")],
    out: Annotated[Path, typer.Option(help="Where to write the schema with the proposals (YAML).")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Propose rules that at least 99.5 % of the rows keep, for a person to review.

    Each is marked [bold]unreviewed:[/bold], and no plan is made of them: keep a rule that is true
    of the world, and not of these rows alone, and take the mark away; strike out the others.

    [dim]silosynth schema rules visits.parquet --schema schema.yaml --out ruled.yaml[/dim]
    """
    check_output(out, force=force)
    known = load_schema(schema)
    found = propose_rules(read_table(table, schema=known, allow_extra=True), schema=known)
    marked = tuple(f"unreviewed: {p.rule}" for p in found)
    ruled = known.model_copy(update={"rules": known.rules + marked, "version": SCHEMA_VERSION})
    write_text(out, dump_schema(ruled), force=force)
    for proposal in found:
        say(f"proposed: {proposal.rule}  ({proposal.share:.2%} of the rows)")
    say(f"wrote {out}; it holds facts of the data, so review it before it leaves this machine")
    say(f"next: silosynth schema review {out}, which asks about each rule as well")
    emit({"path": str(out), "proposed": [p.rule for p in found]}, as_json=as_json)
