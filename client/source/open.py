"""Open a silo's rows, wherever they are, for counting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from silosynth.client.maps import NO_MAP, SiloMap
from silosynth.client.source.caches.file_state import database_files, look_at
from silosynth.client.source.caches.held import QUERY_SECONDS, Lifetime
from silosynth.client.source.files import (
    list_files,
    open_arrow_files,
    open_csv_files,
    open_parquet,
)
from silosynth.client.source.spec import (
    Bounding,
    Reader,
    Source,
    SourceFormat,
    SourceSpec,
)
from silosynth.client.source.stream import StreamRows
from silosynth.client.source.table import ARROW, CSV, PARQUET, Wanted, read_table
from silosynth.common.codec import Codec, TableLike
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.schema import Schema

if TYPE_CHECKING:  # its driver is an extra
    from silosynth.client.source.from_postgresql import Snapshot

_ENDINGS = {SourceFormat.PARQUET: PARQUET, SourceFormat.ARROW: ARROW, SourceFormat.CSV: CSV}


def open_source(
    spec: SourceSpec,
    *,
    schema: Schema,
    bounding: Bounding | None = None,
    cache: Path | None = None,
    silo_map: SiloMap = NO_MAP,
    tell_operator: Callable[[str], None] = lambda _: None,
    codec: Codec | None = None,
) -> Source:
    """Return the source that ``spec`` names; it reads nothing before it is asked to count.

    Args:
        bounding: needed when the spec names a person column.
        cache: a directory of the gateway's own, for this table alone, where encoded columns may be
            kept.
        silo_map: how the table is brought to the schema, whose check it has passed.
        tell_operator: gets sentences for the silo's own operator, which may speak of the data.
        codec: that of what is read, where there is one already.
    """
    if (spec.person_column is None) != (bounding is None):
        raise InvalidArgument("a person column needs a bounding of rows, and the reverse")
    wanted = Wanted(
        schema=schema,
        allow_extra=spec.allow_extra,
        person_column=spec.person_column,
        silo_map=silo_map,
    )
    if spec.push_down:
        return _open_sql(spec, wanted=wanted, bounding=bounding)
    if spec.cluster is not None:
        return _open_cluster(spec, wanted=wanted, cache=cache)
    return StreamRows(
        open_reader=lambda: open_reader(spec, wanted=wanted, tell_operator=tell_operator),
        wanted=wanted,
        lifetime=_lifetime(spec),
        bounding=bounding,
        cache=cache,
        tell_operator=tell_operator,
        codec=codec,
    )


def open_table(
    table: TableLike,
    *,
    schema: Schema,
    person_column: str | None = None,
    bounding: Bounding | None = None,
    silo_map: SiloMap = NO_MAP,
    tell_operator: Callable[[str], None] = lambda _: None,
    codec: Codec | None = None,
) -> Source:
    """Return a source over rows in memory: an Arrow table, a pandas or polars frame.

    Args: codec: the schema's, where there is one already.
    """

    def read() -> pa.Table:
        return read_table(table, schema=schema, person_column=person_column, silo_map=silo_map)

    return StreamRows(
        open_reader=lambda: Reader(fragments=lambda: [read]),
        wanted=Wanted(schema=schema, person_column=person_column, silo_map=silo_map),
        bounding=bounding,
        tell_operator=tell_operator,
        codec=codec,
    )


def files_of(spec: SourceSpec) -> list[Path]:
    """Return the files that a table is in; none behind a server."""
    if spec.path is None:
        return []
    if spec.query is not None:
        return database_files(spec.path)
    return list_files(spec.path, endings=_ENDINGS[spec.format])


def _lifetime(spec: SourceSpec) -> Lifetime:
    """Return how long the rows of a table are used again: while its files are as they were."""
    if spec.path is None:
        return Lifetime(seconds=QUERY_SECONDS)
    if spec.query is not None:
        return Lifetime(look=lambda: look_at(files_of(spec)), seconds=QUERY_SECONDS)
    return Lifetime(look=lambda: look_at(files_of(spec)))


def open_reader(
    spec: SourceSpec, *, wanted: Wanted, tell_operator: Callable[[str], None]
) -> Reader:
    """Open a table's files or its query, when the first rows are asked for."""
    # The SQL engines are extras: whoever has files alone need not install them.
    if spec.path is not None and spec.format is SourceFormat.PARQUET:
        return open_parquet(spec.path, wanted=wanted)
    if spec.path is not None and spec.format is SourceFormat.ARROW:
        return open_arrow_files(spec.path, wanted=wanted)
    if spec.path is not None and spec.format is SourceFormat.CSV:
        files = list_files(spec.path, endings=CSV)
        return open_csv_files(files, dialect=spec.csv, wanted=wanted, tell_operator=tell_operator)
    with _needs_extra(spec.format):
        if spec.uri is not None:
            from silosynth.client.source.from_postgresql import open_pull

            return open_pull(spec, wanted=wanted)
        from silosynth.client.source.from_duckdb import open_duckdb

        return open_duckdb(spec, wanted=wanted)


@contextmanager
def open_snapshot(spec: SourceSpec) -> Iterator[Snapshot]:
    """Keep the state that a server's database has now for as long as the block runs."""
    with _needs_extra(spec.format):
        from silosynth.client.source.from_postgresql import share_snapshot
    with share_snapshot(spec) as snapshot:
        yield snapshot


def _open_sql(spec: SourceSpec, *, wanted: Wanted, bounding: Bounding | None) -> Source:
    """Open a server that counts."""
    if spec.format is not SourceFormat.POSTGRESQL:
        raise InvalidArgument(f"{spec.format} files are counted here; leave push_down out")
    if wanted.schema.rules:
        raise InvalidArgument(
            "rows under rules are counted by the gateway, and not by a server",
            hint="leave push_down out",
        )
    with _needs_extra(spec.format):
        from silosynth.client.source.from_postgresql import PushedDown

        return PushedDown(spec, wanted=wanted, bounding=bounding)


def _open_cluster(spec: SourceSpec, *, wanted: Wanted, cache: Path | None) -> Source:
    """Open files that the workers of a cluster count."""
    with _needs_extra("counting on a cluster", extra="silo-cluster"):
        from silosynth.client.source.on_ray import ClusterRows

        return ClusterRows(spec, wanted=wanted, cache=cache)


@contextmanager
def _needs_extra(what: str, *, extra: str = "silo-sql") -> Iterator[None]:
    """Say which extra is missing."""
    try:
        yield
    except ModuleNotFoundError as err:
        raise InvalidTable(
            f"{what} needs {err.name}, which is not installed",
            hint=f"install silosynth[{extra}]",
        ) from None
