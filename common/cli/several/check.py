"""``silosynth schema check`` of several tables: how they hang together, and what each counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from silosynth.common.cli.console import say, show_table
from silosynth.common.errors import InvalidSchema
from silosynth.common.tables import (
    Table,
    TablesSchema,
    list_tables_faults,
    load_tables,
    read_tables_document,
)


def say_faults(path: Path, faults: Sequence[str]) -> None:
    """Say all faults of a schema's file but the first, and raise that one as InvalidSchema."""
    for fault in faults[1:]:
        say(f"{path}: {fault}")
    if faults:
        raise InvalidSchema(f"{path}: {faults[0]}")


def check_tables(path: Path) -> dict[str, object]:
    """Show a schema of several tables, and return its facts as plain data.

    Raises InvalidSchema for the first fault, when all others were said, and for unreviewed facts.
    """
    say_faults(path, list_tables_faults(read_tables_document(path)))
    schema = load_tables(path)
    _show(schema)
    unreviewed = schema.unvouched()
    for number, line in enumerate(schema.unreviewed, start=1):
        say(f"unreviewed line {number}: {line}")
    if unreviewed:
        raise InvalidSchema(
            f"{path}: {len(unreviewed)} facts are unreviewed, {unreviewed[0]!r} first",
            hint="check lines and domains with 'schema review', or vouch for them with 'schema "
            "accept'; check each rule, then take 'unreviewed:' away from it",
        )
    return {
        "digest": schema.digest,
        "person": schema.person,
        "tables": {name: _facts(schema, name) for name in schema.downward},
    }


def _show(schema: TablesSchema) -> None:
    rows = [
        (name, _place(schema.tables[name]), _links(schema.tables[name])) for name in schema.downward
    ]
    show_table("tables", ("table", "rows", "links"), rows, numbers=False)
    for name in schema.downward:
        domain = schema.columns[name].rows.domain
        sizes = [(a, str(s)) for a, s in zip(domain.attributes, domain.shape, strict=True)]
        if (gaps := schema.columns[name].gaps) is not None:
            sizes.append((f"{gaps.name} (of later rows)", str(gaps.codes)))
        show_table(f"a row of {name}", ("attribute", "codes"), sizes)

    for rule in schema.across:
        say(f"every row of {rule.tables[0]} keeps: {rule.text}")


def _place(table: Table) -> str:
    if table.children is None:
        return "one a person"
    low, most = table.children[0], table.children[-1]
    number = str(low) if low == most else f"{low} to {most}"
    order = f", in order of {table.order}" if table.order else ""
    if table.gaps is not None:
        edges, unit = table.gaps.edges, f" {table.gaps.unit}" if table.gaps.unit else ""
        order += f", {edges[0]} to {edges[-1]}{unit} after one another"
    return f"{number} a row of {table.parent} (by {table.by}){order}"


def _links(table: Table) -> str:
    return ", ".join(f"{c} -> {link.to}" for c, link in table.links.items())


def _facts(schema: TablesSchema, name: str) -> dict[str, object]:
    domain = schema.columns[name].rows.domain
    table = schema.tables[name]
    return {
        "parent": table.parent,
        "key": table.key,
        "attributes": dict(zip(domain.attributes, domain.shape, strict=True)),
    }
