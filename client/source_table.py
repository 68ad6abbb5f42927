"""Rows that fit into memory as codes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from silosynth.client.count import count_marginals
from silosynth.client.source_spec import Bounding, CodedTable
from silosynth.common.codec import Codec
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema


class TableRows:
    """Encode a table once, at the first count, and count its codes."""

    def __init__(
        self,
        *,
        read: Callable[[], pa.Table],
        schema: Schema,
        person_column: str | None = None,
        bounding: Bounding | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take what is needed to read; nothing is read yet."""
        self._read = read
        self._schema = schema
        self._person_column = person_column
        self._bounding = bounding
        self._tell_operator = tell_operator
        self._lock = threading.Lock()
        self._coded: CodedTable | None = None
        self._ranks: np.ndarray | None = None

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int = 1,
    ) -> list[np.ndarray]:
        """Return the counts of each query."""
        columns = self.encode().columns
        if self._ranks is not None:
            kept = self._ranks < rows_per_person
            columns = columns if kept.all() else tuple(c[kept] for c in columns)
        return count_marginals(columns, domain=self._schema.domain, queries=queries, levels=levels)

    def encode(self) -> CodedTable:
        """Return all rows as codes, with the person column beside them."""
        with self._lock:
            if self._coded is None:
                coded = self._encode()
                if self._bounding is not None and coded.persons is not None:
                    self._ranks = self._bounding.rank(coded.persons, coded.columns)
                self._coded = coded
            return self._coded

    def _encode(self) -> CodedTable:
        """Read and encode the table."""
        table, name = self._read(), self._person_column
        if name is not None and name not in table.column_names:
            raise InvalidTable(f"the table has no column {name!r}, which is to name persons")
        encoded = Codec(self._schema).encode(table, allow_extra=True)
        for note in encoded.notes:
            self._tell_operator(str(note))
        persons = None if name is None else table[name]
        return CodedTable(columns=encoded.codes, persons=persons, notes=encoded.notes)
