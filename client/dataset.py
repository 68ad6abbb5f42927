"""A data set as the gateway holds it: its schema, the limits on it, and how it is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from silosynth.client.bounding import rank_rows
from silosynth.client.count import count_marginals
from silosynth.client.policy import Policy
from silosynth.common.codec import Codec
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema


class Countable(Protocol):
    """Rows that can be counted, wherever they are."""

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int,
    ) -> Sequence[np.ndarray]:
        """Return the (cells,) int64 counts of each query, of at most so many rows a person.

        Nothing is read before the first call.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of a silo. ``bounded`` says that the gateway itself bounds rows per person."""

    schema: Schema
    rows: Countable
    policy: Policy
    bounded: bool = False


class CodedRows:
    """Rows in memory as codes, read at the first count and kept for later ones.

    ``read`` returns the schema's columns and, where there is a ``person_column``, that column too.
    """

    def __init__(
        self,
        *,
        schema: Schema,
        read: Callable[[], pa.Table],
        person_column: str | None = None,
        secret: bytes = b"",
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take what is needed to read; nothing is read yet."""
        self._schema = schema
        self._read = read
        self._person_column = person_column
        self._secret = secret
        self._tell_operator = tell_operator
        self._lock = threading.Lock()
        self._codes: tuple[np.ndarray, ...] | None = None
        self._ranks: np.ndarray | None = None

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int,
    ) -> Sequence[np.ndarray]:
        """Return the counts of each query."""
        codes = self._kept(rows_per_person)
        return count_marginals(codes, domain=self._domain, queries=queries, levels=levels)

    @property
    def _domain(self) -> Domain:
        return self._schema.domain

    def _kept(self, rows_per_person: int) -> tuple[np.ndarray, ...]:
        """Return the codes of the rows that are kept."""
        with self._lock:
            if self._codes is None:
                self._codes, self._ranks = self._load()
            codes, ranks = self._codes, self._ranks
        if ranks is None:
            return codes
        kept = ranks < rows_per_person
        return codes if kept.all() else tuple(column[kept] for column in codes)

    def _load(self) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
        """Read and encode the table; rank each person's rows where there is a person column."""
        table = self._read()
        name = self._person_column
        encoded = Codec(self._schema).encode(table, allow_extra=name is not None)
        for note in encoded.notes:
            self._tell_operator(str(note))
        if name is None:
            return encoded.codes, None
        if name not in table.column_names:
            raise InvalidTable(f"the table has no column {name!r}, which the policy names")
        ranks = rank_rows(table[name], encoded.codes, secret=self._secret)
        nameless = int((ranks == np.iinfo(ranks.dtype).max).sum())
        if nameless:
            self._tell_operator(f"{nameless} rows have no {name!r} and are not counted")
        return encoded.codes, ranks
