"""Open a silo's rows, wherever they are, for counting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from silosynth.client.source_spec import (
    Bounding,
    CodedTable,
    Ranker,
    Source,
    SourceFormat,
    SourceSpec,
)
from silosynth.client.source_table import TableRows
from silosynth.client.table import read_table
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.schema import Schema

__all__ = [
    "Bounding",
    "CodedTable",
    "Ranker",
    "Source",
    "SourceFormat",
    "SourceSpec",
    "open_source",
]


def open_source(
    spec: SourceSpec,
    *,
    schema: Schema,
    bounding: Bounding | None = None,
    cache: Path | None = None,
    tell_operator: Callable[[str], None] = lambda _: None,
) -> Source:
    """Return the source that ``spec`` names; it reads nothing before it is asked to count.

    Args:
        bounding: needed when the spec names a person column.
        cache: a directory of the gateway's own, where encoded columns may be kept.
        tell_operator: gets sentences for the silo's own operator, which may speak of the data.
    """
    if (spec.person_column is None) != (bounding is None):
        raise InvalidArgument("a person column needs a bounding of rows, and the reverse")
    path = spec.path
    if path is None or spec.query is not None:
        raise InvalidTable(f"{spec.format} is not known here")
    return TableRows(
        read=lambda: read_table(
            path, schema=schema, allow_extra=spec.allow_extra, person_column=spec.person_column
        ),
        schema=schema,
        person_column=spec.person_column,
        bounding=bounding,
        tell_operator=tell_operator,
    )
