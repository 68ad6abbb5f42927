"""Read a silo's table, and tell its operator how it fits the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pyarrow.types as pt

from silosynth.common.codec.codec import Codec
from silosynth.common.codec.columns import TableLike, as_table, check_columns
from silosynth.common.errors import InvalidTable
from silosynth.common.schema.schema import IntegerAttribute, RealAttribute, Schema

Result = TypeVar("Result")
TableSource: TypeAlias = "Path | TableLike"

CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
_TEXT = pa.string()
_INFERRED = (pa.int64(), pa.float64(), pa.string(), pa.null())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which columns are read: the schema's, and the one that names persons."""

    schema: Schema
    allow_extra: bool = False
    person_column: str | None = None

    def columns(self, stored: pa.Schema, *, origin: str) -> list[str]:
        """Return the names to read, in stored order; raise InvalidTable as check_columns does."""
        person, declared = self.person_column, {a.name for a in self.schema.attributes}
        if person is not None and person not in stored.names:
            raise InvalidTable(
                f"{origin}: column {person!r}, which names persons, is missing",
                hint="add it, or name another person column in the policy",
            )
        checked = stored
        if person is not None and person not in declared:
            checked = pa.schema([field for field in stored if field.name != person])
        check_columns(checked, schema=self.schema, allow_extra=self.allow_extra, origin=origin)
        return [name for name in stored.names if name in declared or name == person]


def read_table(
    source: TableSource,
    *,
    schema: Schema,
    allow_extra: bool = False,
    person_column: str | None = None,
) -> pa.Table:
    """Read the schema's columns of a Parquet, CSV or Arrow file, or of a frame in memory.

    In CSV files an empty field is null, numbers may be text, and every other column is text, so
    that leading zeros survive. Zero rows are a table. The person column is read too, whether or
    not the schema declares it.

    Raises InvalidTable naming the file, the column and the remedy, and no value.
    """
    wanted = Wanted(schema=schema, allow_extra=allow_extra, person_column=person_column)
    if not isinstance(source, Path):
        table = as_table(source)
        return table.select(wanted.columns(table.schema, origin="table"))
    return guarded(source, lambda: _read(source, wanted=wanted))


def read_untyped(source: TableSource) -> pa.Table:
    """Read all columns as they are stored; those of a CSV file as text."""
    if not isinstance(source, Path):
        return as_table(source)
    if not source.name.lower().endswith(CSV):
        return guarded(source, lambda: as_table(_read_stored(source, columns=None)))
    return guarded(source, lambda: _read_csv(source, types=dict.fromkeys(_header(source), _TEXT)))


def check_table(
    table: pa.Table, *, schema: Schema, allow_extra: bool = False, origin: str = "table"
) -> tuple[str, ...]:
    """Return what a silo's operator should know before the silo takes part.

    The lines hold counts of private values: they are for the operator's eyes alone.
    Raises InvalidTable when a column is missing, undeclared or of an impossible type.
    """
    encoded = Codec(schema).encode(table, allow_extra=allow_extra, origin=origin)
    warnings = [str(note) for note in encoded.notes]
    warnings += [
        f"{attribute.name}: not in the table; nothing is counted from it"
        for attribute in schema.attributes
        if attribute.name not in table.column_names
    ]
    if encoded.rows == 0:
        warnings.append("the table has no rows: this silo would add nothing but noise")
    return tuple(warnings)


def _read(path: Path, *, wanted: Wanted) -> pa.Table:
    if not path.name.lower().endswith(CSV):
        return _read_stored(path, columns=wanted.columns(_stored_schema(path), origin=str(path)))
    untyped = pa.schema([(name, pa.null()) for name in _header(path)])
    declared = wanted.columns(untyped, origin=str(path))
    numbers = {
        a.name for a in wanted.schema.attributes if isinstance(a, IntegerAttribute | RealAttribute)
    }
    types = {name: None if name in numbers else _TEXT for name in declared}
    table = _read_csv(path, types=types)
    odd = {f.name: _TEXT for f in table.schema if f.type not in _INFERRED}
    return _read_csv(path, types=types | odd) if odd else table


def _header(path: Path) -> list[str]:
    with csv.open_csv(path, parse_options=_dialect(path)) as reader:
        return list(reader.schema.names)


def _read_csv(path: Path, *, types: dict[str, pa.DataType | None]) -> pa.Table:
    """Read the columns of ``types``; those without a type are inferred."""
    options = csv.ConvertOptions(
        include_columns=list(types),
        column_types={name: kind for name, kind in types.items() if kind is not None},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(path, parse_options=_dialect(path), convert_options=options)


def _dialect(path: Path) -> csv.ParseOptions:
    tabbed = ".tsv" in "".join(path.suffixes).lower()
    return csv.ParseOptions(delimiter="\t" if tabbed else ",", newlines_in_values=True)


def _stored_schema(path: Path) -> pa.Schema:
    if path.name.lower().endswith(PARQUET):
        return pq.read_schema(path)
    return open_arrow(path).schema


def _read_stored(path: Path, *, columns: list[str] | None) -> pa.Table:
    if path.name.lower().endswith(PARQUET):
        text = [f.name for f in pq.read_schema(path) if pt.is_string(f.type)]
        return pq.read_table(path, columns=columns, read_dictionary=text, partitioning=None)
    table = open_arrow(path).read_all()
    return table if columns is None else table.select(columns)


def open_arrow(path: Path) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    """Open an Arrow file, or a stream saved as one."""
    if not path.name.lower().endswith(ARROW):
        known = ", ".join((*PARQUET, *CSV, *ARROW))
        raise InvalidTable(f"{path}: unknown kind of file", hint=f"use one of {known}")
    try:
        return pa.ipc.open_file(path)
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(path)


def guarded(path: Path, read: Callable[[], Result]) -> Result:
    """Run ``read``; turn foreign errors, whose text may quote rows, into ours without it."""
    if path.is_dir():
        raise InvalidTable(f"{path}: is a folder", hint="name a file in it")
    try:
        return read()
    except FileNotFoundError:
        raise InvalidTable(f"{path}: no such file", hint="check the path") from None
    except OSError as err:
        raise InvalidTable(f"{path}: cannot be read: {err.strerror or 'damaged'}") from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise InvalidTable(f"{path}: {_damage(path)}", hint="export the table again") from None


def _damage(path: Path) -> str:
    if not path.name.lower().endswith(CSV):
        return "is damaged, or not the kind of file that its name says"
    return "is not UTF-8 text with a header line and as many fields on every line"
