"""Counting as SQL for PostgreSQL: codes, points, rows per person, joint tables as GROUPING SETS.

Codes in SQL are those of the codec. Bins come from ``width_bucket`` on the codec's own edges. What
a listed value is coded as is asked of the codec, for each distinct value of the column, so that
white space, truth values and numbers as text mean the same here and there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.counting import Column, JointTable, Layout
from silosynth.client.maps import FARTHEST, NEAREST, ColumnMap, SiloMap, as_number, map_column
from silosynth.common.codec import ListedCodec, NumericCodec, codec_of, flatten, is_text
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CodedAttribute
from silosynth.common.values import ClockCells, Closer, Endings, Partition, ValueGrid

MOST_SETS = 31
"""PostgreSQL's GROUPING() takes at most so many arguments."""

_LARGEST, _SMALLEST = "1e300", "1e-300"


class Kind(Enum):
    """What PostgreSQL holds in a column."""

    TEXT = "text"
    WHOLE = "a whole number"
    FLOAT = "a float"
    NUMERIC = "a numeric"
    BOOLEAN = "a boolean"
    DATE = "a date"
    TIMESTAMP = "a timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a column of the schema is on the server, what it holds, and how the map reads it."""

    name: str
    kind: Kind
    how: ColumnMap


def column_kind(field: pa.Field) -> Kind:
    """Return the kind of a column as the driver describes it; InvalidTable for any other."""
    kind = field.type
    tests = (
        (is_text, Kind.TEXT),
        (pt.is_integer, Kind.WHOLE),
        (pt.is_floating, Kind.FLOAT),
        (pt.is_boolean, Kind.BOOLEAN),
        (pt.is_date, Kind.DATE),
        (pt.is_timestamp, Kind.TIMESTAMP),
    )
    for test, found in tests:
        if test(kind):
            return found
    if is_numeric(field):
        return Kind.NUMERIC
    if is_spelled(kind):
        return Kind.TEXT
    raise _uncast(field.name, "has a type that is not counted in SQL")


def is_numeric(field: pa.Field) -> bool:
    """Say whether a column is a decimal number of any length, which the driver gives as text."""
    return getattr(field.type, "type_name", "") == "numeric"


def is_spelled(kind: pa.DataType) -> bool:
    """Say whether a type is the server's own, such as an enum or inet, which it casts to text."""
    opaque = isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.opaque"
    return opaque and any(f(kind.storage_type) for f in (pt.is_binary, pt.is_fixed_size_binary))


def find_stored(attribute: CodedAttribute, *, columns: pa.Schema, silo_map: SiloMap) -> Stored:
    """Return where an attribute is among a query's columns."""
    name = silo_map.origin(attribute.name)
    how = silo_map.column(attribute.name)
    return Stored(name=name, kind=column_kind(columns.field(name)), how=how)


def is_listed(attribute: CodedAttribute) -> bool:
    """Say whether codes depend on a list of values."""
    return isinstance(codec_of(attribute), ListedCodec)


def distinct_sql(stored: Stored, *, query: str) -> str:
    """Return the SELECT of a listed column's distinct values as text."""
    if stored.kind is Kind.TIMESTAMP:
        raise _uncast(stored.name, "is a timestamp, whose categories are not counted in SQL")
    value = _text(quote(stored.name), stored.kind)
    return f'SELECT DISTINCT {value} COLLATE "C" AS value FROM ({query}) AS source'


def tally_sql(stored: Stored, *, query: str) -> str:
    """Return the SELECT of a listed column's distinct values as text, with the rows of each."""
    if stored.kind is Kind.TIMESTAMP:
        raise _uncast(stored.name, "is a timestamp, whose categories are not counted in SQL")
    value = _text(quote(stored.name), stored.kind)
    return (
        f'SELECT {value} COLLATE "C" AS value, count(*)::bigint AS rows '
        f"FROM ({query}) AS source GROUP BY 1"
    )


def fit_sql(attribute: CodedAttribute, *, stored: Stored, query: str) -> str:
    """Return the SELECT of one row: how many of a number's rows are absent, or beyond the bounds.

    Beside them ``rows`` of all, and the lowest and highest number before and after the map.
    """
    codec = _bins_of(attribute)
    tokens = "".join(f" OR after = {_float(float(t))}" for t in codec.tokens)
    absent = f"(after IS NULL{tokens})"
    low, high = (_float(float(edge)) for edge in (codec.edges[0], codec.edges[-1]))
    above = ">" if codec.scale.closed else ">="
    ends = "min(before) AS low, max(before) AS high, min(after) AS least, max(after) AS most"
    numbers = (
        f"SELECT {_number(attribute, stored)} AS before, "
        f"{_mapped_number(attribute, stored)} AS after FROM ({query}) AS source"
    )
    return (
        f"SELECT count(*)::bigint AS rows, "
        f"(count(*) FILTER (WHERE {absent}))::bigint AS absent, "
        f"(count(*) FILTER (WHERE NOT {absent} AND (after < {low} OR after {above} {high})))"
        f"::bigint AS beyond, {ends} FROM ({numbers}) AS numbers"
    )


def listed_code_sql(attribute: CodedAttribute, *, stored: Stored, values: pa.Array) -> str:
    """Return the code of a listed column, given its distinct values."""
    codec = codec_of(attribute)
    if not isinstance(codec, ListedCodec):
        raise InvalidTable(f"{attribute.name!r} is not a listed attribute")
    # The last is null, whatever the column holds.
    values = pa.concat_arrays([values.cast(pa.large_string()), pa.nulls(1, pa.large_string())])
    codes, _ = codec.encode(flatten(map_column(values, stored.how, attribute)))
    pairs = zip(values.to_pylist(), codes.tolist(), strict=True)
    known = {v: code for v, code in pairs if v is not None and code != codec.unseen_code}
    value = _text(quote(stored.name), stored.kind)
    listed = quote_text(json.dumps(known, ensure_ascii=False))
    return (
        f"CASE WHEN {value} IS NULL THEN {int(codes[-1])} "
        f"ELSE COALESCE(({listed}::jsonb ->> {value})::int, {codec.unseen_code}) END"
    )


def bin_code_sql(attribute: CodedAttribute, *, stored: Stored) -> str:
    """Return the code of a number or an instant."""
    codec = _bins_of(attribute)
    number = _mapped_number(attribute, stored)
    inner = ",".join(repr(float(edge)) for edge in codec.edges[1:-1])
    found = f"width_bucket({number}, ARRAY[{inner}]::float8[])" if inner else "0"
    tokens = "".join(f" OR {number} = {float(t)!r}::float8" for t in codec.tokens)
    absent = attribute.size - 1 if attribute.missing else 0
    return f"CASE WHEN {number} IS NULL{tokens} THEN {absent} ELSE {found} END"


def point_sql(attribute: CodedAttribute, *, stored: Stored, grid: ValueGrid) -> str:
    """Return the point of a number or an instant; -1 where it has the code of missing.

    Never null: what a person's rows are ordered by is made of all points, and of no null.
    """
    codec = _bins_of(attribute)
    number = _mapped_number(attribute, stored)
    power = f"{10 ** abs(grid.decimals)}::float8"
    near = _bounded_number(number)
    if grid.real:
        scaled = f"{near} {'*' if grid.decimals >= 0 else '/'} {power}"
        place = f"floor({scaled} + 0.5::float8) - {grid.first}::float8"
        if grid.stride > 1:
            apart = f"({scaled} - {grid.first}::float8) / {grid.stride}::float8"
            place = f"floor({apart} + 0.5::float8)"
    elif grid.months:
        place = f"floor(({_month(near, grid)} - {grid.first}) / {grid.stride}::float8)"
    else:
        place = f"floor(({near} - {grid.first}::float8) / {grid.stride}::float8)"
    bounded = f"LEAST(GREATEST({place}, 0::float8), {grid.points - 1}::float8)::bigint"
    absent = "-1" if attribute.missing else "0"
    tokens = "".join(f" OR {number} = {float(t)!r}::float8" for t in codec.tokens)
    return f"CASE WHEN {number} IS NULL{tokens} THEN {absent} ELSE {bounded} END"


def _month(number: str, grid: ValueGrid) -> str:
    """Return the months since 1970 of microseconds, held inside the points."""
    low, high = (_float(grid.edge(at)) for at in (0, grid.points - 1))
    days = f"floor(LEAST(GREATEST({number}, {low}), {high}) / 86400000000::float8)"
    day = f"(date '1970-01-01' + {days}::int)"
    return f"(extract(year FROM {day}) * 12 + extract(month FROM {day}) - {1970 * 12 + 1})::float8"


def cell_sql(partition: Partition, *, point: str) -> str:
    """Return the cell of a point; null outside of the partition."""
    if isinstance(partition, Endings):
        place = f"({point} + {partition.grid.phase})"
        pairs = list(enumerate(partition.moduli, start=1))[::-1]
        tests = " ".join(f"WHEN {place} % {m} = 0 THEN {i}" for i, m in pairs)
        return f"CASE {tests} ELSE 0 END"
    if isinstance(partition, ClockCells):
        return _clock_cell(partition, point=point)
    leaves = partition.leaves if isinstance(partition, Closer) else partition
    leaf = f"(({point} + {leaves.offset}) / {leaves.join})"
    place = f"(({point} + {leaves.offset}) % {leaves.join})"
    if isinstance(partition, Closer):
        chosen = f"ARRAY[{','.join(map(str, partition.chosen))}]::bigint[]"
        rank = f"(array_position({chosen}, {leaf}) - 1)"
        return f"{rank} * {partition.width} + {place} / {partition.below} % {partition.width}"
    if leaves.join == 1:
        return point
    return f"2 * {leaf} + CASE WHEN {place} > 0 THEN 1 ELSE 0 END"


def _clock_cell(partition: ClockCells, *, point: str) -> str:
    """Return the hour or weekday of a point, which is worked out twice, and not for each turn."""
    grid, clocks = partition.grid, partition.clocks
    place = f"width_bucket({point}, ARRAY{list(clocks.turns)}::bigint[])"
    begin = f"(ARRAY{clocks.begins(grid).tolist()}::bigint[])[{place} + 1]"
    shown = f"({begin} + {point} % {clocks.period(grid)} * {grid.stride}::bigint)"
    return f"{shown} / {partition.length}::bigint % {partition.cells}"


def value_count_sql(partition: Partition, *, column: str, coded: str) -> str:
    """Return a SELECT of (cell, rows) of one partition of the points in ``column``."""
    cell = cell_sql(partition, point=column)
    return (
        f"SELECT ({cell})::bigint AS cell, count(*)::bigint AS rows FROM ({coded}) AS coded "
        f"WHERE {column} >= 0 AND ({cell}) IS NOT NULL GROUP BY 1"
    )


def coded_sql(
    codes: Mapping[str, str], *, query: str, person: tuple[str, Kind] | None, bound: int, key: bytes
) -> str:
    """Return a SELECT of c0, c1, ...: the codes of the rows that are counted.

    With a person column, at most ``bound`` rows of each person: those that come first by the hash
    of key, person and codes. Rows without a person are not counted. So what is kept of a person
    depends on that person's rows and the key alone, and rows of equal codes are interchangeable.
    """
    names = [f"c{i}" for i in range(len(codes))]
    columns = ", ".join(f"{sql} AS {name}" for name, sql in zip(names, codes.values(), strict=True))
    if person is None:
        return f"SELECT {columns} FROM ({query}) AS source"
    column, kind = person
    value = quote(column)
    if kind in (Kind.FLOAT, Kind.NUMERIC):
        value = f"NULLIF({value}, 'NaN')"
    hashed = " || ',' || ".join([f"'{key.hex()}'", "person::text", *names])
    return (
        f"SELECT {', '.join(names)} FROM (SELECT *, row_number() OVER ("
        f"PARTITION BY person ORDER BY md5({hashed})) AS place FROM ("
        f"SELECT {columns}, {value} AS person FROM ({query}) AS source) AS coded "
        f"WHERE person IS NOT NULL) AS placed WHERE place <= {int(bound)}"
    )


def count_sql(tables: Sequence[JointTable], *, layout: Layout, coded: str) -> str:
    """Return a SELECT of (set, cell, count) over at most 31 joint tables, in one scan."""
    cells = ", ".join(f"{_cell(t, layout=layout)} AS t{i}" for i, t in enumerate(tables))
    names = ", ".join(f"t{i}" for i in range(len(tables)))
    sets = ", ".join(f"(t{i})" for i in range(len(tables)))
    return (
        f"SELECT GROUPING({names})::bigint AS grouped, COALESCE({names})::bigint AS cell, "
        f"count(*)::bigint AS rows FROM (SELECT {cells} FROM ({coded}) AS coded) AS cells "
        f"GROUP BY GROUPING SETS ({sets})"
    )


def add_counts(
    result: pa.Table, *, tables: Sequence[JointTable], totals: Sequence[np.ndarray]
) -> None:
    """Add the rows of a ``count_sql`` result to the tables' totals, in place."""
    grouped, cell, rows = (result[name].to_numpy() for name in ("grouped", "cell", "rows"))
    for i, (table, total) in enumerate(zip(tables, totals, strict=True)):
        others = (1 << len(tables)) - 1 - (1 << (len(tables) - 1 - i))
        chosen = grouped == others
        if chosen.any() and not 0 <= cell[chosen].min() <= cell[chosen].max() < table.cells:
            raise InvalidTable("the server counted cells that are not there")
        np.add.at(total, cell[chosen], rows[chosen])


def _bins_of(attribute: CodedAttribute) -> NumericCodec:
    """Return the codec of a number; InvalidTable for what is not counted in SQL."""
    codec = codec_of(attribute)
    if not isinstance(codec, NumericCodec):
        raise InvalidTable(f"{attribute.name!r} has no bins that SQL can count")
    if attribute.missing_apart:
        raise InvalidTable(
            f"{attribute.name!r} has missing_apart, which is not counted in SQL",
            hint="leave push_down out",
        )
    return codec


def quote(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text as an SQL literal, whatever standard_conforming_strings says."""
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{doubled}'"


def _cell(table: JointTable, *, layout: Layout) -> str:
    """Return the cell of a row, row-major."""
    cell = ""
    for member, size in zip(table.members, table.shape, strict=True):
        group = _group(layout.columns[member])
        cell = f"({cell}) * {size} + {group}" if cell else f"({group})::bigint"
    return cell


def _group(column: Column) -> str:
    """Return the group of a row's code."""
    if column.lookup is None:
        return f"c{column.index}"
    return f"(ARRAY[{','.join(map(str, column.lookup.tolist()))}])[c{column.index} + 1]"


def _text(name: str, kind: Kind) -> str:
    """Return a column as text, null for not-a-number."""
    if kind in (Kind.FLOAT, Kind.NUMERIC):
        return f"NULLIF({name}, 'NaN')::text"
    return f"{name}::text"


def _mapped_number(attribute: CodedAttribute, stored: Stored) -> str:
    """Return a number as the map has it, computed as where rows are read here."""
    how = stored.how
    if how.format is not None:
        raise _uncast(stored.name, "has a format in the map, which text alone has")
    found = number = _number(attribute, stored)
    if how.calculates:
        found = f"({_bounded_number(number)} * {how.scale!r}::float8 + {how.offset!r}::float8)"
        found = f"floor({found} + 0.5::float8)" if attribute.kind == "integer" else found
        found = f"CASE WHEN {number} IS NOT NULL THEN {found} END"
    tests = ""
    for word, target in reversed(tuple((how.words or {}).items())):
        led = "NULL" if target is None else f"{float(target)!r}::float8"
        if not word:
            tests += f" WHEN {number} IS NULL THEN {led}"
        elif (known := as_number(word)) is not None and known == known:
            tests += f" WHEN {number} = {_float(known)} THEN {led}"
    return f"(CASE{tests} ELSE {found} END)" if tests else f"({found})"


def _bounded_number(number: str) -> str:
    """Return a number that no product with a public factor can overflow, or underflow.

    The server refuses a query for one such product, which would tell of the row.
    """
    bounded = f"LEAST(GREATEST({number}, -{FARTHEST!r}::float8), {FARTHEST!r}::float8)"
    return f"(CASE WHEN abs({number}) < {NEAREST!r}::float8 THEN 0::float8 ELSE {bounded} END)"


def _float(number: float) -> str:
    """Return a float as SQL spells it."""
    if number in (float("inf"), -float("inf")):
        return f"'{'-' * (number < 0)}Infinity'::float8"
    return f"{number!r}::float8"


def _number(attribute: CodedAttribute, stored: Stored) -> str:
    """Return a column as float8, null for not-a-number; no value can make it fail."""
    name, kind = quote(stored.name), stored.kind
    if attribute.kind == "datetime":
        if kind not in (Kind.DATE, Kind.TIMESTAMP):
            raise _uncast(stored.name, f"is {kind.value}; an instant is needed")
        if kind is Kind.TIMESTAMP and getattr(attribute, "local", False):
            raise _uncast(stored.name, "is read by the clocks of a zone, which SQL does not count")
        return f"(EXTRACT(epoch FROM {name}) * 1000000)::float8"
    if kind is Kind.NUMERIC:
        # LEAST and GREATEST pass over null, and 'NaN' equals itself here.
        bounded = f"LEAST(GREATEST({name}, -{_LARGEST}), {_LARGEST})"
        return (
            f"(CASE WHEN abs({name}) < {_SMALLEST} THEN 0 "
            f"WHEN {name} <> 'NaN' THEN {bounded} END)::float8"
        )
    if kind is Kind.FLOAT:
        return f"NULLIF({name}::float8, 'NaN')"
    if kind is Kind.BOOLEAN:
        return f"{name}::int::float8"
    if kind is Kind.WHOLE:
        return f"{name}::float8"
    raise _uncast(stored.name, f"is {kind.value}; a number is needed")


def _uncast(name: str, what: str) -> InvalidTable:
    return InvalidTable(f"column {name!r} {what}", hint="cast it in the query")
