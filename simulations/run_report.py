"""The report of a run's directory, with or without the real rows beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from silosynth.client.maps import map_table
from silosynth.client.source import read_table
from silosynth.common.codec import modelled_texts
from silosynth.common.evaluate import Made, Tell, Wish, reuse_measures, silent
from silosynth.common.evaluate.compare import compare
from silosynth.common.report import ReportFacts, sample_facts
from silosynth.common.sampler import AutoregressiveSampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.scores import MOST_ROWS, sample_batches
from silosynth.server.report import (
    charged_units,
    chosen_pairs,
    report_outcome,
    run_costs,
    run_provenance,
    same_bytes,
)
from silosynth.simulations.run_files import RunDirectory, RunResult
from silosynth.simulations.silos import SiloDirectory


def report_facts(
    result: RunResult,
    *,
    directory: Path,
    seed: int,
    released_only: bool = False,
    tell: Tell = silent,
) -> ReportFacts:
    """Return the facts of a run's report.

    Compares as many synthetic rows as the silos hold with the real rows, unless
    ``released_only``; then nothing but releases is used, as in a federation.
    """
    facts = _facts(result, directory=directory, seed=seed, released_only=released_only, tell=tell)
    return facts.model_copy(update={"samples": sample_facts(result.sampler, seed=seed)})


def _facts(
    result: RunResult, *, directory: Path, seed: int, released_only: bool, tell: Tell
) -> ReportFacts:
    """Return the facts that are numbers."""
    state, outcome = result.state, result.outcome
    provenance = run_provenance(result.state, seed=seed)
    if released_only:
        return report_outcome(state, outcome, provenance=provenance)
    sampler, texts = result.sampler, modelled_texts(state.table)
    if texts and isinstance(sampler, AutoregressiveSampler):
        sampler = sampler.without_texts()  # nothing of them is compared
    tables = {s: _read(directory, s, result=result) for s in state.silos}
    sizes = {name: table.num_rows for name, table in tables.items()}
    real = pool_tables([_share(t, of=sum(sizes.values()), seed=seed) for t in tables.values()])
    del tables
    drawn = draw(sampler, rows=real.num_rows, seed=seed)
    for name in set(texts) - set(drawn.column_names):
        drawn = drawn.append_column(name, pa.nulls(len(drawn), pa.string()))
    costs = run_costs(directory, state.plan)
    again = [same_bytes(result.sampler, directory)] if result.reopened else []
    reuse = reuse_measures(
        sampler,
        sampler_bytes=RunDirectory(path=directory).sampler.stat().st_size,
        epsilon=outcome.certificate.epsilon,
        seed=seed,
    )
    return compare(
        real,
        drawn,
        schema=state.table,
        plan=state.plan,
        certificate=outcome.certificate,
        costs=charged_units(state),
        silo_rows=sizes,
        chosen=chosen_pairs(state),
        provenance=provenance,
        made=Made(reuse=(*again, *costs, *reuse)),
        wish=Wish(),
        tell=tell,
    )


def _share(table: pa.Table, *, of: int, seed: int) -> pa.Table:
    """Return a silo's share of the 100,000 rows that are compared; all rows of smaller runs."""
    if of <= MOST_ROWS or not table.num_rows:
        return table
    kept = max(1, round(table.num_rows * MOST_ROWS / of))
    return sample_batches(iter(table.to_batches()), seed=seed, most=kept).table


def pool_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all rows in one table; columns that silos store in different types become text.

    One silo may hold a CSV file and the next a Parquet file; the codec reads both.
    """
    mixed = [
        name
        for name in tables[0].column_names
        if len({_plain(t.schema.field(name).type) for t in tables}) > 1
    ]
    return pa.concat_tables(
        [_spell(t, mixed) for t in tables], promote_options="permissive"
    ).combine_chunks()


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary, or the type itself."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _spell(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the table with some columns as text and no dictionaries."""
    for i, field in enumerate(table.schema):
        kind = pa.string() if field.name in names else _plain(field.type)
        if kind != field.type:
            table = table.set_column(i, field.name, table[field.name].cast(kind))
    return table


def _read(directory: Path, silo: str, *, result: RunResult) -> pa.Table:
    """Read a simulated silo's table."""
    place = SiloDirectory(path=RunDirectory(path=directory).silos / silo)
    schema, silo_map = result.state.table, place.silo_map()
    table = read_table(place.table, schema=schema, allow_extra=True, silo_map=silo_map)
    return map_table(table, schema=schema, silo_map=silo_map, person=None)
