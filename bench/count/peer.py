"""Count with a peer, in the peers' environment: tasks come as lines of JSON, times go back.

What is timed is what a user would run on data that the engine holds already: one GROUP BY for each
marginal, all results fetched. Making full tables of them, for the comparison, is not timed, except
where joint tables must be made to sum marginals out of them.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)

import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import polars as pl  # noqa: E402
import pyarrow as pa  # noqa: E402

Clique = Sequence[int]
Counts = tuple[list[np.ndarray], np.ndarray]


class Memory:
    """Columns of codes in memory, as each engine holds them."""

    def __init__(self, directory: Path, rows: int, shape: Sequence[int]) -> None:
        self.shape = shape
        self.columns = [np.load(directory / f"c{i}.npy")[:rows] for i in range(len(shape))]
        self.names = [f"c{i}" for i in range(len(shape))]

    def dense(self, clique: Clique, counts: Counts) -> np.ndarray:
        """Return the full table of a clique."""
        codes, rows = counts
        table = np.zeros(math.prod(self.shape[c] for c in clique), dtype=np.int64)
        cells = np.ravel_multi_index([*codes], [self.shape[c] for c in clique])
        table[cells] = rows
        return table


class DuckDB(Memory):
    """A table in memory, and a GROUP BY for each clique."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.engine = duckdb.connect()
        self.engine.execute(f"SET threads = {THREADS}")
        given = pa.table(dict(zip(self.names, self.columns, strict=True)))
        self.engine.register("given", given)
        self.engine.execute("CREATE TABLE t AS SELECT * FROM given")
        self.columns = []

    def count(self, clique: Clique) -> Counts:
        names = ", ".join(f"c{c}" for c in clique)
        found = self.engine.execute(
            f"SELECT {names}, count(*) AS n FROM t GROUP BY {names}"
        ).fetchnumpy()
        return [found[f"c{c}"] for c in clique], found["n"]


class Polars(Memory):
    """A frame, and a group_by for each clique."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.frame = pl.DataFrame(dict(zip(self.names, self.columns, strict=True)))
        self.columns = []

    def count(self, clique: Clique) -> Counts:
        found = self.frame.group_by([f"c{c}" for c in clique]).len()
        return [found[f"c{c}"].to_numpy() for c in clique], found["len"].to_numpy()


class Pandas(Memory):
    """A frame, and a groupby for each clique."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.frame = pd.DataFrame(dict(zip(self.names, self.columns, strict=True)))
        self.columns = []

    def count(self, clique: Clique) -> Counts:
        found = self.frame.groupby([f"c{c}" for c in clique], sort=False).size()
        return [found.index.get_level_values(i).to_numpy() for i in range(len(clique))], (
            found.to_numpy()
        )


class DuckDBParquet(DuckDB):
    """One scan makes codes of the file, then a GROUP BY for each clique."""

    kind = "TEMP TABLE"

    def __init__(self, directory: Path, rows: int, shape: Sequence[int]) -> None:
        self.shape, self.path, self.columns = shape, directory / "rows.parquet", []
        self.facts = json.loads((directory / "bins.json").read_text())
        self.engine = duckdb.connect()
        self.engine.execute(f"SET threads = {THREADS}")

    def begin(self) -> None:
        selected = [
            f"enum_code(s{i}::k{i})::utinyint AS c{i}"
            if "categories" in fact
            else f"least(greatest(floor((s{i} - {fact['low']}) * {fact['scale']}), 0), "
            f"{self.shape[i] - 1})::utinyint AS c{i}"
            for i, fact in enumerate(self.facts)
        ]
        for i, fact in enumerate(self.facts):
            if names := fact.get("categories"):
                listed = ", ".join(f"'{n}'" for n in names)
                self.engine.execute(f"DROP TYPE IF EXISTS k{i}")
                self.engine.execute(f"CREATE TYPE k{i} AS ENUM ({listed})")
        self.engine.execute(
            f"CREATE OR REPLACE {self.kind} t AS SELECT {', '.join(selected)} FROM '{self.path}'"
        )


class DuckDBFile(DuckDBParquet):
    """A GROUP BY on the file for each clique."""

    kind = "TEMP VIEW"


class PolarsParquet(Polars):
    """The file is read once and coded, then a group_by for each clique."""

    def __init__(self, directory: Path, rows: int, shape: Sequence[int]) -> None:
        self.shape, self.path, self.columns = shape, directory / "rows.parquet", []
        self.facts = json.loads((directory / "bins.json").read_text())

    def coded(self) -> pl.LazyFrame:
        expressions = []
        for i, fact in enumerate(self.facts):
            column = pl.col(f"s{i}")
            if names := fact.get("categories"):
                coded = column.cast(pl.Enum(names)).to_physical()
            else:
                coded = ((column - fact["low"]) * fact["scale"]).floor().clip(0, self.shape[i] - 1)
            expressions.append(coded.cast(pl.UInt8).alias(f"c{i}"))
        return pl.scan_parquet(self.path).select(expressions)

    def begin(self) -> None:
        self.frame = self.coded().collect()


class PolarsFile(PolarsParquet):
    """A lazy group_by on the file for each clique."""

    def begin(self) -> None:
        self.lazy = self.coded()

    def count(self, clique: Clique) -> Counts:
        found = self.lazy.group_by([f"c{c}" for c in clique]).len().collect()
        return [found[f"c{c}"].to_numpy() for c in clique], found["len"].to_numpy()


ENGINES: dict[str, Callable[..., Any]] = {
    "duckdb": DuckDB,
    "polars": Polars,
    "pandas": Pandas,
    "duckdb on the file": DuckDBFile,
    "polars on the file": PolarsFile,
    "duckdb read once": DuckDBParquet,
    "polars read once": PolarsParquet,
}


def run(engine: Any, task: dict[str, Any]) -> dict[str, float]:
    """Count every clique once, or every joint table and what is summed out of it."""
    cliques, joint, sources = task["cliques"], task.get("joint"), task.get("sources")
    start, cpu = time.perf_counter(), time.process_time()
    if hasattr(engine, "begin"):
        engine.begin()
    if joint is None:
        counted = [engine.count(clique) for clique in cliques]
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        tables = [engine.dense(q, c) for q, c in zip(cliques, counted, strict=True)]
    else:
        cubes = [
            engine.dense(t, engine.count(t)).reshape([engine.shape[c] for c in t]) for t in joint
        ]
        tables = []
        for clique, source in zip(cliques, sources, strict=True):  # type: ignore[arg-type]  # as loose as a test may be
            dropped = tuple(i for i, c in enumerate(joint[source]) if c not in clique)
            tables.append(cubes[source].sum(axis=dropped).ravel())
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    np.save(task["out"], np.concatenate(tables))
    return {"seconds": seconds, "cpu": cpu}


def main() -> None:
    """Load once, then run every task that comes."""
    name, directory, rows, shape = sys.argv[1:]
    engine = ENGINES[name](Path(directory), int(rows), json.loads(shape))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(engine, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
