"""CSV files and DuckDB databases, read through DuckDB in batches: the only file that knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from silosynth.client.source.csv.legal import is_legal
from silosynth.client.source.csv.odd import header_bytes, read_oddly
from silosynth.client.source.file_state import database_files, file_digest, watch_files
from silosynth.client.source.files import list_files
from silosynth.client.source.spec import SourceSpec
from silosynth.client.source.stream import Fragment, Reader
from silosynth.client.source.table import CSV, Wanted
from silosynth.common.errors import InvalidTable

Result = TypeVar("Result")

_BATCH_ROWS = 1 << 18


def open_duckdb(
    spec: SourceSpec, *, wanted: Wanted, tell_operator: Callable[[str], None] = lambda _: None
) -> Reader:
    """Read a CSV file or folder, all of it as text, or a query on a DuckDB database."""
    if spec.path is None:
        raise InvalidTable("a path is needed")
    path = spec.path
    if not path.exists():
        raise InvalidTable(f"{path}: no such file", hint="check the path")
    if spec.query is not None:
        query, names = spec.query, database_files(path)
        open_rows = partial(_open_query, path, query)
        fragments = partial(_fragments, open_rows, wanted=wanted, origin=str(path))
    else:
        query, names = "", list_files(path, endings=CSV)
        fragments = partial(_csv_fragments, names, wanted=wanted, tell_operator=tell_operator)
    return Reader(
        fragments=fragments,
        key=lambda: f"{file_digest(names)} {query}",
        check=watch_files(names),
    )


def _csv_fragments(
    paths: list[Path], *, wanted: Wanted, tell_operator: Callable[[str], None]
) -> Iterator[Fragment]:
    """Yield batches of files that DuckDB cannot fail on; of others, what a slower reader makes."""
    delimiter = _delimiter(paths[0])
    if all(is_legal(path, delimiter=delimiter) for path in paths):
        open_rows = partial(_open_csv, paths)
        yield from _fragments(open_rows, wanted=wanted, origin=str(paths[0].parent))
        return
    for path in paths:
        names = _names(path)
        columns = wanted.columns(
            pa.schema([(name, pa.string()) for name in names]), origin=str(path)
        )
        yield from read_oddly(
            path,
            delimiter=delimiter,
            names=names,
            columns=columns,
            tell_operator=tell_operator,
        )


def _names(path: Path) -> list[str]:
    """Return what the columns of a CSV file are called, by its header alone."""
    with TemporaryDirectory(prefix="silosynth-") as folder:
        header = Path(folder) / ("header.csv" if _delimiter(path) == "," else "header.tsv")
        header.write_bytes(header_bytes(path, delimiter=_delimiter(path)))
        opened = _guarded(lambda: _sniff_csv([header]), origin=str(path))
        return list(opened.columns)


def _open_csv(paths: list[Path]) -> duckdb.DuckDBPyRelation:
    """Open CSV files as text; nothing is guessed from their rows."""
    columns = dict.fromkeys(_names(paths[0]), "VARCHAR")
    return _sniff_csv(paths, auto_detect=False, columns=columns)


def _sniff_csv(paths: list[Path], **options: Any) -> duckdb.DuckDBPyRelation:
    """Open CSV files as text: an empty field is null, a quoted empty one is text."""
    return duckdb.connect().read_csv(
        [str(path) for path in paths],
        header=True,
        all_varchar=True,
        delimiter=_delimiter(paths[0]),
        quotechar='"',
        escapechar='"',
        na_values="",
        allow_quoted_nulls=False,
        strict_mode=True,
        **options,
    )


def _delimiter(path: Path) -> str:
    return "\t" if ".tsv" in path.name.lower() else ","


def _open_query(path: Path, query: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT on a database that is opened for reading only."""
    connection = duckdb.connect(str(path), read_only=True)
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise InvalidTable("the query is not one SELECT")
    # Neither other files nor the network: a query reads this database and nothing else.
    connection.execute("SET enable_external_access = false")
    return connection.sql(query)


def _fragments(
    open_rows: Callable[[], duckdb.DuckDBPyRelation], *, wanted: Wanted, origin: str
) -> Iterator[Fragment]:
    """Yield batches of rows, at least one."""
    rows = _guarded(open_rows, origin=origin)
    reader = _guarded(lambda: rows.to_arrow_reader(_BATCH_ROWS), origin=origin)
    columns = wanted.columns(reader.schema, origin=origin)
    yield lambda: reader.schema.empty_table().select(columns)
    while (batch := _guarded(lambda: next(reader, None), origin=origin)) is not None:
        yield partial(pa.Table.from_batches, [batch.select(columns)])


def _guarded(read: Callable[[], Result], *, origin: str) -> Result:
    """Run ``read``; DuckDB's errors quote rows, so that none of their text goes on."""
    try:
        return read()
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError, RuntimeError):
        raise InvalidTable(
            f"{origin}: cannot be read",
            hint="try the query in DuckDB, or export the table again as UTF-8",
        ) from None
