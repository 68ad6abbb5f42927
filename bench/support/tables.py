"""Load the benchmarks' tables: a schema, an Arrow table, and the codes that all contenders get."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from silosynth.common.codec import Codec
from silosynth.common.domain import Domain
from silosynth.common.importers import import_schema
from silosynth.common.schema import Schema, Source


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A table with its schema and its codes: (rows, attributes) uint16."""

    schema: Schema
    table: pa.Table
    codes: np.ndarray

    @property
    def domain(self) -> Domain:
        """Return the sizes of the attributes."""
        return self.schema.domain


def data_directory() -> Path:
    """Return where the data sets lie: SILOSYNTH_DATA, or ../shared/data beside the project."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("SILOSYNTH_DATA", default)).expanduser()


def load_case(
    data_set: str, file: str, *, schema: Schema | None = None, attributes: int | None = None
) -> Case:
    """Read one table of a data set; numbers fall into 32 bins of one width.

    Args:
        schema: codes the table by another table's schema; by its own without it.
        attributes: keep only so many attributes, spread over the table.
    """
    directory = data_directory() / data_set
    if schema is None:
        imported = import_schema(directory / "schema.json", format="dataset", table=file)
        schema = _keep(imported.schema(), attributes)
    table = _read(directory / file).select([a.name for a in schema.attributes])
    return Case(schema=schema, table=table, codes=encode(table, schema=schema))


def load_adult() -> tuple[Domain, np.ndarray]:
    """Return private-pgm's Adult: 14 attributes and (rows, 14) codes."""
    directory = data_directory() / "adult"
    sizes = json.loads((directory / "adult_coded-domain.json").read_text())
    with (directory / "adult_coded.csv").open() as file:
        names = tuple(file.readline().strip().split(","))
        codes = np.loadtxt(file, delimiter=",", dtype=np.int64)
    return Domain(attributes=names, shape=tuple(sizes[n] for n in names)), codes


def encode(table: pa.Table, *, schema: Schema) -> np.ndarray:
    """Return the codes of a table, (rows, attributes) uint16."""
    columns = Codec(schema).encode(table).codes
    return np.stack([column.astype(np.uint16) for column in columns], axis=1)


def split_by(table: pa.Table, column: str) -> Mapping[str, pa.Table]:
    """Return one table for each value of ``column``, which the tables keep."""
    values = pc.unique(table[column]).to_pylist()
    return {str(v): table.filter(pc.equal(table[column], v)) for v in sorted(values)}


def vouch(case: Case) -> Case:
    """Declare the domains of a published table that were read off this extract."""
    attributes = tuple(
        a.model_copy(update={"source": Source.DECLARED}) if a.source is Source.UNREVIEWED else a
        for a in case.schema.attributes
    )
    schema = case.schema.model_copy(update={"attributes": attributes})
    return Case(schema=schema, table=case.table, codes=case.codes)


def _keep(schema: Schema, attributes: int | None) -> Schema:
    """Return the schema with every so-manieth attribute."""
    if attributes is None:
        return schema
    chosen = np.linspace(0, len(schema.attributes) - 1, attributes).astype(int)
    kept = tuple(schema.attributes[i] for i in chosen)
    return schema.model_copy(update={"attributes": kept, "label": None})


def _read(path: Path) -> pa.Table:
    """Read Parquet, or CSV with all values as text."""
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path)
    names = path.open(encoding="utf-8").readline().strip().split(",")
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, strings_can_be_null=False
    )
    return pyarrow.csv.read_csv(path, convert_options=options)
