"""Join the tables of a silo in DuckDB: streams of rows by person, as many persons at a time as fit.

DuckDB says whose each row is and sorts by person, spilling to disk where it must; what is in memory
here is a block of whole families. A row whose ``by`` names nobody, or somebody of another silo,
belongs to no person here: it is in no stream, and their number is for the operator alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from silosynth.client.csv import sniff_dialect
from silosynth.client.source import PARQUET, is_text_file, read_untyped
from silosynth.common.errors import InvalidTable
from silosynth.common.tables import TablesSchema

PERSON, KEY, BY = "\x01person", "\x01key", "\x01by"
"""Columns that a stream adds to a table's own; no attribute can have such a name."""
_BATCH = 1 << 15
_MEMORY = "1GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobodys:
    """How many rows of each table belong to nobody here. Private: for the operator alone."""

    rows: Mapping[str, int] = field(repr=False)


class Joined:
    """The tables of a silo, each row with its person; close it when done."""

    def __init__(
        self,
        schema: TablesSchema,
        sources: Mapping[str, Path | pa.Table],
        *,
        spill: Path | None = None,
    ) -> None:
        """Open the sources.

        Args:
            sources: by table, a file or rows in memory. Parquet is never held whole.
            spill: a folder of the gateway's alone, where sorting may put rows that do not fit.

        Raises InvalidTable for a table or column that is missing, and for what cannot be read.
        """
        self._schema = schema
        absent = next((n for n in schema.downward if n not in sources), None)
        if absent is not None:
            raise InvalidTable(f"table {absent!r} is missing", hint="add its file")
        self._files = {n: _opened(n, sources[n], schema=schema) for n in schema.downward}
        self._root = duckdb.connect()
        if spill is not None:
            self._root.execute("SET temp_directory = ?", [str(spill)])
        self._root.execute(f"SET memory_limit = '{_MEMORY}'")
        # Neither other files nor the network: what is joined are these rows and nothing else.
        self._root.execute("SET enable_external_access = false")

    def close(self) -> None:
        """Let go of the sources."""
        self._root.close()

    def blocks(self, *, persons: int = 4096) -> Iterator[dict[str, pa.Table]]:
        """Yield all rows of some persons at a time, by table, sorted by person.

        Guarantees: each person is in one block, with all rows that are its own.
        """
        streams = {n: _Stream(self._rows(n)) for n in self._schema.downward}
        root = streams[self._schema.person]
        while True:
            head = root.take(persons)
            if head.num_rows == 0:
                return
            last = head[PERSON][-1].as_py()
            head = pa.concat_tables([head, root.up_to(last)])
            yield {
                n: head if n == self._schema.person else stream.up_to(last)
                for n, stream in streams.items()
            }

    def nobodys(self) -> Nobodys:
        """Count the rows that belong to nobody; for the operator alone."""
        connection, found = self._connect(), {}
        for i, name in enumerate(self._schema.downward):
            query = f"SELECT (SELECT count(*) FROM raw{i}) - (SELECT count(*) FROM owned{i})"
            row = connection.execute(query).fetchone()
            found[name] = int(row[0]) if row else 0
        return Nobodys(rows=found)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor of its own, for one stream, with all tables as views.

        ``raw`` is a table with its keys as texts, ``owned`` its rows with their person, ``keys``
        its keys with theirs. A key that stands at several persons is that of the first of them,
        whatever rows others have; without a person a row is in none of the last two.
        """
        connection = self._root.cursor()
        for i, name in enumerate(self._schema.downward):
            connection.register(f"file{i}", self._files[name])
            for view, query in self._views(i, name).items():
                connection.execute(f"CREATE TEMP VIEW {view} AS {query}")
        return connection

    def _views(self, i: int, name: str) -> dict[str, str]:
        table, columns = self._schema.tables[name], ["*"]
        for column, alias in ((table.key, KEY), (table.by, BY)):
            if column is not None:
                kind = self._files[name].schema.field(column).type
                columns.append(f'{_text(column, kind)} AS "{alias}"')
        views = {f"raw{i}": f"SELECT {', '.join(columns)} FROM file{i}"}
        if table.parent is None:
            owned = f'SELECT *, "{KEY}" AS "{PERSON}" FROM raw{i} WHERE "{KEY}" IS NOT NULL'
        else:
            above = self._schema.downward.index(table.parent)
            owned = (
                f'SELECT raw{i}.*, keys{above}."{PERSON}" FROM raw{i} '
                f'JOIN keys{above} ON raw{i}."{BY}" = keys{above}."{KEY}"'
            )
        views[f"owned{i}"] = owned
        if table.key is not None:
            views[f"keys{i}"] = (
                f'SELECT "{KEY}", min("{PERSON}") AS "{PERSON}" FROM owned{i} '
                f'WHERE "{KEY}" IS NOT NULL GROUP BY "{KEY}"'
            )
        return views

    def _rows(self, name: str) -> Iterator[pa.Table]:
        """Yield a table's rows by person, first none of them."""
        place = self._schema.downward.index(name)
        query = f'SELECT * FROM owned{place} ORDER BY "{PERSON}"'
        try:
            reader = self._connect().sql(query).to_arrow_reader(_BATCH)
            yield reader.schema.empty_table()
            for batch in reader:
                yield pa.Table.from_batches([batch])
        except (duckdb.Error, pa.ArrowException):
            raise InvalidTable(f"table {name!r} cannot be joined", hint="see its keys") from None


def _opened(name: str, source: Path | pa.Table, *, schema: TablesSchema) -> pa.Table | ds.Dataset:
    """Return a table's rows, with the columns that say whose they are."""
    try:
        rows = _arrow(source)
    except (pa.ArrowException, OSError):
        raise InvalidTable(f"table {name!r} cannot be read", hint="export it again") from None
    for column in (schema.tables[name].key, schema.tables[name].by):
        if column is not None and column not in rows.schema.names:
            raise InvalidTable(
                f"table {name!r}: column {column!r} is missing", hint="it says whose rows are"
            )
    return rows


class _Stream:
    """Rows by person, of which some are taken at a time."""

    def __init__(self, batches: Iterator[pa.Table]) -> None:
        self._batches = batches
        self._held = next(batches)

    def take(self, rows: int) -> pa.Table:
        """Take at most so many rows, fewer only where they end."""
        while self._held.num_rows < rows and self._more():
            pass
        return self._split(min(rows, self._held.num_rows))

    def up_to(self, person: str) -> pa.Table:
        """Take the rows of this person and those before."""
        while self._held.num_rows == 0 or self._held[PERSON][-1].as_py() <= person:
            if not self._more():
                break
        inside = pc.less_equal(self._held[PERSON], pa.scalar(person, self._held[PERSON].type))
        return self._split(pc.sum(inside).as_py() or 0)

    def _more(self) -> bool:
        batch = next(self._batches, None)
        if batch is not None:
            self._held = pa.concat_tables([self._held, batch])
        return batch is not None

    def _split(self, rows: int) -> pa.Table:
        taken, self._held = self._held.slice(0, rows), self._held.slice(rows)
        return taken


def _arrow(source: Path | pa.Table) -> pa.Table | ds.Dataset:
    if not isinstance(source, Path):
        return source
    if source.name.lower().endswith(PARQUET):
        return ds.dataset(source, format="parquet")
    dialect = sniff_dialect(source) if is_text_file(source) else None
    return read_untyped(source, dialect=dialect)


def _text(column: str, kind: pa.DataType) -> str:
    """Return a key as text in SQL: the numbers 7 and 7.0 are one key, blanks are none.

    By the column's type alone. Were texts such as "7.0" taken for 7 where all look so, one person's
    key could change whose everybody's rows are.
    """
    name = '"' + column.replace('"', '""') + '"'
    if pa.types.is_floating(kind):
        whole = f"CAST(CAST({name} AS HUGEINT) AS VARCHAR)"
        plain = f"isfinite({name}) AND {name} = floor({name}) AND abs({name}) < 1e18"
        return (
            f"CASE WHEN {plain} THEN {whole} WHEN isfinite({name}) THEN CAST({name} AS VARCHAR) END"
        )
    return f"nullif(trim(CAST({name} AS VARCHAR)), '')"


def join_tables(
    schema: TablesSchema, sources: Mapping[str, Path | pa.Table], *, spill: Path | None = None
) -> closing[Joined]:
    """Return the joined tables of a silo, to be used in a ``with``."""
    return closing(Joined(schema, sources, spill=spill))
