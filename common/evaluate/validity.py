"""Whether each value can be: by the schema where there is one, and keys by their repeats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import Codec, Encoded, as_table, distinct, flatten
from silosynth.common.report import Axis, Better, Measure
from silosynth.common.schema import Schema
from silosynth.common.scores import some_rows
from silosynth.common.seeded import SeededWords

_MOST_RULES = 20


def validity(
    tables: Sequence[pa.Table], *, schema: Schema | None, keys: Sequence[str], seed: int
) -> list[Measure]:
    """Return shares of values and rows that cannot be, and of keys that occur twice.

    Args:
        tables: real, synthetic and, where there is one, control rows, as they are stored.
        keys: columns that are not compared by value, among them keys.
    """
    real, synthetic, *beside = (some_rows(as_table(t), seed=seed) for t in tables)
    other = beside[0] if beside else real
    found = [] if schema is None else _by_schema((synthetic, other, _loose(real, seed)), schema)
    return [*found, *_keys(real, synthetic, other, schema=schema, names=keys)]


def _loose(real: pa.Table, seed: int) -> pa.Table:
    """Return the real columns, each in an order of its own."""
    orders = [
        SeededWords(seed=seed, purpose="loose", index=i).permutation(real.num_rows)
        for i in range(real.num_columns)
    ]
    columns = [c.take(pa.array(o)) for c, o in zip(real.columns, orders, strict=True)]
    return pa.table(columns, names=real.column_names)


def _by_schema(sides: Sequence[pa.Table], schema: Schema) -> list[Measure]:
    """Return what the schema refuses: values, then rows by rule; value, ceiling and floor."""
    codec = Codec(schema=schema)
    encoded = [codec.encode(side, allow_extra=True) for side in sides]
    refused = [_refused(e, columns=len(schema.coded)) for e in encoded]
    measures = [_measure("values that the schema refuses", refused)]
    broken = [
        {n.attribute: n.broken / max(e.rows, 1) for n in e.notes if n.broken} for e in encoded
    ]
    named = {name for side in broken[:2] for name in side}
    rules = sorted(named, key=lambda rule: (-broken[0].get(rule, 0), rule))
    if schema.rules:
        worst = [max(side.values(), default=0.0) for side in broken]
        measures.append(_measure("rows that break a rule, the worst one", worst))
    measures += [
        _measure("rows that break a rule", [side.get(rule, 0.0) for side in broken], target=rule)
        for rule in rules[:_MOST_RULES]
    ]
    return measures


def _refused(encoded: Encoded, *, columns: int) -> float:
    """Return the share of values that have no code of their own."""
    bent = sum(n.misfits for n in encoded.notes if not n.broken)
    return bent / max(encoded.rows * columns, 1)


def _keys(
    real: pa.Table,
    synthetic: pa.Table,
    other: pa.Table,
    *,
    schema: Schema | None,
    names: Sequence[str],
) -> list[Measure]:
    """Return by key how many rows have a key that another row has."""
    declared = {a.name for a in schema.attributes if a.kind == "identifier"} if schema else set()
    columns = [
        n
        for n in dict.fromkeys([*declared, *names])
        if n in real.column_names and n in synthetic.column_names
        if n in declared or (_repeats(real[n]) == 0 and real[n].null_count < len(real[n]))
    ]
    return [
        _measure(
            "keys that occur twice",
            [_repeats(t[name]) if name in t.column_names else 0.0 for t in (synthetic, other)],
            target=name,
        )
        for name in sorted(columns)
    ]


def _repeats(column: pa.ChunkedArray) -> float:
    """Return the share of values that stand in another row as well; missing ones are none."""
    if pa.types.is_nested(column.type):
        return 1.0
    there = pc.drop_null(flatten(column))
    if not len(there):
        return 0.0
    _, places = distinct(there)
    counts = np.bincount(places)
    return float((counts[places] > 1).mean())


def _measure(name: str, marks: Sequence[float], *, target: str | None = None) -> Measure:
    """Return a share of which less is better."""
    return Measure(
        axis=Axis.FIDELITY,
        name=name,
        target=target,
        value=marks[0],
        ceiling=marks[1],
        floor=marks[2] if len(marks) > 2 else None,
        better=Better.LOW,
    )
