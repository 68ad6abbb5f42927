"""Rules that name columns of a row and of the rows above it, checked on files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import keeps_rules
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.likeness.read import key_texts, read_batches
from silosynth.common.schema import Schema, dump_attribute, parse_schema
from silosynth.common.tables import TablesSchema, ancestors


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """A rule over ``tables``, the deepest first, which is the one whose rows keep it or not."""

    text: str
    tables: tuple[str, ...]
    wide: Schema


def parse_across(text: str, *, schema: TablesSchema) -> Across:
    """Read a rule whose columns are written ``table.column``.

    Raises InvalidArgument where it names no column, tables of which none is below all others, or
    says what no rule can.
    """
    known = {
        f"{name}.{a.name}": (name, a)
        for name, columns in schema.columns.items()
        for a in columns.whole.attributes
    }
    named, line = [], text
    for word in sorted(known, key=len, reverse=True):
        if word in line.replace(f"`{word}`", ""):
            named.append(word)
            line = line.replace(f"`{word}`", word).replace(word, f"`{word}`")
    tables = {known[word][0] for word in named}
    deepest = next(
        (t for t in tables if tables <= {t, *ancestors(schema.tables, t)}),
        None,
    )
    if deepest is None:
        raise InvalidArgument(
            f"{text!r} names no row with rows above it",
            hint="write table.column, of one table and of those that it hangs on",
        )
    upward = [deepest, *ancestors(schema.tables, deepest)]
    attributes = [dump_attribute(known[word][1]) | {"name": word} for word in named]
    try:
        wide = parse_schema({"name": "across", "attributes": attributes, "rules": [line]})
    except InvalidSchema as err:
        raise InvalidArgument(f"{text!r}: {err.message}", hint=err.hint) from None
    return Across(text=text, tables=tuple(t for t in upward if t in tables), wide=wide)


def broken_across(
    rules: Sequence[Across], files: Mapping[str, Path], *, schema: TablesSchema
) -> dict[str, dict[str, int]]:
    """Return by table and rule how many rows break it, of those that belong to somebody."""
    found: dict[str, dict[str, int]] = {}
    for rule in rules:
        rows, there = _joined(rule, files, schema=schema)
        kept = there.copy()
        for keeps in keeps_rules(rows, schema=rule.wide).values():
            kept &= keeps
        found.setdefault(rule.tables[0], {})[rule.text] = int((there & ~kept).sum())
    return found


def _joined(
    rule: Across, files: Mapping[str, Path], *, schema: TablesSchema
) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of the deepest table with the columns above, and which belong to a row."""
    deepest, top = rule.tables[0], rule.tables[-1]
    below = _read(deepest, rule, files, schema=schema)
    at = np.arange(below.num_rows)
    columns, name = _taken(below, deepest, rule, at), deepest
    while name != top:
        by, name = str(schema.tables[name].by), str(schema.tables[name].parent)
        rows = _read(name, rule, files, schema=schema)
        keys = key_texts(rows, str(schema.tables[name].key))
        step = pc.fill_null(pc.index_in(key_texts(below, by), value_set=keys), -1).to_numpy()
        at = np.where(at < 0, -1, np.append(step, -1)[at])
        columns |= _taken(rows, name, rule, at)
        below = rows
    return pa.table(columns), at >= 0


def _taken(rows: pa.Table, name: str, rule: Across, at: np.ndarray) -> dict[str, pa.Array]:
    """Return a table's columns of a rule for each row below, null where none is above it."""
    where = pa.array(at, mask=at < 0)
    return {
        a.name: rows[column].combine_chunks().take(where)
        for a in rule.wide.attributes
        if (column := a.name.removeprefix(f"{name}.")) in rows.column_names and column != a.name
    }


def _read(name: str, rule: Across, files: Mapping[str, Path], *, schema: TablesSchema) -> pa.Table:
    """Return the columns of a table that a rule or a join needs."""
    table = schema.tables[name]
    names = tuple(a.name for a in schema.columns[name].whole.attributes)
    needed = {c for c in (table.key, table.by) if c is not None}
    needed |= {n for n in names if f"{name}.{n}" in {a.name for a in rule.wide.attributes}}
    batches = [
        batch.select([c for c in batch.column_names if c in needed])
        for batch in read_batches(files[name], dialect=table.csv, names=names)
    ]
    return pa.concat_tables(batches, promote_options="permissive")
