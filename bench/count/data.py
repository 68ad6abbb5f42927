"""The tables that counting is measured on: 15 columns of 8 to 24 codes, skewed and dependent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.common.domain import Domain
from silosynth.common.schema import Schema, parse_schema

SHAPE = (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24)
NAMES = tuple(f"c{i}" for i in range(len(SHAPE)))
DOMAIN = Domain(attributes=NAMES, shape=SHAPE)
PAIRS = tuple(combinations(range(len(SHAPE)), 2))
TRIPLES = tuple(
    tuple(combinations(range(len(SHAPE)), 3))[i]
    for i in np.random.default_rng(3).choice(455, 64, replace=False)
)
GROUP_ROWS = 1 << 20
_TEXTS = 8


def make_columns(rows: int, *, seed: int = 0) -> list[np.ndarray]:
    """Return uint8 codes: code i of a column is as frequent as 1 / (i + 1), half of it shared."""
    random = np.random.default_rng(seed)
    shared = random.random(rows, dtype=np.float32)
    columns = []
    for size in SHAPE:
        mass = 1 / np.arange(1, size + 1)
        edges = np.cumsum(mass / mass.sum())[:-1].astype(np.float32)
        own = random.random(rows, dtype=np.float32)
        chosen = np.where(random.random(rows, dtype=np.float32) < 0.5, own, shared)
        columns.append(np.searchsorted(edges, chosen, side="right").astype(np.uint8))
    return columns


def write_columns(columns: Sequence[np.ndarray], directory: Path) -> None:
    """Write each column to a file that the peers load."""
    for i, column in enumerate(columns):
        np.save(directory / f"c{i}.npy", column)


def write_parquet(columns: Sequence[np.ndarray], directory: Path) -> Schema:
    """Write eight columns as text and seven as floats, by row groups, and return the schema."""
    random = np.random.default_rng(1)
    arrays: list[pa.Array] = []
    attributes: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    for i, (codes, size) in enumerate(zip(columns, SHAPE, strict=True)):
        if i < _TEXTS:
            names = [f"value-{i}-{code:02d}" for code in range(size)]
            text = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names))
            arrays.append(text.cast(pa.string()))
            attributes.append({"name": f"s{i}", "kind": "categorical", "categories": names})
            attributes[-1] |= {"other": False, "source": "public"}
            facts.append({"categories": names})
        else:
            arrays.append(pa.array(codes + random.random(len(codes)) * 0.999))
            attributes.append({"name": f"s{i}", "kind": "real", "minimum": 0.0, "maximum": size})
            attributes[-1] |= {"bins": {"kind": "width", "count": size}, "source": "public"}
            facts.append({"low": 0.0, "scale": 1.0})
    table = pa.table(arrays, names=[f"s{i}" for i in range(len(SHAPE))])
    pq.write_table(table, directory / "rows.parquet", row_group_size=GROUP_ROWS)
    (directory / "bins.json").write_text(json.dumps(facts))
    return parse_schema({"name": "bench", "attributes": attributes})
