"""Say how a silo's tables hang together, in words for its operator alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from silosynth.client.families.join import Nobodys, join_tables
from silosynth.client.families.rows import Told, code_families
from silosynth.client.source import table_name, tables_in
from silosynth.common.errors import InvalidTable
from silosynth.common.tables import TablesSchema, table_like


def find_tables(folder: Path, *, schema: TablesSchema) -> dict[str, Path]:
    """Return the file of each table: it bears the table's name, as a draft spells it.

    Raises InvalidTable for a table without a file, and for one with two.
    """
    if not folder.is_dir():
        raise InvalidTable(f"{folder}: is no folder", hint="name the folder of the tables")
    files = tables_in(folder)
    found: dict[str, Path] = {}
    for name in schema.tables:
        own = [p for p in files if table_like(table_name(p)) == name]
        if len(own) != 1:
            what = "no file" if not own else "several files"
            raise InvalidTable(
                f"{folder}: {what} of table {name!r}", hint=f"one, such as {name}.parquet"
            )
        found[name] = own[0]
    return found


def survey_families(schema: TablesSchema, files: Mapping[str, Path]) -> tuple[str, ...]:
    """Join the tables as they would be counted, and say what of them would not be.

    The sentences hold counts of private rows: they are for the operator's eyes alone.
    """
    told = Told()
    with join_tables(schema, files) as joined:
        for _ in code_families(joined.blocks(), schema=schema, secret=os.urandom(32), told=told):
            pass
        lost = joined.nobodys()
    return families_words(schema, told, lost)


def families_words(schema: TablesSchema, told: Told, lost: Nobodys) -> tuple[str, ...]:
    """Say which rows are counted, and which are not and why; for the operator's eyes alone."""
    return tuple(line for name in schema.downward for line in _lines(schema, name, told, lost))


def _lines(schema: TablesSchema, name: str, told: Told, lost: Nobodys) -> list[str]:
    table = schema.tables[name]
    lines = [f"{name}: {told.rows.get(name, 0):,} rows belong to a person and are counted"]
    if nobodys := lost.rows[name]:
        where = f"{table.by!r} names no row of {table.parent!r} here" if table.by else "have no key"
        lines.append(f"{name}: {nobodys:,} rows belong to nobody and are not counted: {where}")
    if double := told.double_keys.get(name, 0):
        kept = "one row a key is counted" if table.parent is None else "what names it is under one"
        lines.append(f"{name}: {double:,} rows have the key of another row; {kept}")
    if table.children is not None and (beyond := told.beyond.get(name, 0)):
        low, most = table.children[0], table.children[-1]
        lines.append(
            f"{name}: {beyond:,} rows of {table.parent} have fewer than {low} or more than {most} "
            "of them; they are counted as having so many"
        )
    return lines
