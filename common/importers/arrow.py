"""Read an Arrow schema: types alone, never a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from silosynth.common.codec import is_instant, is_text, stored_name
from silosynth.common.errors import InvalidSchema
from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    describe_attribute,
)

_RESOLUTIONS = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "microsecond"}
_NATURAL = {"integer": "int64", "real": "double", "boolean": "bool"}
_NATURAL |= dict.fromkeys(("categorical", "ordinal"), "dictionary")
ARROW_SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")


def read_arrow_schema(path: Path) -> pa.Schema:
    """Return the schema of a Parquet or Arrow file without reading rows."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pq.read_schema(path)
        try:
            return pa.ipc.open_file(path).schema
        except pa.ArrowInvalid:
            return pa.ipc.open_stream(path).schema
    except OSError as err:
        raise InvalidSchema(f"{path}: cannot be read: {err.strerror or 'damaged'}") from None
    except pa.ArrowException:
        raise InvalidSchema(f"{path}: is damaged, or no Arrow or Parquet file") from None


def import_arrow(schema: pa.Schema, *, name: str) -> ImportedSchema:
    """Return the schema document of an Arrow schema; bounds and categories are left to declare."""
    described = [_attribute(field) for field in schema]
    left_out = [f.name for f, a in zip(schema, described, strict=True) if a is None]
    notes = [f"{column}: its type cannot be modelled; drop the column" for column in left_out]
    return assemble([a for a in described if a is not None], name=name, notes=notes)


def _attribute(field: pa.Field) -> ImportedAttribute | None:
    kind = _kind(field.type)
    if kind is None:
        return None
    if kind == "text":
        why = "text: left out of the model; make it categorical and list categories to include it"
        return describe_attribute(field.name, kind, notes=[why])
    if kind == "empty":
        return describe_attribute(field.name, kind)
    facts: dict[str, Any] = {"missing": True} if field.nullable else {}
    return describe_attribute(field.name, kind, facts=facts | _form(field.type, kind))


def _form(kind: pa.DataType, named: str) -> dict[str, Any]:
    """Return the stored type, and what it says of instants."""
    stored = stored_name(kind)
    facts: dict[str, Any] = {"stored": stored} if stored and stored != _NATURAL.get(named) else {}
    if pt.is_date(kind):
        facts |= {"resolution": "day"}
    if pt.is_timestamp(kind):
        facts |= {"resolution": _RESOLUTIONS[kind.unit]} | ({"zone": kind.tz} if kind.tz else {})
    return facts


def _kind(kind: pa.DataType) -> str | None:
    """Return the attribute kind of a column type; the values of a dictionary are data."""
    if pt.is_null(kind):
        return "empty"
    if pt.is_dictionary(kind):
        return "ordinal" if kind.ordered else "categorical"
    if pt.is_boolean(kind):
        return "boolean"
    if pt.is_integer(kind):
        return "integer"
    if pt.is_floating(kind) or pt.is_decimal(kind):
        return "real"
    if is_instant(kind):
        return "datetime"
    if pt.is_time(kind):
        return "time"
    if pt.is_duration(kind):
        return "duration"
    return "text" if is_text(kind) else None
