"""DuckDB databases, read in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from silosynth.client.source.caches.file_state import database_files, file_digest, watch_files
from silosynth.client.source.one_person import refuse_collated, refuse_times_of_zones
from silosynth.client.source.spec import Fragment, Reader, SourceSpec
from silosynth.client.source.table import Wanted
from silosynth.common.errors import InvalidTable

Result = TypeVar("Result")

_BATCH_ROWS = 1 << 18


def open_duckdb(spec: SourceSpec, *, wanted: Wanted) -> Reader:
    """Read a query on a DuckDB database."""
    if spec.path is None:
        raise InvalidTable("a path is needed")
    path = spec.path
    if not path.exists():
        raise InvalidTable(f"{path}: no such file", hint="check the path")
    query, names = spec.query or "", database_files(path)
    return Reader(
        fragments=lambda: _fragments(
            partial(_open_query, path, query), wanted=wanted, origin=str(path)
        ),
        key=lambda: f"{file_digest(names)} {query}",
        check=watch_files(names),
    )


def _open_query(path: Path, query: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT on a database that is opened for reading only."""
    connection = duckdb.connect(str(path), read_only=True)
    require_select(connection, query)
    # Neither other files nor the network: a query reads this database and nothing else.
    connection.execute("SET enable_external_access = false")
    return connection.sql(query)


def require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise InvalidTable unless a query is one SELECT."""
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise InvalidTable("the query is not one SELECT")


def _fragments(
    open_rows: Callable[[], duckdb.DuckDBPyRelation], *, wanted: Wanted, origin: str
) -> Iterator[Fragment]:
    """Yield batches of rows, at least one; columns that are not wanted are not computed."""
    rows = _guarded(open_rows, origin=origin)
    _guarded(partial(_check_persons, rows, wanted), origin=origin)
    stored = _guarded(lambda: rows.limit(0).to_arrow_table(), origin=origin).schema
    columns = [duckdb.ColumnExpression(n) for n in wanted.columns(stored, origin=origin)]
    read = _guarded(lambda: rows.select(*columns).to_arrow_reader(_BATCH_ROWS), origin=origin)
    yield lambda: read.schema.empty_table()
    while (batch := _guarded(lambda: next(read, None), origin=origin)) is not None:
        yield partial(pa.Table.from_batches, [batch])


def _check_persons(rows: duckdb.DuckDBPyRelation, wanted: Wanted) -> None:
    """Raise InvalidTable where what says whose rows are makes one person two, or two one.

    A person of several tables is a key by its bytes, whatever the database takes for equal.
    """
    kinds = dict(zip(rows.columns, (str(kind.id) for kind in rows.types), strict=True))
    person = wanted.person_column
    refuse_times_of_zones(kinds, names=[*wanted.also, *([] if person is None else [person])])
    # JSON is of this kind too, and is compared by its bytes.
    texts = {n for n, kind in zip(rows.columns, rows.types, strict=True) if str(kind) == "VARCHAR"}
    if person in texts:
        refuse_collated(person, ask=partial(_ask, rows.limit(0)))


def _ask(rows: duckdb.DuckDBPyRelation, sql: str) -> list[Any]:
    found = rows.query("source", sql)
    return [] if found is None else found.fetchall()


def _guarded(read: Callable[[], Result], *, origin: str) -> Result:
    """Run ``read``; DuckDB's errors quote rows, so that none of their text goes on."""
    try:
        return read()
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError, RuntimeError):
        raise InvalidTable(
            f"{origin}: cannot be read",
            hint="try the query in DuckDB",
        ) from None
