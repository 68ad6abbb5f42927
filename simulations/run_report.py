"""The report of a run's directory, with or without the real rows beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.client.source import Wanted
from silosynth.common.codec import modelled_texts
from silosynth.common.evaluate import Made, Tell, Wish, reuse_measures, silent
from silosynth.common.evaluate.compare import compare
from silosynth.common.report import ReportFacts, sample_facts
from silosynth.common.sampler import AutoregressiveSampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema
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

_BATCH = 1 << 14


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
    sizes = {s: pq.read_metadata(_place(directory, s).table).num_rows for s in state.silos}
    shares = (_share(directory, s, schema=state.table, sizes=sizes, seed=seed) for s in sizes)
    real = pool_tables(list(shares))
    drawn = draw(sampler, rows=real.num_rows, seed=seed)
    pa.default_memory_pool().release_unused()  # what both took, and is not theirs any more
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


def _share(
    directory: Path, silo: str, *, schema: Schema, sizes: Mapping[str, int], seed: int
) -> pa.Table:
    """Return a silo's share of the 100,000 rows that are compared; all rows of smaller runs.

    Guarantees: memory does not grow with the silo's table.
    """
    rows, tables = sum(sizes.values()), _tables(_place(directory, silo), schema=schema)
    if rows <= MOST_ROWS or not sizes[silo]:
        return pa.concat_tables(tables, promote_options="permissive")
    kept = max(1, round(sizes[silo] * MOST_ROWS / rows))
    batches = (b for table in tables for b in table.combine_chunks().to_batches())
    return sample_batches(batches, seed=seed, most=kept).table


def _tables(place: SiloDirectory, *, schema: Schema) -> Iterator[pa.Table]:
    """Yield no row, then a silo's rows by the thousand, in the schema's names and words."""
    wanted = Wanted(schema=schema, allow_extra=True, silo_map=place.silo_map())
    with pq.ParquetFile(place.table) as file:
        columns = wanted.columns(file.schema_arrow, origin=str(place.table))
        yield wanted.mapped(file.schema_arrow.empty_table().select(columns))
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            yield wanted.mapped(pa.Table.from_batches([batch]))


def _place(directory: Path, silo: str) -> SiloDirectory:
    return SiloDirectory(path=RunDirectory(path=directory).silos / silo)


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
