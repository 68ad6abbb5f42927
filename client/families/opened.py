"""Where one of several tables is, and how it is read for the join: none is held whole here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.csv import sniff_dialect
from silosynth.client.families.owners import key_columns
from silosynth.client.source import (
    ARROW,
    PARQUET,
    Reader,
    SourceFormat,
    SourceSpec,
    Wanted,
    files_of,
    is_text_file,
    list_files,
    open_reader,
    read_untyped,
    stored_schema,
)
from silosynth.common.codec import is_text
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema, number_name

if TYPE_CHECKING:
    import pyarrow.dataset as ds

TableSource: TypeAlias = "Path | pa.Table | SourceSpec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One table, one of three ways: ``rows`` that are scanned where they are, a ``query`` of the
    database that the join is in, or a ``reader`` whose pieces are put there.

    ``stored`` are the types of its columns, ``columns`` those that are read.
    """

    name: str
    wanted: Wanted
    stored: pa.Schema = field(default_factory=lambda: pa.schema([]))
    columns: tuple[str, ...] = ()
    rows: pa.Table | ds.Dataset | None = field(default=None, repr=False)
    query: str | None = field(default=None, repr=False)
    reader: Reader | None = field(default=None, repr=False)

    def described(self, stored: pa.Schema) -> Opened:
        """Return it with its columns; raise InvalidTable where one that is needed is missing."""
        origin = f"table {self.name!r}"
        for column in self.wanted.also:
            if column not in stored.names:
                raise InvalidTable(
                    f"{origin}: column {column!r} is missing", hint="it says whose rows are"
                )
        columns = tuple(self.wanted.columns(stored, origin=origin))
        return replace(self, stored=stored, columns=columns)


def as_joined(stored: pa.Schema) -> pa.Schema:
    """Return columns with texts as bytes, and instants, times of day and spans as whole numbers.

    Whether tables can be joined must not depend on one row's: DuckDB stops at bytes that say
    nothing in UTF-8, and at instants beyond its own; the codec does not.
    """
    return pa.schema([pa.field(f.name, _joined_as(f.type)) for f in stored])


def as_stored(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a joined column in its own type again, whatever is in it."""
    kind = plain_type(kind)
    if is_text(kind):
        return column.cast(pa.string(), safe=False)
    if column.type != kind and _joined_as(kind) == column.type:
        return pa.chunked_array([chunk.view(kind) for chunk in column.chunks], kind)
    return column


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values."""
    return kind.value_type if pt.is_dictionary(kind) else kind


def _joined_as(kind: pa.DataType) -> pa.DataType:
    plain = plain_type(kind)
    if is_text(plain):
        return pa.binary()
    if pt.is_time32(plain):
        return pa.int32()
    exact = pt.is_timestamp(plain) or pt.is_time(plain) or pt.is_duration(plain)
    return pa.int64() if exact else kind


def own_columns(schema: TablesSchema, name: str) -> Schema:
    """Return what is counted of a row of a table, but for the numbers of its children."""
    rows = schema.columns[name].rows
    numbers = {number_name(child) for child in schema.below(name)}
    kept = tuple(a for a in rows.attributes if a.name not in numbers)
    return rows.model_copy(update={"attributes": kept})


def wanted_columns(schema: TablesSchema, name: str) -> Wanted:
    """Return what is read of a table: what is counted, and what says whose its rows are."""
    return Wanted(
        schema=own_columns(schema, name),
        allow_extra=True,
        also=tuple(key_columns(schema, name).values()),
        listed=tuple(a.name for a in schema.columns[name].whole.attributes),
    )


def open_table_rows(
    name: str,
    source: TableSource,
    *,
    schema: TablesSchema,
    tell_operator: Callable[[str], None],
    inside: bool = False,
) -> Opened:
    """Open one table; a source of a policy is read as a gateway reads any, whatever rows it holds.

    Args: inside: the join is in the database that the source's query is of.
    """
    wanted = wanted_columns(schema, name)
    opened = Opened(name=name, wanted=wanted)
    try:
        if isinstance(source, Path) and is_text_file(source):
            how = wanted.schema.csv or sniff_dialect(source)
            source = SourceSpec(format=SourceFormat.CSV, path=source, csv=how)
        if not isinstance(source, SourceSpec):
            rows = _scanned(source)
            return _to_scan(opened, rows)
        if inside:
            return replace(opened, query=(source.query or "").strip().rstrip(";"))
        common = common_types(name, source, wanted=wanted)
        if source.format is SourceFormat.PARQUET and source.path is not None:
            files = list_files(source.path, endings=PARQUET)
            return _to_scan(opened, _dataset(files, schema=common))
        opened = replace(opened, stored=common or opened.stored)
        tell = partial(_tell_of, name, tell_operator)
        reader = open_reader(source, wanted=wanted, tell_operator=tell)
    except InvalidTable as err:
        raise _of(name, err) from None
    except (pa.ArrowException, OSError):
        raise InvalidTable(f"table {name!r} cannot be read", hint="export it again") from None
    return replace(opened, reader=reader)


def common_types(name: str, source: SourceSpec, *, wanted: Wanted) -> pa.Schema | None:
    """Return the types of the columns that all files of a table have; None where it is no folder
    of files with types.

    Raises InvalidTable, by the files' schemas alone, where types differ: were values of one brought
    to another, one row could decide whether they can be. Columns of nulls alone go with any type.
    """
    ending = {SourceFormat.PARQUET: PARQUET, SourceFormat.ARROW: ARROW}.get(source.format)
    if ending is None or source.path is None or not source.path.is_dir():
        return None
    found: dict[str, pa.Field] = {}
    for file in list_files(source.path, endings=ending):
        described = Opened(name=name, wanted=wanted).described(stored_schema(file))
        for column in described.columns:
            field_here = described.stored.field(column)
            known = found.setdefault(column, field_here)
            if pt.is_null(known.type):
                found[column] = field_here
            elif not pt.is_null(field_here.type) and _differ(known.type, field_here.type):
                raise InvalidTable(
                    f"table {name!r}: {file}: column {column!r} is {field_here.type} here and "
                    f"{known.type} in a file before it",
                    hint="write all files of a table with the same types",
                )
    return pa.schema(list(found.values()))


def _differ(one: pa.DataType, other: pa.DataType) -> bool:
    """Say whether two types are joined otherwise; a text is a text however it is stored."""
    texts = is_text(plain_type(one)) and is_text(plain_type(other))
    return not texts and plain_type(one) != plain_type(other)


def source_files(sources: Iterable[TableSource]) -> list[Path]:
    """Return the files that tables are in, so that a change of one while it is read is noticed."""
    found = []
    for source in sources:
        if isinstance(source, SourceSpec):
            found += files_of(source)
        elif isinstance(source, Path):
            found.append(source)
    return found


def all_in_one(sources: Mapping[str, TableSource], kind: SourceFormat) -> SourceSpec | None:
    """Return one of the sources where all are queries of one and the same database."""
    specs = [s for s in sources.values() if isinstance(s, SourceSpec) and s.format is kind]
    places = {(s.path, s.uri) for s in specs}
    return specs[0] if len(specs) == len(sources) and len(places) == 1 else None


def _scanned(source: Path | pa.Table) -> pa.Table | ds.Dataset:
    if not isinstance(source, Path):
        return source
    if source.name.lower().endswith(PARQUET):
        return _dataset(source)
    return read_untyped(source)


def _tell_of(name: str, tell: Callable[[str], None], line: str) -> None:
    tell(f"{name}: {line}")


def _to_scan(opened: Opened, rows: pa.Table | ds.Dataset) -> Opened:
    """Return a table that is scanned where it is, in types that no value makes fail."""
    opened = opened.described(rows.schema)
    read = as_joined(pa.schema([rows.schema.field(name) for name in opened.columns]))
    if isinstance(rows, pa.Table):
        return replace(opened, rows=rows.select(list(opened.columns)).cast(read))
    return replace(opened, rows=_dataset(rows.files, schema=read))


def _dataset(files: Path | Sequence[Path | str], *, schema: pa.Schema | None = None) -> ds.Dataset:
    """Return Parquet files as what is scanned; Arrow brings pandas for it, which takes a second."""
    import pyarrow.dataset as ds

    return ds.dataset(files, format="parquet", schema=schema)


def _of(name: str, err: InvalidTable) -> InvalidTable:
    """Return what is wrong with a table, naming it where the words do not yet."""
    named = err.message if repr(name) in err.message else f"table {name!r}: {err.message}"
    return InvalidTable(named, hint=err.hint)
