"""A table of every kind of column with values of every kind, and its counts by brute force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema, parse_schema

CANARY = "SECRET-4711"
NAN = float("nan")
SCHEMA: Schema = parse_schema(
    {
        "name": "messy",
        "attributes": [
            {"name": "zip", "kind": "categorical", "categories": ["01", "1", "o'k", "a\\b"]}
            | {"missing": True, "missing_tokens": ["-"]},
            {"name": "grade", "kind": "ordinal", "categories": [1, 2, 3], "missing": True},
            {"name": "smoker", "kind": "boolean", "missing": True},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 90, "missing": True}
            | {"missing_tokens": ["-9"], "bins": {"kind": "width", "count": 7}},
            {"name": "weight", "kind": "real", "minimum": 0.0, "maximum": 1.0, "missing": True}
            | {"bins": {"kind": "edges", "edges": [0.1, 0.3, 0.7]}},
            {"name": "seen", "kind": "datetime", "minimum": "2020-01-01", "maximum": "2021-01-01"}
            | {"bins": {"kind": "width", "count": 12}},
            {"name": "note", "kind": "text"},
        ],
    }
)
LEVELS: Mapping[str, Grouping] = {
    "fine": Grouping(),
    "coarse": Grouping(groups={"age": (0, 0, 0, 1, 1, 1, 1, 2), "zip": (0, 0, 1, 1, 2, 2)}),
}
QUERIES = [
    *(
        MarginalQuery(clique=clique, level=level)
        for level, clique in product(LEVELS, combinations(SCHEMA.domain.attributes, 2))
    ),
    MarginalQuery(clique=("seen",)),
    MarginalQuery(clique=("weight", "zip", "age")),
]


def messy_table(rows: int, *, seed: int = 1) -> pa.Table:
    """Return rows with nulls, tokens, unlisted and outlying values, and a person each."""
    random = np.random.default_rng(seed)

    def pick(values: Sequence[object], kind: pa.DataType) -> pa.Array:
        return pa.array([values[i] for i in random.integers(0, len(values), rows)], kind)

    days = pa.timestamp("us")
    instants = [0, 1577836800_000000, 1577836799_999999, 1590000000_123456, 1700000000_000000, None]
    return pa.table(
        {
            "zip": pick(["01", "1", " 1 ", "o'k", "a\\b", "-", CANARY, "", None], pa.string()),
            "grade": pick([1, 2, 3, 4, None], pa.int32()),
            "smoker": pick([True, False, None], pa.bool_()),
            "age": pick([0, 5, 12, 13, 90, 91, -9, -10, 1000, None], pa.int64()),
            "weight": pick(
                [0.0, 0.1, 0.3, 0.29999999999999993, 0.5, 1.0, 2.0, -1.0, NAN, float("inf"), None],
                pa.float64(),
            ),
            "seen": pick(instants, days),
            "note": pick([CANARY, "b"], pa.string()),
            "person": pick([*range(max(rows // 4, 1)), None], pa.int64()),
        }
    )


def brute_force(columns: Sequence[np.ndarray], query: MarginalQuery) -> np.ndarray:
    """Count the rows of a table of codes one at a time."""
    grouping, domain = LEVELS[query.level], SCHEMA.domain
    groups = [grouping.lookup(a, domain.sizes((a,))[0]) for a in query.clique]
    picked = [columns[domain.index(a)] for a in query.clique]
    cells = Counter(
        tuple(int(g[code]) for g, code in zip(groups, row, strict=True))
        for row in zip(*picked, strict=True)
    )
    counts = np.zeros(grouping.domain(domain).sizes(query.clique), dtype=np.int64)
    for cell, rows in cells.items():
        counts[cell] = rows
    return counts.ravel()


def assert_exact(counted: list[np.ndarray], table: pa.Table) -> None:
    """Compare the counts of QUERIES with brute force over the table, encoded all at once."""
    columns = Codec(SCHEMA).encode(table, allow_extra=True).codes
    assert len(counted) == len(QUERIES)
    for query, counts in zip(QUERIES, counted, strict=True):
        assert counts.dtype == np.int64
        assert np.array_equal(counts, brute_force(columns, query)), query
