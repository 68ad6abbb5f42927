"""Rules that name columns of a row and of the rows above it, checked on files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import keeps_rules, read_values
from silosynth.common.likeness.read import key_texts, read_batches
from silosynth.common.tables import Across, TablesSchema


def broken_across(
    rules: Sequence[Across], files: Mapping[str, Path], *, schema: TablesSchema
) -> dict[str, dict[str, int]]:
    """Return by table and rule how many rows break it, of those that belong to somebody."""
    found: dict[str, dict[str, int]] = {}
    for rule in rules:
        rows, there = _joined(rule, files, schema=schema)
        kept = there.copy()
        for keeps in keeps_rules(rows, schema=rule.wide).values():
            kept &= keeps | _last(rule, files, schema=schema) if rule.last else keeps
        found.setdefault(rule.tables[0], {})[rule.text] = int((there & ~kept).sum())
    return found


def _last(rule: Across, files: Mapping[str, Path], *, schema: TablesSchema) -> np.ndarray:
    """Return (rows,) bool, which rows of the deepest table are the last of their parent.

    Of rows that stand at one place of the order none comes before another, so all of them are.
    """
    name = rule.tables[0]
    table = schema.tables[name]
    rows = _read(name, rule, files, schema=schema)
    owner = key_texts(rows, str(table.by)).dictionary_encode().indices.fill_null(-1).to_numpy()
    values = np.arange(rows.num_rows, dtype=np.float64)
    if table.order is not None:
        whole = schema.columns[name].rows
        values = read_values(rows, schema=whole, names=[table.order])[table.order]
    values = np.where(np.isnan(values), np.inf, values)
    latest = np.full(int(owner.max(initial=-1)) + 2, -np.inf)
    np.maximum.at(latest, owner, values)
    found: np.ndarray = values >= latest[owner]
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
    needed = {c for c in (table.key, table.by, table.order) if c is not None}
    needed |= {n for n in names if f"{name}.{n}" in {a.name for a in rule.wide.attributes}}
    batches = [
        batch.select([c for c in batch.column_names if c in needed])
        for batch in read_batches(files[name], dialect=table.csv, names=names)
    ]
    return pa.concat_tables(batches, promote_options="permissive")
