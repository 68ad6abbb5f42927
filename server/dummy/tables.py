"""Rows of several tables from their schema alone: no orphan, every count as likely."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Form
from silosynth.common.errors import InvalidSchema
from silosynth.common.files import make_directory, write_text
from silosynth.common.sampler import Sampler, draw_batches, form_of_file, write_batches
from silosynth.common.tables import Families, TablesSchema, drawable, number_name, table_seed
from silosynth.server.dummy.sampler import MADE_FROM, dummy_sampler

ABOUT = "about.json"


def write_dummy_tables(
    schema: TablesSchema, *, persons: int, seed: int, folder: Path, ending: str, force: bool = False
) -> dict[str, int]:
    """Write a file a table, and ``about.json``, which says what they are; return rows by table.

    Guarantees: as :meth:`Families.finished`; each row keeps its table's rules; numbers of children
    lie within their edges. Memory holds a number a row, and a few batches.

    Raises InvalidSchema for a schema with facts that were read off data.
    """
    unreviewed = schema.unvouched()
    if unreviewed:
        raise InvalidSchema(
            f"schema {schema.name!r} has unreviewed facts, of {unreviewed[0]!r} first",
            hint="rows made of it would tell what only the data could; review it before",
        )
    samplers = {n: dummy_sampler(drawable(c.rows)) for n, c in schema.columns.items()}
    families = _families(schema, samplers, persons=persons, seed=seed)
    make_directory(folder)
    mark = {"silosynth": f"made from {MADE_FROM}; epsilon 0"}
    written = {}
    for name in schema.downward:
        path = folder / f"{name}{ending}"
        form = form_of_file(path)
        drawn = _draw(samplers[name], families, name, form=form)
        finished = families.finished(name, drawn, form=form)
        dialect = schema.tables[name].csv
        written[name] = write_batches(finished, path=path, dialect=dialect, force=force, mark=mark)
    about = {"made_from": MADE_FROM, "epsilon": 0, "schema": schema.digest, "rows": written}
    write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n", force=force)
    return written


def _families(
    schema: TablesSchema, samplers: dict[str, Sampler], *, persons: int, seed: int
) -> Families:
    """Draw how many rows each row has below it, top down."""
    numbers: dict[str, np.ndarray] = {}
    for name in schema.downward:
        total = persons if name == schema.person else int(numbers[name].sum())
        numbers |= _numbers(
            samplers[name], list(schema.below(name)), rows=total, seed=table_seed(seed, name)
        )
    return Families(schema=schema, persons=persons, numbers=numbers, seed=seed)


def _numbers(sampler: Sampler, below: list[str], *, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Return how many rows of each table below the rows of one have."""
    found: dict[str, list[np.ndarray]] = {child: [] for child in below}
    if not below:
        return {}
    with closing(draw_batches(sampler, rows=rows, seed=seed)) as batches:
        for batch in batches:
            for child in below:
                found[child].append(batch[number_name(child)].to_numpy())
    return {child: np.concatenate(parts) for child, parts in found.items()}


def _draw(sampler: Sampler, families: Families, name: str, *, form: Form) -> Iterator[pa.Table]:
    seed, rows = table_seed(families.seed, name), families.rows[name].total
    with closing(draw_batches(sampler, rows=rows, seed=seed, form=form)) as batches:
        yield from batches
