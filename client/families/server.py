"""The join done by the silo's own PostgreSQL server, where all tables are queries of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.families.opened import TableSource, all_in_one, wanted_columns
from silosynth.client.families.owners import (
    key_columns,
    nobodys_sql,
    owner_views,
    rows_sql,
    text_sql,
    whole_number_sql,
)
from silosynth.client.source import SourceFormat, SourceSpec, is_numeric, open_snapshot, quote
from silosynth.common.errors import InvalidTable
from silosynth.common.tables import TablesSchema

if TYPE_CHECKING:  # its driver is an extra
    from silosynth.client.source import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerJoin:
    """Tables that are joined where they are, all of one state of the database.

    A table's rows come here by person, in pieces, as whole families are asked for.
    """

    snapshot: Snapshot = field(repr=False)
    views: Mapping[str, str] = field(repr=False)

    def rows(self, place: int) -> Iterator[pa.Table]:
        """Yield a table's rows by person, first none of them."""
        yield from self.snapshot.stream(self._sql(rows_sql(place)))

    def nobodys(self, place: int) -> int:
        """Count the rows of a table that belong to nobody."""
        (lost,) = self.snapshot.fetch(self._sql(nobodys_sql(place)))["lost"].to_pylist()
        return int(lost)

    def _sql(self, query: str) -> str:
        return f"WITH {', '.join(f'{n} AS ({q})' for n, q in self.views.items())} {query}"


def open_server(
    schema: TablesSchema, sources: Mapping[str, TableSource], stack: ExitStack
) -> ServerJoin | None:
    """Return the join by the server; None where a table is elsewhere, or is not pushed down."""
    known = all_in_one(sources, SourceFormat.POSTGRESQL)
    if known is None or not known.push_down:
        return None
    snapshot = stack.enter_context(open_snapshot(known))
    raw = [_raw(schema, n, sources[n], snapshot=snapshot) for n in schema.downward]
    return ServerJoin(snapshot=snapshot, views=owner_views(schema, raw))


def _raw(schema: TablesSchema, name: str, source: TableSource, *, snapshot: Snapshot) -> str:
    """Return the SELECT of a table's columns that are read, with its keys."""
    if not isinstance(source, SourceSpec):
        raise InvalidTable(f"table {name!r} is no query")
    query, wanted = (source.query or "").strip().rstrip(";"), wanted_columns(schema, name)
    try:
        stored = snapshot.columns(query)
        columns = [quote(c) for c in wanted.columns(snapshot.plain(stored), origin="query")]
    except InvalidTable as err:
        raise InvalidTable(f"table {name!r}: {err.message}", hint=err.hint) from None
    for alias, column in key_columns(schema, name).items():
        if column not in stored.names:
            raise InvalidTable(
                f"table {name!r}: column {column!r} is missing", hint="it says whose rows are"
            )
        # Sorted and compared as bytes are, as here: a server's own language would sort otherwise.
        columns.append(f'({_text(stored.field(column))}) COLLATE "C" AS "{alias}"')
    return f"SELECT {', '.join(columns)} FROM ({query}) AS source"


def _text(field: pa.Field) -> str:
    """Return a key as text in SQL, by the column's type alone."""
    name = quote(field.name)
    if pt.is_floating(field.type):
        return whole_number_sql(name, whole=f"CAST(CAST({name} AS BIGINT) AS VARCHAR)")
    if is_numeric(field):
        return text_sql(f"nullif(trim_scale({name}), 'NaN')")
    return text_sql(name)
