"""The commands ``silosynth schema check``, ``import`` and ``json-schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli.console import Force, Json, emit, say, show_table
from silosynth.common.cli.several.check import check_tables, say_faults
from silosynth.common.errors import InvalidSchema
from silosynth.common.files import check_output, write_text
from silosynth.common.importers import find_description, import_schema, import_tables
from silosynth.common.schema import (
    Schema,
    describes_tables,
    json_schema,
    list_faults,
    load_schema,
    read_schema,
)
from silosynth.common.tables import tables_json_schema


def schema_check(
    path: Annotated[Path, typer.Argument(metavar="SCHEMA", help="A schema in YAML or JSON.")],
    as_json: Json = False,
) -> None:
    """Check a schema and show its domain.

    [dim]silosynth schema check schema.yaml[/dim]
    """
    if describes_tables(path):
        emit(check_tables(path), as_json=as_json)
        return
    say_faults(path, list_faults(read_schema(path)))
    schema = load_schema(path)
    _show_schema(schema)
    if schema.rules:
        show_rules(schema)
    unreviewed = schema.unreviewed()
    if unreviewed:
        raise InvalidSchema(
            f"{path}: {len(unreviewed)} attributes or rules are unreviewed, "
            f"{unreviewed[0]!r} first",
            hint="check each with 'schema review', or vouch for them with 'schema accept'",
        )
    sizes = dict(zip(schema.domain.attributes, schema.domain.shape, strict=True))
    facts: dict[str, object] = {"digest": schema.digest, "attributes": sizes}
    if schema.rules:
        facts["rules"] = rule_facts(schema)
    emit(facts, as_json=as_json)


def schema_import(
    path: Annotated[
        Path,
        typer.Argument(help="The file to read the description from; or omop-5.3, omop-5.4."),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the schema (YAML).")],
    format: Annotated[
        str | None,
        typer.Option(
            help="sdv, frictionless, pandera, dbt, omop, mbi, dpsynth, arrow, dataset; else found"
        ),
    ] = None,
    table: Annotated[str | None, typer.Option(help="Which table, if there are several.")] = None,
    person: Annotated[
        str | None, typer.Option(help="Of several tables, the one whose rows are persons.")
    ] = None,
    trust_ranges: Annotated[
        bool,
        typer.Option(
            "--trust-ranges",
            help="Keep ranges and categories that the other tool read off private data.",
        ),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a schema from what SDV, Frictionless, pandera, dbt, OMOP, mbi or Arrow say of a table.

    Facts that another tool read off private data are dropped; what is then missing is named, for
    you to declare. Tables that name rows of one another become one schema of several tables.

    [dim]silosynth schema import metadata.json --out schema.yaml[/dim]
    [dim]silosynth schema import omop-5.4 --out tables.yaml[/dim]
    """
    check_output(out, force=force)
    found = find_description(path)
    several = None
    if table is None:
        several = import_tables(found, format=format, trust_ranges=trust_ranges, person=person)
    imported = several or import_schema(
        found, format=format, trust_ranges=trust_ranges, table=table
    )
    write_text(out, imported.text(), force=force)
    for note in (*imported.notes, *imported.missing_facts):
        say(f"note: {note}")
    say(f"wrote {out}")
    emit(
        {
            "path": str(out),
            "notes": list(imported.notes),
            "missing_facts": list(imported.missing_facts),
        },
        as_json=as_json,
    )


def schema_json_schema(
    tables: Annotated[
        bool, typer.Option("--tables", help="Of files that describe several tables.")
    ] = False,
) -> None:
    """Print the JSON Schema of schema files, for editors.

    [dim]silosynth schema json-schema > schema.schema.json[/dim]
    """
    found = tables_json_schema() if tables else json_schema()
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def _show_schema(schema: Schema) -> None:
    """Show the attributes of a schema."""
    rows = [
        (a.name, a.kind, str(getattr(a, "size", "-")), a.source.value) for a in schema.attributes
    ]
    show_table(schema.name, ("attribute", "kind", "codes", "source"), rows)


def show_rules(schema: Schema) -> None:
    """Say what each rule does and what it costs."""
    rows = list(zip(schema.rules, schema.ruled.kept, strict=True))
    show_table("rules", ("rule", "how it is kept"), rows, numbers=False)
    counted = {a.name: a for a in schema.coded}
    new = [n for n in counted if n not in {a.name for a in schema.attributes}]
    if new:
        sizes = [(n, str(counted[n].size)) for n in new]
        show_table("counted in the place of columns", ("attribute", "codes"), sizes)


def rule_facts(schema: Schema) -> list[dict[str, str]]:
    """Return the same as plain data."""
    pairs = zip(schema.rules, schema.ruled.kept, strict=True)
    return [{"rule": rule, "kept": kept} for rule, kept in pairs]
