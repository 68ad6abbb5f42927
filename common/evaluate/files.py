"""Evaluate what lies in files: a run's sampler, a sampler, or any table, against real rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.common.attacks import Known
from silosynth.common.certificate import Certificate, check_certificate
from silosynth.common.codec import check_columns
from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.evaluate.compare import compare
from silosynth.common.evaluate.evaluate import FEWEST_ROWS, evaluate
from silosynth.common.evaluate.made import Made, OpenRun, Tell, Wish, guarantee_of, silent
from silosynth.common.evaluate.reuse import drawing_speed, reuse_measures
from silosynth.common.report import (
    Audit,
    EvaluationFacts,
    Headline,
    Mode,
    PairsFacts,
    Provenance,
    ReportFacts,
)
from silosynth.common.sampler import AnySampler, Sampler, coded_schema, load_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, load_schema
from silosynth.common.scores import Sampled, is_table, read_sample

SAMPLER_NAME = "result.sampler"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What is judged: a synthetic table, and what is known of how it was made."""

    table: Sampled
    schema: Schema | None
    certificate: Certificate | None
    made: Made
    digest: str | None


def evaluate_file(
    what: Path,
    *,
    real: Path,
    control: Path | None = None,
    schema: Path | None = None,
    wish: Wish | None = None,
    audit: Audit | None = None,
    seed: int = 1,
    tell: Tell = silent,
    open_run: OpenRun = lambda _: None,
) -> ReportFacts:
    """Return the facts of an evaluation of a run's directory, a sampler file, or a table.

    Tables larger than memory are read in one pass; 100,000 of their rows are compared. Of a
    sampler as many rows are drawn as are compared.

    Args:
        audit: what an audit of the plan found, to be shown beside what is claimed.
        open_run: reads a run's directory again: what left the silos, and whether its sampler comes
            out the same.

    Raises InvalidArgument and InvalidTable as :func:`silosynth.common.evaluate.evaluate.evaluate`
    does, and for a table that does not have the sampler's columns.
    """
    tell(f"reading {real}")
    return evaluate_rows(
        what,
        rows=read_sample(real, seed=seed, **_written(what, schema)),
        origin=str(real),
        control=control,
        schema=schema,
        wish=wish,
        audit=audit,
        seed=seed,
        tell=tell,
        open_run=open_run,
    )


def evaluate_rows(
    what: Path,
    *,
    rows: Sampled,
    origin: str,
    control: Path | None = None,
    schema: Path | None = None,
    wish: Wish | None = None,
    audit: Audit | None = None,
    lacks: Collection[str] = (),
    seed: int = 1,
    tell: Tell = silent,
    open_run: OpenRun = lambda _: None,
) -> ReportFacts:
    """Do what :func:`evaluate_file` does with real rows that were read already, from ``origin``.

    Args: lacks: columns that these rows do not hold; the others are compared by their values.
    """
    beside = None
    if control is not None:
        beside = read_sample(control, seed=seed, **_written(what, schema)).table
    for table, name in ((rows.table, origin), (beside, control)):
        if table is not None and table.num_rows < FEWEST_ROWS:
            raise InvalidTable(
                f"{name}: has fewer than {FEWEST_ROWS} rows",
                hint="scores of so few rows are chance",
            )
    judged = _read(
        what, schema=schema, rows=rows.table.num_rows, seed=seed, tell=tell, open_run=open_run
    )
    judged = replace(judged, made=replace(judged.made, audit=audit))
    if judged.schema is not None and lacks:
        judged = _without(judged, lacks)
    if judged.schema is not None:
        for table, name in (
            (rows.table, origin),
            (beside, control),
            (judged.table.table, what),
        ):
            if table is not None:
                check_columns(
                    table.schema, schema=judged.schema, allow_extra=True, origin=str(name)
                )
    facts = _facts(judged, rows.table, beside, what=what, wish=wish, seed=seed, tell=tell)
    sizes = {"rows_real": rows.rows, "rows_synthetic": judged.table.rows}
    return facts.model_copy(
        update={
            "headline": facts.headline.model_copy(update=sizes),
            "evaluation": facts.evaluation
            and facts.evaluation.model_copy(
                update={**sizes, "worst_records": _stood(facts.evaluation, rows.places)}
            ),
        }
    )


def _written(what: Path, schema: Path | None) -> dict[str, Any]:
    """Return how text files of a table are written: as the schema says that it has."""
    sampler = what / SAMPLER_NAME if what.is_dir() else what
    if schema is not None:
        return _form(load_schema(schema))
    return _form(load_sampler(sampler).schema if sampler.is_file() and not is_table(what) else None)


def _form(schema: Schema | None) -> dict[str, Any]:
    """Return the dialect and the columns of a schema, as a reader takes them."""
    if schema is None:
        return {}
    return {"dialect": schema.csv, "names": [a.name for a in schema.attributes]}


def _read(
    what: Path, *, schema: Path | None, rows: int, seed: int, tell: Tell, open_run: OpenRun
) -> Judged:
    """Read what is judged, and draw its rows if it is a sampler."""
    opened = None
    if what.is_dir():
        run, what = what, what / SAMPLER_NAME
        if not what.is_file():
            raise InvalidArgument(
                f"{what.parent} holds no {SAMPLER_NAME}", hint="name a run that has ended"
            )
        tell("making the sampler again from what left the silos, at epsilon 0")
        opened = open_run(run)
    elif not what.exists():
        raise InvalidArgument(f"{what}: no such file", hint="name a run, a sampler or a table")
    if is_table(what):
        declared = None if schema is None else load_schema(schema)
        table = read_sample(what, seed=seed, **_form(declared))
        return Judged(table=table, schema=declared, certificate=None, made=Made(), digest=None)
    if schema is not None:
        raise InvalidArgument("a sampler brings its schema", hint="leave --schema out")
    sampler = load_sampler(what)
    certificate = Certificate.model_validate(sampler.certificate)
    check_certificate(certificate)
    data = what.read_bytes()
    reuse = reuse_measures(sampler, sampler_bytes=len(data), epsilon=certificate.epsilon, seed=seed)
    return Judged(
        table=Sampled(table=draw(sampler, rows=rows, seed=seed), rows=rows),
        schema=sampler.schema,
        certificate=certificate,
        made=Made(
            known=opened.known if opened else _known(sampler),
            reuse=(
                *(opened.reuse if opened else ()),
                *reuse,
                drawing_speed(sampler, seed=seed),
            ),
        ),
        digest=digest_of(data),
    )


def _stood(found: EvaluationFacts, places: np.ndarray) -> tuple[int, ...]:
    """Return where the most exposed records stood in the whole table."""
    if not len(places):
        return found.worst_records
    return tuple(int(places[i]) for i in found.worst_records)


def _without(judged: Judged, lacks: Collection[str]) -> Judged:
    """Return what is judged without some columns, and so without a schema and its bins."""
    guarantee = None if judged.certificate is None else guarantee_of(judged.certificate)
    table = judged.table.table
    kept = table.select([n for n in table.column_names if n not in lacks])
    return replace(
        judged,
        table=Sampled(table=kept, rows=judged.table.rows),
        schema=None,
        made=replace(judged.made, known=None, guarantee=guarantee),
    )


def _known(sampler: AnySampler) -> Known | None:
    """Return what whoever holds a sampler can attack with, where its law is written in cliques."""
    if not isinstance(sampler, Sampler):
        return None
    return Known(schema=coded_schema(sampler.schema, sampler.spreads), sampler=sampler)


def _facts(
    judged: Judged,
    real: pa.Table,
    control: pa.Table | None,
    *,
    what: Path,
    wish: Wish | None,
    seed: int,
    tell: Tell,
) -> ReportFacts:
    """Return the facts; a table without a schema has no bins to be compared in."""
    digests = {} if judged.digest is None else {"sampler": judged.digest}
    made = Provenance(
        digests=digests, seeds={"rows": seed}, versions={"silosynth": version("silosynth")}
    )
    if judged.schema is not None:
        return compare(
            real,
            judged.table.table,
            schema=judged.schema,
            certificate=judged.certificate,
            held_out=control,
            seed=seed,
            provenance=made,
            wish=wish or Wish(),
            made=judged.made,
            tell=tell,
        )
    found = evaluate(
        real,
        judged.table.table,
        control=control,
        wish=wish,
        made=judged.made,
        seed=seed,
        tell=tell,
    )
    return ReportFacts(
        mode=Mode.SIMULATION,
        headline=Headline(
            schema_name=what.name,
            attributes=len(found.columns),
            silos=0,
            rows_synthetic=judged.table.rows,
            rows_real=real.num_rows,
        ),
        evaluation=found,
        scores=(),
        attributes=(),
        pairs=PairsFacts(attributes=()),
        not_compared=found.not_compared,
        provenance=made,
    )
