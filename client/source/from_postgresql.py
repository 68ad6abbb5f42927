"""PostgreSQL: rows pulled in batches, or counts pushed down. The only file that knows its driver.

What the server says of an error may quote rows; only its five-letter SQLSTATE goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import adbc_driver_postgresql.dbapi as dbapi
import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.client.counting import lay_out
from silosynth.client.source.one_person import refuse_loose_collation
from silosynth.client.source.spec import (
    Bounding,
    CodedTable,
    Fragment,
    Reader,
    SourceSpec,
    ValueQuestion,
    place_counts,
)
from silosynth.client.source.sql import (
    MOST_SETS,
    Kind,
    Stored,
    add_counts,
    bin_code_sql,
    coded_sql,
    column_kind,
    count_sql,
    distinct_sql,
    find_stored,
    fit_sql,
    is_listed,
    is_numeric,
    is_spelled,
    listed_code_sql,
    point_sql,
    quote,
    quote_text,
    tally_sql,
    value_count_sql,
)
from silosynth.client.source.survey import NumberFit, Survey, Tally
from silosynth.client.source.table import Wanted
from silosynth.common.codec import is_instant
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import CodedAttribute, Schema
from silosynth.common.values import ValueGrid

_PLAN_ROWS = 1 << 22
"""What a cover is planned for: a server's rows are not counted beforehand."""

_BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL client_encoding = 'UTF8'",
)

_SPELLED_IN_SEVERAL_WAYS = ("citext", "json", "jsonb", "xml", "numrange", "nummultirange")
"""Types that compare as equal, or not at all, what is stored in other bytes.

The driver has no name for ranges, nor for other types that it does not know.
"""
_LAST_DAY = "20000-01-01"
"""Later than any that a schema bounds."""

_ENCODING = "SELECT current_setting('server_encoding') AS encoding"
_EVERY_CHARACTER = "SELECT string_agg(chr(code), '') FROM generate_series(1, 255) AS code"
_CANNOT_CONVERT = ("22P05", "22021", "54000")


def open_pull(spec: SourceSpec, *, wanted: Wanted) -> Reader:
    """Read the rows of a query through the driver's binary copy, in batches."""
    return Reader(fragments=lambda: _fragments(spec, wanted=wanted))


class PushedDown:
    """Count on the server: rows stay there, counts and the distinct listed values come back."""

    def __init__(self, spec: SourceSpec, *, wanted: Wanted, bounding: Bounding | None) -> None:
        """Take what is needed to ask; nothing is asked yet."""
        self._spec = spec
        self._wanted = wanted
        self._bounding = bounding

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each query, all of one snapshot of the table."""
        domain = self._wanted.schema.domain
        layout = lay_out(queries, domain=domain, levels=levels, rows=_PLAN_ROWS)
        totals = layout.zeros()
        with _reading(self._spec) as cursor:
            coded = self._coded(cursor, rows_per_person)
            for start in range(0, len(layout.tables), MOST_SETS):
                tables = layout.tables[start : start + MOST_SETS]
                result = _fetch(cursor, count_sql(tables, layout=layout, coded=coded))
                add_counts(result, tables=tables, totals=totals[start : start + MOST_SETS])
        return layout.answers(totals)

    def count_values(
        self,
        questions: Sequence[ValueQuestion],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each question, all of one snapshot of the table."""
        grids = {q.attribute: q.partition.grid for q in questions}
        columns = {name: f"c{i}" for i, name in enumerate(grids)}
        totals = []
        with _reading(self._spec) as cursor:
            coded = self._points(cursor, grids, rows_per_person)
            for question in questions:
                column = columns[question.attribute]
                sql = value_count_sql(question.partition, column=column, coded=coded)
                totals.append(place_counts(_fetch(cursor, sql), cells=question.partition.cells))
        return totals

    def recode(self, schema: Schema) -> PushedDown:
        """Return the same rows, coded by another schema."""
        return PushedDown(
            self._spec, wanted=replace(self._wanted, schema=schema), bounding=self._bounding
        )

    def survey(self, *, going: Callable[[], bool] = lambda: True) -> Survey:
        """Say how the rows fit, column by column, as the server counts them; none comes here."""
        silo_map = self._wanted.silo_map
        tally = Tally(schema=self._wanted.schema, silo_map=silo_map)
        with _reading(self._spec) as cursor:
            stored = _columns(cursor, self._spec, wanted=self._wanted)
            for attribute in self._wanted.schema.coded:
                if attribute.name not in silo_map.absent and going():
                    place = find_stored(attribute, columns=stored, silo_map=silo_map)
                    tally.rows = self._tally(cursor, attribute, place, tally=tally)
        return tally.survey()

    def _tally(self, cursor: Any, attribute: CodedAttribute, place: Stored, *, tally: Tally) -> int:
        """Take in one column, and return how many rows it has."""
        query = _inner(self._spec)
        if is_listed(attribute):
            found = _fetch(cursor, tally_sql(place, query=query))
            times = found["rows"].to_numpy()
            tally.add_listed(attribute, found["value"].combine_chunks(), times=times)
            return int(times.sum())
        (found,) = _fetch(cursor, fit_sql(attribute, stored=place, query=query)).to_pylist()
        ends = [found[name] for name in ("low", "high", "least", "most")]
        tally.add_number(
            attribute,
            NumberFit(
                absent=found["absent"],
                beyond=found["beyond"],
                ends=np.array([np.nan if e is None else e for e in ends]),
            ),
        )
        return int(found["rows"])

    def fold(
        self,
        add: Callable[[Sequence[np.ndarray]], None],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> None:
        """Refuse: the rows of this table stay on their server."""
        self.encode()

    def encode(self) -> CodedTable:
        """Refuse: the rows of this table stay on their server."""
        raise InvalidTable(
            "rows of a pushed-down table do not leave their server", hint="set push_down = false"
        )

    def _coded(self, cursor: Any, rows_per_person: int) -> str:
        """Return the SELECT of the codes."""
        query = _inner(self._spec)
        stored = _columns(cursor, self._spec, wanted=self._wanted)
        codes: dict[str, str] = {}
        silo_map = self._wanted.silo_map
        for attribute in self._wanted.schema.coded:
            if attribute.name in silo_map.absent:
                codes[attribute.name] = "0"
                continue
            place = find_stored(attribute, columns=stored, silo_map=silo_map)
            if is_listed(attribute):
                found = _fetch(cursor, distinct_sql(place, query=query))
                values = found["value"].combine_chunks()
                codes[attribute.name] = listed_code_sql(attribute, stored=place, values=values)
            else:
                codes[attribute.name] = bin_code_sql(attribute, stored=place)
        return self._bounded(codes, stored, rows_per_person)

    def _points(self, cursor: Any, grids: Mapping[str, ValueGrid], rows_per_person: int) -> str:
        """Return the SELECT of the points of some numbers, in the order of ``grids``."""
        stored = _columns(cursor, self._spec, wanted=self._wanted)
        by_name = {a.name: a for a in self._wanted.schema.coded}
        silo_map = self._wanted.silo_map
        points = {}
        for name, grid in grids.items():
            place = find_stored(by_name[name], columns=stored, silo_map=silo_map)
            points[name] = point_sql(by_name[name], stored=place, grid=grid)
        return self._bounded(points, stored, rows_per_person)

    def _bounded(self, codes: Mapping[str, str], stored: pa.Schema, rows_per_person: int) -> str:
        """Return the SELECT of the codes of the rows that are counted."""
        person: tuple[str, Kind] | None = None
        if (name := self._wanted.person_column) is not None:
            person = (name, column_kind(stored.field(name)))
        key = b"" if self._bounding is None else self._bounding.key
        query = _inner(self._spec)
        return coded_sql(codes, query=query, person=person, bound=rows_per_person, key=key)


def _fragments(spec: SourceSpec, *, wanted: Wanted) -> Iterator[Fragment]:
    """Yield batches of rows, one without rows first."""
    with _reading(spec) as cursor:
        stored = _columns(cursor, spec, wanted=wanted)
        if (name := wanted.person_column) is not None:
            fetch = partial(_fetch, cursor)
            refuse_loose_collation(name, columns=stored, query=_inner(spec), fetch=fetch)
        values = ", ".join(_pulled(stored.field(name), wanted=wanted) for name in stored.names)
        cursor.execute(f"SELECT {values} FROM ({_inner(spec)}) AS source")
        reader = cursor.fetch_record_batch()
        yield partial(_plain, reader.schema.empty_table())
        for batch in reader:
            yield partial(_plain, pa.Table.from_batches([batch]))


def _columns(cursor: Any, spec: SourceSpec, *, wanted: Wanted) -> pa.Schema:
    """Return the names and types of the columns that are read."""
    stored = _fetch(cursor, f"SELECT * FROM ({_inner(spec)}) AS source LIMIT 0").schema
    plain = pa.schema([pa.field(f.name, _read_as(f, wanted=wanted)) for f in stored])
    names = wanted.columns(plain, origin="query")
    return pa.schema([stored.field(name) for name in names])


def _pulled(field: pa.Field, *, wanted: Wanted) -> str:
    """Return how a column is selected; what names persons so that equal ones are written alike."""
    name = quote(field.name)
    if is_spelled(field.type) and _read_as(field, wanted=wanted) == pa.string():
        return f"{name}::text AS {name}"
    whose = field.name in (wanted.person_column, *wanted.also)
    if is_instant(field.type) and not whose:
        # The driver has no room for infinity, which would come as the earliest.
        kind = "date" if pt.is_date(field.type) else "timestamp"
        kind += "tz" * (pt.is_timestamp(field.type) and field.type.tz is not None)
        last = f"'{_LAST_DAY}'::{kind}"
        return f"CASE WHEN {name} > {last} THEN {last} ELSE {name} END AS {name}"
    if whose:
        _check_person(field)
    if not whose or not is_numeric(field):
        return name
    if any(wanted.silo_map.origin(a.name) == field.name for a in wanted.schema.attributes):
        raise InvalidTable(
            f"column {field.name!r} is numeric, names persons and is an attribute",
            hint="select it twice in the query, and name the other one as person_column",
        )
    return f"NULLIF(trim_scale({name}), 'NaN') AS {name}"


def _check_person(field: pa.Field) -> None:
    """Raise InvalidTable for types whose equal values are sent as different ones, by the type."""
    named = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    if named in _SPELLED_IN_SEVERAL_WAYS or named.startswith("unnamed"):
        raise InvalidTable(
            f"column {field.name!r} is of a type ({named}) in which one person may be written "
            "in several ways",
            hint="cast it in the query to text that is the same for each person, as by lower()",
        )


def _read_as(field: pa.Field, *, wanted: Wanted) -> pa.DataType:
    """Return the type that a column comes in: text for the server's own, but of a row's person."""
    whose = field.name in (wanted.person_column, *wanted.also)
    return pa.string() if is_spelled(field.type) and not whose else _storage(field.type)


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with types of PostgreSQL alone, such as numeric, as they are stored."""
    return table.cast(pa.schema([pa.field(f.name, _storage(f.type)) for f in table.schema]))


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _inner(spec: SourceSpec) -> str:
    """Return the query to stand in brackets."""
    return (spec.query or "").strip().rstrip(";")


def _fetch(cursor: Any, sql: str) -> pa.Table:
    cursor.execute(sql)
    return cursor.fetch_arrow_table()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a database, which several queries read at a time, each over its own line."""

    spec: SourceSpec
    name: str

    def fetch(self, sql: str) -> pa.Table:
        """Return what a query gives, whole."""
        with _reading(self.spec, snapshot=self.name) as cursor:
            return _fetch(cursor, sql)

    def stream(self, sql: str) -> Iterator[pa.Table]:
        """Yield what a query gives in pieces, the first without rows."""
        with _reading(self.spec, snapshot=self.name) as cursor:
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
            yield _plain(reader.schema.empty_table())
            for batch in reader:
                yield _plain(pa.Table.from_batches([batch]))

    def columns(self, query: str) -> pa.Schema:
        """Return the columns of a query, with types as the driver describes them."""
        return self.fetch(f"SELECT * FROM ({query}) AS source LIMIT 0").schema

    def plain(self, columns: pa.Schema) -> pa.Schema:
        """Return columns with the types that they come here in."""
        return pa.schema([pa.field(f.name, _storage(f.type)) for f in columns])


@contextmanager
def share_snapshot(spec: SourceSpec) -> Iterator[Snapshot]:
    """Keep the database's state of now for as long as the block runs."""
    with _reading(spec) as cursor:
        (name,) = _fetch(cursor, "SELECT pg_export_snapshot() AS name")["name"].to_pylist()
        yield Snapshot(spec=spec, name=str(name))


@contextmanager
def _reading(spec: SourceSpec, *, snapshot: str | None = None) -> Iterator[Any]:
    """Open a transaction that reads one snapshot, its own or a shared one, and writes nothing."""
    isolated, *settings = _BEGIN
    shared = [] if snapshot is None else [f"SET TRANSACTION SNAPSHOT {quote_text(snapshot)}"]
    with _guarded("the PostgreSQL server cannot be reached"):
        connection = dbapi.connect(spec.uri or "")
    try:
        with _guarded("the query cannot be run"), connection.cursor() as cursor:
            for statement in (isolated, *shared, *settings):
                cursor.execute(statement)
            _check_encoding(cursor)
            yield cursor
    finally:
        with _guarded("the PostgreSQL server cannot be reached"):
            connection.close()


def _check_encoding(cursor: Any) -> None:
    """Raise InvalidTable for a database that may hold text which cannot be converted.

    Whether a table can be read must not depend on one row's bytes. So the server converts every
    character of its encoding before it reads a row. It has no way to name those of several bytes,
    some of which have no counterpart, and refuses.
    """
    (encoding,) = _fetch(cursor, _ENCODING)["encoding"].to_pylist()
    try:
        _fetch(cursor, _EVERY_CHARACTER)
    except dbapi.Error as err:
        if err.sqlstate not in _CANNOT_CONVERT:
            raise
        raise InvalidTable(
            f"the database's encoding is {encoding}, and some of its bytes say nothing in UTF8",
            hint="dump it and restore it into a database of encoding UTF8, or export to Parquet",
        ) from None


@contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Turn the driver's errors, whose text may quote rows or a password, into ours."""
    try:
        yield
    except (dbapi.Error, pa.ArrowException, OSError) as err:
        state = getattr(err, "sqlstate", None)
        code = f" (SQLSTATE {state})" if isinstance(state, str) and state.isalnum() else ""
        raise InvalidTable(f"{what}{code}", hint="try the policy's uri and query in psql") from None
