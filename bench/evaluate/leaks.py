"""What attacks find on Adult: of a run, of the same releases without noise, and of copies."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.support.results import Figure
from bench.support.tables import data_directory
from silosynth.common.attacks import Known, attack
from silosynth.common.attacks.membership import by_releases, membership
from silosynth.common.attacks.people import Arena, make_arena
from silosynth.common.codec import Codec
from silosynth.common.importers import import_schema
from silosynth.common.measurement import Measurement
from silosynth.common.schema import Schema
from silosynth.common.scores import read_values
from silosynth.server.planning import new_plan
from silosynth.server.report import open_run
from silosynth.simulations.run import Engine, simulate

_MEMBERS = 1_000
_BARE = 1e-6
LOUD = 0.01
RUNS = 6


def leaks() -> list[Figure]:
    """Return the AUC of outliers by method with and without noise, and who is told from null."""
    directory = data_directory() / "adult"
    schema = import_schema(
        directory / "schema.json", format="dataset", table="adult.parquet"
    ).schema()
    table = pq.read_table(directory / "adult.parquet").select([a.name for a in schema.coded])
    order = np.random.default_rng(0).permutation(table.num_rows)
    found = []
    for method in ("mst", "aim"):
        found += _of_method(method, schema=schema, table=table, order=order)
    return [*found, *_copies(table, order)]


def _of_method(method: str, *, schema: Schema, table: pa.Table, order: np.ndarray) -> list[Figure]:
    """Return what the coordinator's attack reaches at epsilon 1, and without any noise.

    Each run is of other people, so that their mean is not about a few outliers.
    """
    areas = []
    for number in range(RUNS):
        real, arena = _people(schema, table, np.roll(order, -number * _MEMBERS))
        known = _run(method, schema=schema, real=real)
        areas.append(_outliers(arena, list(known.releases), known.schema))
    # Without noise no rare code is merged: the releases of epsilon 100, counted exactly.
    sharp = _run(method, schema=schema, real=real, epsilon=100.0)
    bare = [_exact(m, real, sharp.schema) for m in sharp.releases]
    return [
        Figure(
            figure=f"{method}, epsilon 1: AUC of outliers, mean of {RUNS} runs",
            value=float(np.mean(areas)),
            spread=float(np.ptp(areas)) / 2,
            unit="",
            at_most=0.6,
        ),
        Figure(
            figure=f"{method}, without noise: AUC of outliers",
            value=_outliers(arena, bare, sharp.schema),
            unit="",
            at_least=0.95,
        ),
    ]


def _people(schema: Schema, table: pa.Table, order: np.ndarray) -> tuple[pa.Table, Arena]:
    """Return who is in, and who is attacked: they and others."""
    real, control = table.take(order[:_MEMBERS]), table.take(order[_MEMBERS:])
    values, _ = read_values([real, real, control], schema=schema)
    return real, make_arena(values, [real, real, control], seed=1)


def _run(method: str, *, schema: Schema, real: pa.Table, epsilon: float = 1.0) -> Known:
    """Run two silos and return what their coordinator sees."""
    half = real.num_rows // 2
    silos = {"north": real.slice(0, half), "south": real.slice(half)}
    plan = new_plan(schema, epsilon=epsilon, delta=1e-6, silos=list(silos), method=method)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        simulate(plan, schema=schema, silos=silos, directory=path, engine=Engine.LOCAL)
        opened = open_run(path)
    if opened is None:
        raise RuntimeError("the run cannot be opened again")
    return opened.known


def _exact(measurement: Measurement, real: pa.Table, schema: Schema) -> Measurement:
    """Return a measurement with exact counts in the place of noised ones."""
    codes, domain = Codec(schema=schema).encode(real, allow_extra=True).codes, schema.domain
    places = [domain.index(a) for a in measurement.clique]
    looked = [measurement.grouping.lookup(domain.attributes[i], domain.shape[i]) for i in places]
    merged = [look[codes[i]] for look, i in zip(looked, places, strict=True)]
    cells = np.ravel_multi_index(merged, [int(look.max()) + 1 for look in looked])
    counts = np.bincount(cells, minlength=len(measurement.values)).astype(np.float64)
    return replace(measurement, values=counts, variance=measurement.variance * _BARE)


def _outliers(arena: Arena, releases: list[Measurement], schema: Schema) -> float:
    _, outliers = by_releases(arena, releases, schema)
    return membership(outliers)[0].value


def _copies(table: pa.Table, order: np.ndarray) -> list[Figure]:
    """Return whether a copy, a table with 4 % copied rows and other people are told apart."""
    parts = np.split(order[:40_000], [10_000, 20_000])
    real, others, control = (table.take(p) for p in parts)
    figures = []
    for name, copied, right in (
        ("verbatim copy", 10_000, 1.0),
        ("4 % verbatim", 400, 1.0),
        ("other people", 0, 0.0),
    ):
        made = pa.concat_tables([real.slice(0, copied), others.slice(copied)])
        tables = [real, made, control]
        values, _ = read_values(tables)
        measures = attack(values, tables, seed=1).measures
        told = float(any((m.low or 0) - (m.ceiling or 0) > LOUD for m in measures))
        figures.append(
            Figure(figure=f"{name}: told apart", value=told, unit="", at_least=right, at_most=right)
        )
    return figures
