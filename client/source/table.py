"""Read a silo's table, and tell its operator how it fits the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar
from zipfile import BadZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from silosynth.client.csv import name_columns, read_csv
from silosynth.client.maps import NO_MAP, SiloMap, map_table, read_by, seen_as
from silosynth.common.codec import Codec, TableLike, as_table, check_columns
from silosynth.common.errors import InvalidTable
from silosynth.common.files import SHEETS, TEXT_ENDINGS, packed, unreadable_table
from silosynth.common.schema import CsvDialect, Schema

Result = TypeVar("Result")
TableSource: TypeAlias = "Path | TableLike"

CSV = packed(TEXT_ENDINGS)
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
ENDINGS = (*PARQUET, *CSV, *ARROW, *SHEETS)
"""The endings of all files that are tables, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which columns are read: the schema's, by the silo's map, and the one that names persons.

    ``also`` are read too, as they are stored: what says of several tables whose rows are.
    ``listed`` are the columns of a file without a header line, where not the schema's.
    """

    schema: Schema
    allow_extra: bool = False
    person_column: str | None = None
    silo_map: SiloMap = NO_MAP
    also: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def spelled(self) -> Schema:
        """Return the schema as what is read spells its values."""
        return read_by(self.schema, self.silo_map)

    @property
    def map_key(self) -> str:
        """Return what tells one map from another; nothing without one."""
        return f" {self.silo_map.model_dump_json()}" if self.silo_map.columns else ""

    def mapped(self, table: pa.Table) -> pa.Table:
        """Return rows as they were read, in the schema's names, words and units."""
        return map_table(
            table, schema=self.schema, silo_map=self.silo_map, person=self.person_column
        )

    def names(self) -> tuple[str, ...]:
        """Return the names of a file's columns where it has no header line: all declared ones."""
        held = (a.name for a in self.schema.attributes if a.name not in self.silo_map.absent)
        return self.listed or tuple(self.silo_map.origin(name) for name in held)

    def columns(self, stored: pa.Schema, *, origin: str) -> list[str]:
        """Return the names to read, in stored order; raise InvalidTable as check_columns does."""
        person, declared = self.person_column, {a.name for a in self.schema.attributes}
        if person is not None and person not in stored.names:
            raise InvalidTable(
                f"{origin}: column {person!r}, which names persons, is missing",
                hint="add it, or name another person column in the policy",
            )
        if person in declared and self.silo_map.origin(person or "") != person:
            raise InvalidTable(
                f"{origin}: column {person!r} names persons, and the map takes {person!r} from "
                "another column",
                hint="give the column that names persons another name",
            )
        checked = seen_as(stored, schema=self.schema, silo_map=self.silo_map, origin=origin)
        if person is not None and person not in declared:
            checked = pa.schema([field for field in checked if field.name != person])
        check_columns(checked, schema=self.spelled, allow_extra=self.allow_extra, origin=origin)
        unread = self.schema.unread | self.silo_map.absent
        held = (a.name for a in self.schema.attributes if a.name not in unread)
        read = {person, *self.also, *map(self.silo_map.origin, held)}
        return [name for name in stored.names if name in read]


def read_table(
    source: TableSource,
    *,
    schema: Schema,
    allow_extra: bool = False,
    person_column: str | None = None,
    dialect: CsvDialect | None = None,
    silo_map: SiloMap = NO_MAP,
) -> pa.Table:
    """Read the schema's columns of a file that is a table, or of a frame in memory.

    In text files an empty field is null and every column is text, so that leading zeros survive;
    they are written as ``dialect`` or the schema says, with commas where neither does. Zero rows
    are a table. The person column is read too, whether or not the schema declares it. Columns
    that a ``silo_map`` names are read under their own names, and not mapped.

    Raises InvalidTable naming the file, the column and the remedy, and no value.
    """
    wanted = Wanted(
        schema=schema, allow_extra=allow_extra, person_column=person_column, silo_map=silo_map
    )
    if not isinstance(source, Path):
        table = as_table(source)
        return table.select(wanted.columns(table.schema, origin="table"))
    return guarded(source, lambda: _read(source, wanted=wanted, dialect=dialect))


def read_untyped(source: TableSource, *, dialect: CsvDialect | None = None) -> pa.Table:
    """Read all columns as they are stored; those of a text file as text.

    Args: dialect: how a text file is written; see :func:`sniff_dialect`.
    """
    if not isinstance(source, Path):
        return as_table(source)
    if is_text_file(source):
        return guarded(source, lambda: read_csv(source, dialect=dialect))
    return guarded(source, lambda: as_table(_read_stored(source, columns=None)))


def stored_schema(source: TableSource) -> pa.Schema:
    """Return the types that a table's columns are stored in, before any is read."""
    if isinstance(source, Path):
        return guarded(source, lambda: _stored_schema(source))
    return source.schema if isinstance(source, pa.Table) else as_table(source).schema


def is_text_file(path: Path) -> bool:
    """Say whether a file is text with delimiters, by its name."""
    return path.name.lower().endswith(CSV)


def table_name(path: Path) -> str:
    """Return the name of a file without the ending that says what kind of table it is."""
    lower = path.name.lower()
    ending = max((e for e in ENDINGS if lower.endswith(e)), key=len, default="")
    return path.name[: len(path.name) - len(ending)]


def tables_in(folder: Path) -> list[Path]:
    """Return what is a table in a folder, by its ending."""
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(ENDINGS))


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


def _read(path: Path, *, wanted: Wanted, dialect: CsvDialect | None) -> pa.Table:
    if not is_text_file(path):
        return _select(path, wanted=wanted)
    table = read_csv(path, dialect=dialect or wanted.schema.csv, names=wanted.names())
    return table.select(wanted.columns(table.schema, origin=str(path)))


def _select(path: Path, *, wanted: Wanted) -> pa.Table:
    """Read the columns that are wanted of a file with types."""
    if not path.name.lower().endswith(SHEETS):
        columns = wanted.columns(_stored_schema(path), origin=str(path))
        return as_table(_read_stored(path, columns=columns))
    table = as_table(_read_stored(path, columns=None))
    return table.select(wanted.columns(table.schema, origin=str(path)))


def _stored_schema(path: Path) -> pa.Schema:
    if path.name.lower().endswith(SHEETS):
        return read_excel(path).schema
    if path.name.lower().endswith(PARQUET):
        return pq.read_schema(path)
    return open_arrow(path).schema


def _read_stored(path: Path, *, columns: list[str] | None) -> pa.Table:
    if path.name.lower().endswith(SHEETS):
        return read_excel(path)
    if path.name.lower().endswith(PARQUET):
        text = [f.name for f in pq.read_schema(path) if pt.is_string(f.type)]
        return pq.read_table(path, columns=columns, read_dictionary=text, partitioning=None)
    table = open_arrow(path).read_all()
    return table if columns is None else table.select(columns)


def read_excel(path: Path) -> pa.Table:
    """Read a sheet of Excel or a file of Stata or SAS; a column without a name is its place."""
    from silosynth.common.codec import read_sheet  # see there why not above

    try:
        table = read_sheet(path)
    except ModuleNotFoundError as err:
        raise InvalidTable(
            f"{path}: Excel files need {err.name}, which is not installed",
            hint="install silosynth[excel], or save the sheet as CSV",
        ) from None
    except (ValueError, KeyError, BadZipFile):
        raise InvalidTable(
            f"{path}: is no {_program(path)} file, or is damaged",
            hint="save it again, or as CSV",
        ) from None
    return table.rename_columns(name_columns(table.column_names))


def _program(path: Path) -> str:
    return {".dta": "Stata", ".sas7bdat": "SAS", ".xpt": "SAS"}.get(path.suffix.lower(), "Excel")


def open_arrow(path: Path) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    """Open an Arrow file, or a stream saved as one."""
    if not path.name.lower().endswith(ARROW):
        known = ", ".join(ENDINGS)
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
    except OSError as err:
        raise unreadable_table(path, err) from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise InvalidTable(
            f"{path}: is damaged, or not the kind of file that its name says",
            hint="export the table again",
        ) from None
