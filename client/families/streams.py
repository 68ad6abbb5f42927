"""Rows of several tables, each table's by person, taken as many persons at a time as fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.client.families.owners import PERSON


def whole_families(
    streams: Mapping[str, Iterator[pa.Table]], *, person: str, persons: int
) -> Iterator[dict[str, pa.Table]]:
    """Yield all rows of some persons at a time, by table, sorted by person.

    Guarantees: each person is in one block, with all rows that are its own.

    Args:
        streams: by table its rows, sorted by person as bytes are; the first piece may hold none.
        person: the persons' table.
    """
    opened = {name: _Stream(rows) for name, rows in streams.items()}
    root = opened[person]
    while True:
        head = root.take(persons)
        if head.num_rows == 0:
            return
        last = head[PERSON][-1].as_py()
        head = pa.concat_tables([head, root.up_to(last)])
        yield {n: head if n == person else stream.up_to(last) for n, stream in opened.items()}


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
