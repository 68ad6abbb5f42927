"""What a source of rows is: how it is named, and what the gateway asks of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from silosynth.client.source.survey import Survey
from silosynth.common.codec import EncodingNote
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import CsvDialect, Schema
from silosynth.common.values import Partition

Ranker: TypeAlias = "Callable[[pa.ChunkedArray, Sequence[np.ndarray]], np.ndarray]"
"""From the person column and the codes, (rows,) the place of each row among its person's rows."""


Fragment: TypeAlias = "Callable[[], pa.Table]"
"""Reads one piece of a table; called once, on any thread."""
_CLUSTER = re.compile(r"local|([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")


class SourceFormat(StrEnum):
    """How rows are stored."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"
    DUCKDB = "duckdb"
    POSTGRESQL = "postgresql"

    @property
    def served(self) -> bool:
        """Return whether a server holds the rows, which a uri names in place of a path."""
        return self is SourceFormat.POSTGRESQL

    @property
    def queried(self) -> bool:
        """Return whether a query says which rows are meant."""
        return self.served or self is SourceFormat.DUCKDB


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """Name a table, as the silo's policy does.

    ``path`` is a file, or a folder of Parquet or Arrow files; ``uri`` a PostgreSQL connection;
    ``query`` a SELECT for DuckDB and PostgreSQL. With ``push_down`` counting is done in SQL and
    rows do not leave the server. ``cluster`` is the address of a Ray cluster of the silo's own
    (``local`` starts one here), whose workers can read ``path`` and count its row groups.
    ``person_column`` need not be in the schema. ``csv`` says how text files are written, where it
    is not as the schema says.
    """

    format: SourceFormat
    path: Path | None = None
    uri: str | None = field(default=None, repr=False)
    query: str | None = None
    push_down: bool = False
    cluster: str | None = None
    person_column: str | None = None
    allow_extra: bool = False
    csv: CsvDialect | None = None

    def __post_init__(self) -> None:
        served = self.format.served
        if served != (self.uri is not None) or served == (self.path is not None):
            raise InvalidArgument(f"{self.format} needs {'a uri' if served else 'a path'} alone")
        queried = self.format.queried
        if queried != (self.query is not None):
            raise InvalidArgument(f"{self.format} {'needs a' if queried else 'has no'} query")
        if self.csv is not None and self.format is not SourceFormat.CSV:
            raise InvalidArgument(f"{self.format} is no text file; leave csv out")
        if self.push_down and not queried:
            raise InvalidArgument(f"{self.format} has nothing to push counting down to")
        if self.cluster is not None and self.format is not SourceFormat.PARQUET:
            raise InvalidArgument(f"{self.format} is not counted on a cluster; store it as parquet")
        if self.cluster is not None and not _CLUSTER.fullmatch(self.cluster):
            raise InvalidArgument("a cluster is 'local' or HOST:PORT, such as 10.0.0.5:6379")
        if self.cluster is not None and self.person_column is not None:
            raise InvalidArgument(
                "a cluster cannot bound the rows of a person; leave cluster or person_column out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounding:
    """How at most so many rows of a person are chosen.

    ``rank`` is used where rows reach the gateway; ``key`` orders a person's rows where counting is
    pushed down. ``key`` reaches the SQL server, so derive it from the silo's secret for this use.
    """

    rank: Ranker
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How a table is read: its fragments, about how many rows, and what identifies its content.

    ``key`` changes whenever the rows may have changed; without one, codes are not kept on disk.
    ``check`` is called after the last fragment; it raises when they are not of one table.
    """

    fragments: Callable[[], Iterable[Fragment]]
    rows: int = 1 << 20
    key: Callable[[], str] | None = None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedTable:
    """Rows as codes, one unsigned column per attribute. Private, like all that it holds.

    ``persons`` is the raw person column, in the same order, when the source has one; ``texts``
    has (rows, max_bytes) uint16 for each text that a generator learns.
    """

    columns: tuple[np.ndarray, ...] = field(repr=False)
    persons: pa.ChunkedArray | None = field(repr=False)
    notes: tuple[EncodingNote, ...] = field(repr=False)
    texts: tuple[np.ndarray, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueQuestion:
    """Count the rows of an attribute by the cells of a partition of its points."""

    attribute: str
    partition: Partition

    def count(self, points: np.ndarray) -> np.ndarray:
        """Return (cells,) int64 of (rows,) points; rows of -1, or outside, are in no cell.

        Guarantees: one row changes one cell by one, or none.
        """
        cells = self.partition.find(points[points >= 0])
        counts: np.ndarray = np.bincount(cells[cells >= 0], minlength=self.partition.cells)
        return counts


def place_counts(result: pa.Table, *, cells: int) -> np.ndarray:
    """Return (cells,) int64 of a ``value_count_sql`` result."""
    cell, rows = (result[name].to_numpy() for name in ("cell", "rows"))
    if len(cell) and not 0 <= cell.min() <= cell.max() < cells:
        raise InvalidTable("the server counted cells that are not there")
    counts = np.zeros(cells, dtype=np.int64)
    counts[cell] = rows
    return counts


class Source(Protocol):
    """Rows that can be counted, wherever they are. Nothing is read before the first call."""

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return one (cells,) int64 per query, of at most ``rows_per_person`` rows a person.

        ``plan`` is the digest of the plan that asks: where nobody can see whether a table changed,
        what was read for one plan is not used for another.

        Guarantees: without a person column, one row changes one cell of each marginal by one.
        Raises InvalidTable without a data value or foreign text.
        """
        ...

    def count_values(
        self,
        questions: Sequence[ValueQuestion],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return one (cells,) int64 per question, of at most ``rows_per_person`` rows a person.

        Guarantees and raises as :meth:`count`.
        """
        ...

    def survey(self, *, going: Callable[[], bool] = lambda: True) -> Survey:
        """Look at all rows, while ``going``, and say how they fit, for the operator alone."""
        ...

    def recode(self, schema: Schema) -> Source:
        """Return the same rows, coded by another schema of the same columns."""
        ...

    def fold(
        self,
        add: Callable[[Sequence[np.ndarray]], None],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> None:
        """Call ``add`` with the codes of all rows, piece by piece, as :meth:`count` bounds them.

        ``add`` gets one (rows,) unsigned column per coded attribute. Raises InvalidTable where
        rows may not leave their server.
        """
        ...

    def encode(self) -> CodedTable:
        """Return all rows as codes; raise InvalidTable where rows may not leave their server."""
        ...
