"""A schema of one table or of several, for those that take either: read, written, told apart."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from silosynth.common.document import parse_sent
from silosynth.common.schema import (
    Schema,
    describes_tables,
    dump_schema,
    has_tables,
    load_schema,
    schema_of_text,
)
from silosynth.common.tables.tables import TablesSchema, dump_tables, load_tables, parse_tables

AnySchema: TypeAlias = Schema | TablesSchema


def load_any_schema(path: Path) -> AnySchema:
    """Read a schema of one table or of several; raise InvalidSchema naming file and field."""
    return load_tables(path) if describes_tables(path) else load_schema(path)


def any_schema_of_text(text: str, *, origin: str) -> AnySchema:
    """Build a schema of one table or of several from the YAML that somebody sent.

    Guarantees: no file is read, whatever the text names. Raises InvalidSchema naming ``origin``.
    """
    document = parse_sent(text, origin=origin)
    if has_tables(document):
        return parse_tables(document, origin=origin)
    return schema_of_text(text, origin=origin)


def dump_any_schema(schema: AnySchema) -> str:
    """Return a schema as YAML; reading it again gives an equal one."""
    return dump_tables(schema) if isinstance(schema, TablesSchema) else dump_schema(schema)
