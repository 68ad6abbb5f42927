"""Join the tables of a silo: streams of rows by person, as many persons at a time as fit.

DuckDB, or the silo's own PostgreSQL server, says whose each row is and sorts by person, spilling to
disk where it must; what is in memory here is a block of whole families. A row whose ``by`` names
nobody, or somebody of another silo, belongs to no person here: it is in no stream, and their number
is for the operator alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.families.opened import (
    Opened,
    TableSource,
    all_in_one,
    as_joined,
    as_stored,
    open_table_rows,
    plain_type,
)
from silosynth.client.families.owners import (
    key_columns,
    nobodys_sql,
    owner_views,
    rows_sql,
    text_sql,
    whole_number_sql,
)
from silosynth.client.families.server import open_server
from silosynth.client.families.streams import whole_families
from silosynth.client.source import SourceFormat, quote, require_select
from silosynth.common.errors import InvalidTable
from silosynth.common.tables import TablesSchema

_BATCH = 1 << 15
_MEMORY = "1GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobodys:
    """How many rows of each table belong to nobody here. Private: for the operator alone."""

    rows: Mapping[str, int] = field(repr=False)


class Join(Protocol):
    """Where whose each row is is worked out; ``place`` counts tables from the persons' down."""

    def rows(self, place: int) -> Iterator[pa.Table]:
        """Yield a table's rows with their person, by person; the first piece may hold none."""

    def nobodys(self, place: int) -> int:
        """Count the rows of a table that belong to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The tables of a silo, each row with its person."""

    schema: TablesSchema
    join: Join = field(repr=False)

    def blocks(self, *, persons: int = 4096) -> Iterator[dict[str, pa.Table]]:
        """Yield all rows of some persons at a time, by table, sorted by person.

        Guarantees: each person is in one block, with all rows that are its own.
        """
        streams = {n: self.join.rows(i) for i, n in enumerate(self.schema.downward)}
        yield from whole_families(streams, person=self.schema.person, persons=persons)

    def nobodys(self) -> Nobodys:
        """Count the rows that belong to nobody; for the operator alone."""
        places = enumerate(self.schema.downward)
        return Nobodys(rows={name: self.join.nobodys(i) for i, name in places})


@contextmanager
def join_tables(
    schema: TablesSchema,
    sources: Mapping[str, TableSource],
    *,
    spill: Path | None = None,
    tell_operator: Callable[[str], None] = lambda _: None,
) -> Iterator[Joined]:
    """Open the tables of a silo, joined, for as long as the block runs.

    Args:
        sources: by table, its rows in memory, a file, or what a policy says of it. None is ever
            held whole but what is in memory already.
        spill: a folder of the gateway's alone, where rows that do not fit may lie; else one that is
            made for this and removed.

    Raises InvalidTable for a table or column that is missing, and for what cannot be read.
    """
    absent = next((n for n in schema.downward if n not in sources), None)
    if absent is not None:
        raise InvalidTable(f"table {absent!r} is missing", hint="add its file")
    with ExitStack() as stack:
        server = open_server(schema, sources, stack)
        join = server or _Duck(schema, sources, stack, spill=spill, tell_operator=tell_operator)
        yield Joined(schema=schema, join=join)


class _Duck:
    """Own a DuckDB database: the silo's own, read alone, or one for what comes from elsewhere."""

    def __init__(
        self,
        schema: TablesSchema,
        sources: Mapping[str, TableSource],
        stack: ExitStack,
        *,
        spill: Path | None,
        tell_operator: Callable[[str], None],
    ) -> None:
        """Open the sources; ``stack`` closes them."""
        self._schema = schema
        database = all_in_one(sources, SourceFormat.DUCKDB)
        folder = stack.enter_context(_own_folder(spill))
        place = None if database is None else database.path
        self._root = stack.enter_context(_connected(place, spill=folder))
        self._tables: list[Opened] = []
        for i, name in enumerate(schema.downward):
            opened = open_table_rows(
                name,
                sources[name],
                schema=schema,
                tell_operator=tell_operator,
                inside=database is not None,
            )
            self._tables.append(_loaded(self._root, i, opened))

    def rows(self, place: int) -> Iterator[pa.Table]:
        """Yield a table's rows by person, first none of them."""
        name = self._schema.downward[place]
        try:
            reader = self._connect().sql(rows_sql(place)).to_arrow_reader(_BATCH)
            yield self._read(place, reader.schema.empty_table())
            for batch in reader:
                yield self._read(place, pa.Table.from_batches([batch]))
        except (duckdb.Error, pa.ArrowException):
            raise InvalidTable(f"table {name!r} cannot be joined", hint="see its keys") from None

    def _read(self, place: int, rows: pa.Table) -> pa.Table:
        """Return rows in the types that they are stored in."""
        opened = self._tables[place]
        for name in opened.columns if opened.query is None else ():
            column = as_stored(rows[name], opened.stored.field(name).type)
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        return rows

    def nobodys(self, place: int) -> int:
        """Count the rows of a table that belong to nobody."""
        row = self._connect().execute(nobodys_sql(place)).fetchone()
        return int(row[0]) if row else 0

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor of its own, for one stream, with all tables as views."""
        connection = self._root.cursor()
        for i, opened in enumerate(self._tables):
            if opened.rows is not None:
                connection.register(f"file{i}", opened.rows)
        raw = [self._raw(i, n) for i, n in enumerate(self._schema.downward)]
        for view, query in owner_views(self._schema, raw).items():
            connection.execute(f"CREATE TEMP VIEW {view} AS {query}")
        return connection

    def _raw(self, i: int, name: str) -> str:
        opened = self._tables[i]
        columns = [quote(c) for c in opened.columns]
        for alias, column in key_columns(self._schema, name).items():
            kind = opened.stored.field(column).type
            text = _text(column, kind) if opened.query is None else _text_there(column, kind)
            # Compared and sorted as bytes are, as here: a column may have a collation of its own.
            columns.append(f'({text}) COLLATE "C" AS "{alias}"')
        origin = f"file{i}" if opened.query is None else f"({opened.query})"
        return f"SELECT {', '.join(columns)} FROM {origin}"


def _connected(place: Path | None, *, spill: Path) -> duckdb.DuckDBPyConnection:
    """Open a database that reaches neither other files nor the network."""
    try:
        root = duckdb.connect(":memory:" if place is None else str(place), read_only=bool(place))
        root.execute("SET temp_directory = ?", [str(spill)])
        root.execute(f"SET memory_limit = '{_MEMORY}'")
        root.execute("SET enable_external_access = false")
    except duckdb.Error:
        raise InvalidTable(f"{place}: cannot be read", hint="open it in DuckDB") from None
    return root


@contextmanager
def _own_folder(spill: Path | None) -> Iterator[Path]:
    """Give a folder that this user alone may open, for what does not fit in memory; remove it."""
    if spill is not None:
        spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = Path(mkdtemp(prefix="silosynth-", dir=spill))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _loaded(root: duckdb.DuckDBPyConnection, i: int, opened: Opened) -> Opened:
    """Return a table as DuckDB finds it: a query of its own, what it scans, or rows put there."""
    try:
        if opened.query is not None:
            require_select(root, opened.query)
            stored = root.sql(opened.query).limit(0).to_arrow_table().schema
            return opened.described(stored)
        if opened.reader is not None:
            opened = opened.described(_load(root, i, opened))
    except (duckdb.Error, pa.ArrowException, OSError):
        raise InvalidTable(
            f"table {opened.name!r} cannot be read", hint="export it again"
        ) from None
    return opened


def _load(root: duckdb.DuckDBPyConnection, i: int, opened: Opened) -> pa.Schema:
    """Put rows into the database piece by piece; return how they were stored."""
    stored, into = opened.stored, f"CREATE TABLE file{i} AS"
    reader = opened.reader
    for fragment in reader.fragments() if reader is not None else ():
        piece = fragment()
        stored = stored if stored.names else piece.schema
        # By name: files of one table may have its columns in different orders.
        root.register("piece", piece.select(stored.names).cast(as_joined(stored)))
        root.execute(f"{into} SELECT * FROM piece")
        into = f"INSERT INTO file{i}"
    root.unregister("piece")
    if reader is not None:
        reader.check()
    return stored


def _text(column: str, kind: pa.DataType) -> str:
    """Return a key as text in SQL: the numbers 7 and 7.0 are one key, blanks are none.

    What is no ASCII of a text that came as bytes is spelled by its bytes, one way for each.
    By the column's type alone. Were texts such as "7.0" taken for 7 where all look so, one person's
    key could change whose everybody's rows are.
    """
    plain = plain_type(kind)
    if not pt.is_timestamp(plain):
        return _text_there(column, plain)
    # As DuckDB spells instants, where it knows them; else the row belongs to nobody.
    times = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[plain.unit]
    make = "make_timestamp_ns" if plain.unit == "ns" else "make_timestamp"
    instant = f"{make}(CAST({quote(column)} AS BIGINT) * {times})"
    zone = "" if plain.tz is None else " || '+00'"
    return f"TRY(CAST({instant} AS VARCHAR)){zone}"


def _text_there(column: str, kind: pa.DataType) -> str:
    """Return a key as text in SQL, of a column that DuckDB has in a type of its own."""
    name = quote(column)
    if pt.is_decimal(kind) and kind.scale > 0:
        # Digits after the point are as many as the type says, whatever the number.
        return f"rtrim(rtrim(CAST({name} AS VARCHAR), '0'), '.')"
    if pt.is_floating(kind):
        return whole_number_sql(name, whole=f"CAST(CAST({name} AS HUGEINT) AS VARCHAR)")
    return text_sql(name, cast="TRY_CAST")
