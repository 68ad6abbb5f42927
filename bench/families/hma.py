"""SDV's HMA on some persons with their rows, in an environment of its own: codes in, codes out.

It fits a copula for each person, so that all of them would take hours; how many it was given stands
in the figures' names, and beside them stands what as many real persons score. Categories are told
as text, numbers by their codes. It has no privacy.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.families.real import Real
from bench.families.scores import Rows
from bench.peers.run import CACHE, PEERS, PINS
from silosynth.common.forest import bins_of
from silosynth.common.schema import NumericAttribute
from silosynth.common.tables import number_name

SCRIPT = Path(__file__).with_name("with_hma.py")
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def is_set_up() -> bool:
    """Say whether there is an environment for it."""
    return (PEERS / "sdv" / "READY").exists()


def some_persons(rows: Rows, *, persons: int, seed: int) -> Rows:
    """Return so many persons with all their rows, chosen evenly."""
    count = len(rows.persons[0])
    random = np.random.default_rng(seed)
    return rows.taken(np.sort(random.choice(count, size=min(persons, count), replace=False)))


def draw_hma(real: Real, rows: Rows, *, seed: int) -> tuple[Rows, dict[str, float]]:
    """Return as many persons with rows as ``rows`` has, drawn by HMA, with seconds and MiB.

    Kept under bench/.peers by what it was given.
    """
    metadata, tables = _tables(real, rows)
    digest = hashlib.sha256(SCRIPT.read_bytes() + (PINS / "constraints-sdv.txt").read_bytes())
    digest.update(json.dumps([metadata, seed]).encode())
    for table in tables.values():
        digest.update(repr(table.to_pydict()).encode())
    target = CACHE / f"hma-{digest.hexdigest()[:16]}"
    if not target.exists():
        _run(metadata, tables, target=target, seed=seed)
    drawn = {name: pq.read_table(target / f"{name}.parquet") for name in tables}
    facts: dict[str, float] = json.loads((target / "facts.json").read_text())
    return _rows(real, drawn), facts


def _run(metadata: dict[str, Any], tables: dict[str, pa.Table], *, target: Path, seed: int) -> None:
    source, partial = target.with_suffix(".source"), target.with_suffix(".partial")
    for folder in (source, partial):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (source / "metadata.json").write_text(json.dumps(metadata))
    for name, table in tables.items():
        pq.write_table(table, source / f"{name}.parquet")
    python = PEERS / "sdv" / "bin" / "python"
    command = [str(python), str(SCRIPT), str(source), str(partial), f"--seed={seed}"]
    subprocess.run(command, check=True, env={**os.environ, **THREADS}, stdout=subprocess.DEVNULL)
    partial.replace(target)
    shutil.rmtree(source)


def _columns(real: Real, name: str) -> dict[str, bool]:
    """Return the attributes that are told of a table, and whether each is a number."""
    table = real.schema.tables[name]
    described = {a.name: a for a in real.schema.columns[name].rows.attributes}
    return {
        a: isinstance(described.get(a), NumericAttribute)
        for a in real.schema.columns[name].rows.domain.attributes
        if a not in (number_name(real.child), table.order)
    }


def _tables(real: Real, rows: Rows) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Return SDV's metadata, and the tables: persons and the rows below them."""
    person, child, facts = real.schema.person, real.child, {}
    tables: dict[str, pa.Table] = {}
    keys = {person: np.arange(len(rows.persons[0])), child: rows.above}
    for name, domain, codes in (
        (person, rows.person, rows.persons),
        (child, rows.child, rows.rows),
    ):
        columns, described = {"person": pa.array(keys[name])}, {"person": {"sdtype": "id"}}
        for attribute, numeric in _columns(real, name).items():
            column = codes[domain.index(attribute)].astype(np.int64)
            columns[attribute] = pa.array(column if numeric else column.astype(str))
            described[attribute] = {"sdtype": "numerical" if numeric else "categorical"}
        tables[name] = pa.table(columns)
        facts[name] = {"columns": described}
    facts[person]["primary_key"] = "person"  # type: ignore[assignment]  # a word beside mappings
    link = {
        "parent_table_name": person,
        "child_table_name": child,
        "parent_primary_key": "person",
        "child_foreign_key": "person",
    }
    return {"tables": facts, "relationships": [link]}, tables


def _rows(real: Real, drawn: dict[str, pa.Table]) -> Rows:
    """Return drawn tables as codes, the rows of a person together."""
    person, child = real.schema.person, real.child
    names = drawn[person]["person"].to_pylist()
    at = {name: i for i, name in enumerate(names)}
    above = np.array([at[n] for n in drawn[child]["person"].to_pylist()], dtype=np.int64)
    order = np.argsort(above, kind="stable")
    edges = bins_of(real.schema, child)
    numbers = np.bincount(above, minlength=len(names))

    def codes(name: str) -> tuple[np.ndarray, ...]:
        domain, told, found = real.schema.columns[name].rows.domain, _columns(real, name), []
        for attribute in domain.attributes:
            if attribute in told:
                values = drawn[name][attribute].to_pandas().astype(float).fillna(0).round()
                top = domain.size((attribute,)) - 1
                found.append(np.clip(values.to_numpy(), 0, top).astype(np.int64))
            elif attribute == number_name(child):
                found.append(edges[np.minimum(numbers, len(edges) - 1)])
            else:
                found.append(np.zeros(drawn[name].num_rows, dtype=np.int64))
        return tuple(found)

    return Rows(
        person=real.rows.person,
        child=real.rows.child,
        persons=codes(person),
        rows=tuple(c[order] for c in codes(child)),
        above=above[order],
    )
