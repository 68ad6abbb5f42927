"""The two passes around encoding that keep a schema's rules: table to what is counted, and back.

Before: a column that follows from others is dropped, a later column becomes its gap, and so on.
Each row becomes one row, by itself alone, so that whatever a rule says a person moves one cell of a
marginal. A row that breaks a rule is counted as the nearest row that keeps it.
After: the columns of the table are worked out again, in the schema's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.kinds.table import codec_of
from silosynth.common.codec.notes import EncodingNote, code_dtype
from silosynth.common.codec.numeric import NumericCodec
from silosynth.common.codec.written.form import Form, in_form
from silosynth.common.codec.written.parsing import flatten, readable
from silosynth.common.rules import Kind, columns_of, evaluate, holds
from silosynth.common.rules.spell import spell
from silosynth.common.schema import (
    Attribute,
    BooleanAttribute,
    Choice,
    CodedAttribute,
    Follows,
    Gap,
    IdentifierAttribute,
    IntegerAttribute,
    ListedAttribute,
    NumericAttribute,
    OnGrid,
    Patterns,
    Recipe,
    Ruled,
    Schema,
    TimeAttribute,
    as_numeric,
    bounds_of,
)

Values = dict[str, np.ndarray]
_MOST = 2.0**62


def to_counted(table: pa.Table, *, schema: Schema) -> tuple[pa.Table, tuple[EncodingNote, ...]]:
    """Return the table of what is counted, and how many rows break each rule. Both are private.

    Guarantees: a row of the result is a function of the same row of ``table`` alone.
    """
    ruled = schema.ruled
    values = read_values(table, schema=schema)
    notes = tuple(
        EncodingNote(attribute=spell(rule), broken=broken)
        for rule in ruled.rules
        if (broken := int((~holds(rule, rows=values, facts=ruled.facts)).sum()))
    )
    made: dict[str, pa.Array | pa.ChunkedArray] = {}
    for recipe in ruled.recipes:
        made |= _take_apart(recipe, values, schema=schema)
    outer = {a.name for a in schema.attributes}
    names = {a.name for a in ruled.attributes}
    columns = {n: table[n] for n in table.column_names if n in names or n not in outer}
    columns |= made
    for name, patterns in ruled.patterns.items():
        columns[name] = _tell_nulls(patterns, values, columns, ruled=ruled)
    return pa.table(columns), notes


def from_counted(table: pa.Table, *, schema: Schema, form: Form = Form.TYPED) -> pa.Table:
    """Return the schema's table of what was counted or drawn; the reverse of :func:`to_counted`.

    Args:
        table: columns of the schema in their form already, all others as they were decoded.
    """
    ruled = schema.ruled
    known = {a.name: a for a in schema.attributes}
    columns = {n: table[n] for n in table.column_names}
    values = {
        name: _read(known[name], column)
        for name, column in columns.items()
        if name in known and name not in ruled.replaced and ruled.facts[name].kind in _READ
    }
    for recipe in ruled.recipes:
        for name, numbers in _put_together(recipe, values, columns, ruled=ruled).items():
            column = _column(known[name], numbers, form=form)
            columns[name], values[name] = column, _read(known[name], column)
    kept = [a.name for a in schema.attributes if a.name in columns]
    return pa.table({name: columns[name] for name in kept})


def keeps_rules(table: pa.Table, *, schema: Schema) -> dict[str, np.ndarray]:
    """Return (rows,) bool for each rule, by its text: which rows of a finished table keep it."""
    values = read_values(table, schema=schema)
    ruled = schema.ruled
    return {spell(r): holds(r, rows=values, facts=ruled.facts) for r in ruled.rules}


def renumber(table: pa.Table, *, schema: Schema, form: Form, first_row: int) -> pa.Table:
    """Return a finished table with keys that run on without a gap; a row without one stays so."""
    for attribute in schema.attributes:
        if not isinstance(attribute, IdentifierAttribute):
            continue
        if (name := attribute.name) in table.column_names:
            codec = codec_of(attribute)
            codes, _ = codec.encode(readable(flatten(table[name])))
            there = codec.decode(codes, uniform=np.zeros)
            keys = in_form(attribute, there, codes=codes, form=form, first_row=first_row)
            table = table.set_column(table.column_names.index(name), name, keys)
    return table


def read_values(table: pa.Table, *, schema: Schema, names: Sequence[str] | None = None) -> Values:
    """Return columns as :mod:`silosynth.common.rules.hold` has them: those that rules name."""
    ruled = schema.ruled
    known = {a.name: a for a in schema.attributes}
    ruling = (n for rule in ruled.rules for n in columns_of(rule))
    named = dict.fromkeys(ruling if names is None else names)
    rows = table.num_rows
    return {
        name: _read(known[name], table[name])
        if ruled.facts[name].kind in _READ and name in table.column_names
        else np.zeros(rows)
        for name in named
    }


_READ = {Kind.NUMBER, Kind.INSTANT, Kind.SPAN, Kind.WORD, Kind.TRUTH}


def _read(attribute: Attribute, column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column as numbers: what the codec takes for missing is NaN."""
    if not isinstance(attribute, NumericAttribute | ListedAttribute | BooleanAttribute):
        return np.zeros(len(column))
    codec, flat = codec_of(attribute), readable(flatten(column))
    if isinstance(codec, NumericCodec):
        numbers = codec.read(flat)
        return np.round(numbers) if isinstance(attribute, IntegerAttribute) else numbers
    codes, _ = codec.encode(flat)
    numbers = codes.astype(np.float64)
    if isinstance(attribute, ListedAttribute) and attribute.whole:
        listed = [float(c) for c in attribute.categories]
        numbers = np.asarray([*listed, *[np.nan] * (attribute.size - len(listed))])[codes]
    numbers[codes >= attribute.values + attribute.has_other] = np.nan
    return numbers


def _column(attribute: Attribute, numbers: np.ndarray, *, form: Form) -> pa.Array:
    """Return numbers as the column of an attribute, as its codec decodes it, in its form."""
    assert isinstance(attribute, CodedAttribute)
    null = np.isnan(numbers)
    codec = codec_of(attribute)
    if isinstance(codec, NumericCodec):
        filled = _on_points(codec, np.where(null, codec.edges[0], numbers))
        values = codec.scale.build(attribute, filled, null)
    elif isinstance(attribute, ListedAttribute):
        if attribute.whole:
            listed = {float(c): i for i, c in enumerate(attribute.categories)}
            numbers = np.array([listed.get(n, 0) for n in numbers.tolist()], dtype=np.float64)
        places = np.where(null, 0, numbers).astype(code_dtype(attribute.size))
        values = pc.if_else(pa.array(~null), codec.decode(places, uniform=np.zeros), None)
    else:
        values = pa.array(np.round(np.where(null, 0, numbers)) == 1, mask=null)
    codes = np.where(null, attribute.size - 1, 0)
    return in_form(attribute, values, codes=codes, form=form)


def _on_points(codec: NumericCodec, numbers: np.ndarray) -> np.ndarray:
    """Return numbers on the points that the schema declares, whole where they have no fractions."""
    grid = codec.scale.grid(codec.attribute)
    if grid is not None:
        told = np.abs(numbers) * grid.denominator < _MOST
        points = grid.points(grid.near(np.where(told, numbers, codec.edges[0])))
        numbers = np.where(told, points, numbers)
    if isinstance(codec.attribute, TimeAttribute):
        numbers = np.clip(numbers, 0, codec.scale.per_unit * 86_400 - 1)
    return np.clip(np.round(numbers), -_MOST, _MOST) if codec.scale.whole else numbers


def _take_apart(recipe: Recipe, values: Values, *, schema: Schema) -> dict[str, pa.Array]:
    """Return what is counted in the place of a recipe's columns."""
    if isinstance(recipe, Follows):
        return {}
    if isinstance(recipe, Choice):
        true = np.stack([values[c] == 1 for c in recipe.columns])
        names = pa.array(recipe.columns)
        return {recipe.name: names.take(pa.array(true.argmax(axis=0)))}
    column = values[recipe.column]
    if isinstance(recipe, OnGrid):
        places = np.round(column / recipe.size)
        return {recipe.name: pa.array(places, mask=np.isnan(places))}
    known = {a.name: a for a in schema.attributes}
    inside = {n: _clip(known[n], values[n]) for n in _compared(recipe)}
    gap = (inside[recipe.column] - _lowest(recipe, inside)) / recipe.scale
    # A row that breaks the order counts as the nearest that keeps it.
    counted = next(a for a in schema.ruled.attributes if a.name == recipe.name)
    assert isinstance(counted, NumericAttribute)
    gap = np.clip(np.round(gap) if recipe.whole else gap, *bounds_of(counted))
    return {recipe.name: pa.array(gap, mask=np.isnan(gap))}


def _compared(gap: Gap) -> tuple[str, ...]:
    return (gap.column, *(a.low for a in gap.lower), *(a.high for a in gap.upper))


def _clip(attribute: Attribute, numbers: np.ndarray) -> np.ndarray:
    """Return numbers within the bounds of their attribute."""
    number = as_numeric(attribute)
    if number is None:
        return numbers
    clipped: np.ndarray = np.clip(numbers, *bounds_of(number))
    return clipped


def _lowest(gap: Gap, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the least that the column of a gap can be in each row; null bounds nothing."""
    rows = len(values[gap.column]) if gap.column in values else len(next(iter(values.values())))
    lowest = np.full(rows, gap.least)
    for apart in gap.lower:
        lowest = np.fmax(lowest, values[apart.low] + apart.least)
    return lowest


def _put_together(
    recipe: Recipe, values: Values, columns: Mapping[str, pa.ChunkedArray], *, ruled: Ruled
) -> Values:
    """Return the columns that a recipe makes, as numbers."""
    if isinstance(recipe, Follows):
        return {recipe.column: evaluate(recipe.value, rows=values)}
    if isinstance(recipe, Choice):
        chosen = pc.cast(columns[recipe.name], pa.string())
        return {
            c: pc.equal(chosen, c).to_numpy(zero_copy_only=False).astype(np.float64)
            if isinstance(chosen, pa.Array)
            else pc.equal(chosen, c).to_numpy().astype(np.float64)
            for c in recipe.columns
        }
    counted = next(a for a in ruled.attributes if a.name == recipe.name)
    numbers = _read(counted, columns[recipe.name])
    if isinstance(recipe, OnGrid):
        return {recipe.column: numbers * recipe.size}
    return {recipe.column: _above(recipe, numbers, values, grid=ruled.grids.get(recipe.column))}


def _above(gap: Gap, numbers: np.ndarray, values: Values, *, grid: float | None) -> np.ndarray:
    """Return the column of a gap: as far above its lowest as was drawn, and below its highest."""
    # The column itself is not known yet; only its bounds are looked at.
    known = {**values, gap.column: numbers}
    column = _lowest(gap, known) + numbers * gap.scale
    highest = np.full(len(numbers), gap.most)
    for apart in gap.upper:
        highest = np.fmin(highest, values[apart.high] - apart.least)
    if grid is not None:
        column = np.ceil(np.minimum(column, highest) / grid - 1e-9) * grid
        return np.where(column > highest, np.floor(highest / grid + 1e-9) * grid, column)
    return np.where(np.isnan(numbers), np.nan, np.minimum(column, highest))


def _tell_nulls(
    patterns: Patterns,
    values: Values,
    columns: dict[str, pa.Array | pa.ChunkedArray],
    *,
    ruled: Ruled,
) -> pa.Array:
    """Return each row's pattern, and make the columns null where the pattern is.

    A row of no pattern takes the one that differs least, and of these one that takes values away.
    """
    nulls = np.stack([np.isnan(values[c]) for c in patterns.columns], axis=1)
    known = np.asarray(patterns.nulls)
    differ = nulls[:, None, :] != known[None, :, :]
    invented = (differ & nulls[:, None, :]).any(axis=2)
    cost = differ.sum(axis=2) + invented * (1 + len(patterns.columns))
    chosen = cost.argmin(axis=1)
    names = {r.column: r.name for r in ruled.recipes if isinstance(r, Gap | OnGrid)}
    for i, column in enumerate(patterns.columns):
        emptied = known[chosen, i] & ~nulls[:, i]
        name = names.get(column, column)
        if emptied.any():
            flat = flatten(columns[name])
            columns[name] = pc.if_else(pa.array(emptied), pa.scalar(None, flat.type), flat)
    return pa.array(patterns.words).take(pa.array(chosen))
