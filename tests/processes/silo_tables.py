"""The tables of the federations that tests start, and their schema."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from silosynth.common.schema import Schema, parse_schema
from tests.support.tables.canary import CANARY

SILOS = ("north", "south", "west")


def federation_schema() -> Schema:
    """Return the schema of the test tables."""
    return parse_schema(
        {
            "name": "people",
            "attributes": [
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"},
                {
                    "name": "region",
                    "kind": "categorical",
                    "categories": ["n", "s", "w"],
                    "source": "public",
                },
                {"name": "ill", "kind": "boolean", "missing": True},
            ],
        }
    )


def silo_table(silo: str, *, rows: int = 400) -> pa.Table:
    """Return one silo's rows, one a person: ``ill`` follows ``age``."""
    random = np.random.default_rng(SILOS.index(silo))
    age = random.integers(0, 100, rows)
    ill = age + random.normal(0, 10, rows) > 60
    who = [f"{silo}-{i}" for i in range(rows)]
    return pa.table({"age": age, "region": [silo[0]] * rows, "ill": ill, "who": who})


def token_table(silo: str, *, rows: int = 400) -> pa.Table:
    """Return a silo's rows, in which every fourth region and every person is a token."""
    table = silo_table(silo, rows=rows)
    region = np.where(np.arange(rows) % 4 == 0, f"{CANARY}-region", silo[0])
    who = [f"{CANARY}-{silo}-{i // 2}" for i in range(rows)]
    for name, values in {"region": region, "who": who}.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values))
    return table
