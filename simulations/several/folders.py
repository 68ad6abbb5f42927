"""The folders of simulated silos, with a file a table: found, or parted from one folder of tables.

Each person with all rows below it is at one silo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from silosynth.client.families import BY, KEY, PERSON, Joined, find_tables, join_tables
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.names import machine_key
from silosynth.common.tables import TablesSchema
from silosynth.simulations.one_process import write_private

VERSION = 1


def silo_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each silo: one named after it.

    Raises InvalidArgument where there is none, InvalidTable for two of one silo.
    """
    if not folder.is_dir():
        raise InvalidArgument(
            f"{folder} is no folder", hint="put a folder a silo there, with a file a table"
        )
    found: dict[str, Path] = {}
    for place in sorted(f for f in folder.iterdir() if f.is_dir() and f.name[0] != "."):
        silo = machine_key(place.name)
        if silo in found:
            raise InvalidTable(
                f"{folder} holds two folders of silo {silo!r}", hint="keep one for each silo"
            )
        found[silo] = place
    if not found:
        raise InvalidArgument(
            f"{folder} holds no folder of a silo",
            hint="put a folder a silo there, or say with --by how one folder of tables is split",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloTables:
    """Remembers in a run's directory where each silo's tables lie, for its report."""

    path: Path

    def write(self, folders: Mapping[str, Path]) -> None:
        """Write where they lie, for the owner of the run alone."""
        where = {silo: str(folder.resolve()) for silo, folder in folders.items()}
        text = json.dumps({"version": VERSION, "silos": where}, indent=1)
        self.path.unlink(missing_ok=True)
        write_private(self.path, text.encode())

    def read(self) -> dict[str, Path]:
        """Return where they lie; raise InvalidArgument for a file of another version, or none."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise InvalidArgument(
                f"{self.path}: does not say where the silos' tables lie",
                hint="run the same 'simulate' again: nothing is charged twice",
            )
        return {silo: Path(folder) for silo, folder in found["silos"].items()}


TABLES = "tables"
"""The folder of a silo's tables, within its own."""


def split_folder(
    folder: Path,
    *,
    schema: TablesSchema,
    by: str,
    into: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Write the tables of each silo into ``into/SILO/tables``, and return those folders.

    Whose rows are a silo's is told by the value that ``by`` has in the person's row. Rows that
    belong to nobody go to no silo; ``tell`` gets their number. Memory holds a block of families.

    Raises InvalidTable for a column that the person's table lacks, or that gives no silo a name.
    """
    with join_tables(schema, find_tables(folder, schema=schema)) as joined, ExitStack() as stack:
        writers = _Writers(into=into, stack=stack)
        for block in joined.blocks():
            people, at = _silos_of(block[schema.person], writers, by=by, table=schema.person)
            for name, rows in block.items():
                place = pc.index_in(rows[PERSON].combine_chunks(), value_set=people).to_numpy()
                writers.append(name, rows, silos=at[place])
        if not writers.silos:
            raise InvalidTable(f"{folder}: table {schema.person!r} holds nobody")
        for line in _nobodys(joined):
            tell(line)
    return {silo: into / silo / TABLES for silo in sorted(writers.silos)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Writers:
    """Own a file for each silo and table; those that were opened are closed by ``stack``.

    ``silos`` are those that were met, each with the value that stands for it.
    """

    into: Path
    stack: ExitStack
    silos: dict[str, str] = field(default_factory=dict)
    _open: dict[tuple[str, str], pq.ParquetWriter] = field(default_factory=dict)

    def number(self, value: str | None) -> int:
        """Return the number of a value's silo; raise InvalidTable where two would be one silo."""
        silo = machine_key(value)
        if self.silos.setdefault(silo, str(value)) != str(value):
            raise InvalidTable(
                f"two values give the silo name {silo!r}", hint="rename one of them in a copy"
            )
        return list(self.silos).index(silo)

    def append(self, name: str, rows: pa.Table, *, silos: np.ndarray) -> None:
        """Append rows to the files of their silos, by number; each silo gets every table."""
        kept = rows.drop_columns([c for c in (PERSON, KEY, BY) if c in rows.column_names])
        for number, silo in enumerate(self.silos):
            part = kept.filter(pa.array(silos == number))
            self._file(silo, name, kept.schema).write_table(part)

    def _file(self, silo: str, name: str, columns: pa.Schema) -> pq.ParquetWriter:
        if (silo, name) not in self._open:
            folder = self.into / silo / TABLES
            for place in (self.into, self.into / silo, folder):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = pq.ParquetWriter(folder / f"{name}.parquet", columns, compression="zstd")
            self._open[silo, name] = self.stack.enter_context(writer)
        return self._open[silo, name]


def _silos_of(
    persons: pa.Table, writers: _Writers, *, by: str, table: str
) -> tuple[pa.Array, np.ndarray]:
    """Return the persons of a block, each once, and the number of each one's silo."""
    if by not in persons.column_names:
        own = [c for c in persons.column_names if c not in (PERSON, KEY, BY)]
        raise InvalidTable(
            f"there is no column {by!r} of {table!r} to split by",
            hint=f"use one of {', '.join(own[:8])}",
        )
    values = persons[by].combine_chunks().cast(pa.large_string())
    people = persons[PERSON].combine_chunks()
    unique = pc.unique(people)
    first = pc.dictionary_encode(
        values.take(pc.index_in(unique, value_set=people)), null_encoding="encode"
    )
    numbers = np.array([writers.number(v) for v in first.dictionary.to_pylist()], dtype=np.int64)
    return unique, numbers[first.indices.to_numpy()]


def _nobodys(joined: Joined) -> Iterator[str]:
    for name, rows in joined.nobodys().rows.items():
        if rows:
            yield f"{name}: {rows:,} rows belong to nobody, and go to no silo"
