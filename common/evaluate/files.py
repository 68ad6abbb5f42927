"""Evaluate what lies in files: a run's sampler, a sampler, or any table, against real rows."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from silosynth.common.certificate import Certificate, check_certificate
from silosynth.common.codec import check_columns
from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument
from silosynth.common.evaluate.compare import compare
from silosynth.common.evaluate.evaluate import Tell, Wish, evaluate, silent
from silosynth.common.evaluate.reuse import drawing_speed, reuse_measures
from silosynth.common.report import Headline, Measure, Mode, PairsFacts, Provenance, ReportFacts
from silosynth.common.sampler import load_sampler
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
    reuse: tuple[Measure, ...]
    digest: str | None


def evaluate_file(
    what: Path,
    *,
    real: Path,
    control: Path | None = None,
    schema: Path | None = None,
    wish: Wish | None = None,
    seed: int = 1,
    tell: Tell = silent,
) -> ReportFacts:
    """Return the facts of an evaluation of a run's directory, a sampler file, or a table.

    Tables larger than memory are read in one pass; 100,000 of their rows are compared. Of a
    sampler as many rows are drawn as are compared.

    Raises InvalidArgument and InvalidTable as :func:`silosynth.common.evaluate.evaluate.evaluate`
    does, and for a table that does not have the sampler's columns.
    """
    tell(f"reading {real}")
    rows = read_sample(real, seed=seed)
    beside = None if control is None else read_sample(control, seed=seed).table
    judged = _read(what, schema=schema, rows=rows.table.num_rows, seed=seed)
    if judged.schema is not None:
        for table, origin in ((rows.table, real), (beside, control), (judged.table.table, what)):
            if table is not None:
                check_columns(
                    table.schema, schema=judged.schema, allow_extra=True, origin=str(origin)
                )
    facts = _facts(judged, rows.table, beside, what=what, wish=wish, seed=seed, tell=tell)
    sizes = {"rows_real": rows.rows, "rows_synthetic": judged.table.rows}
    return facts.model_copy(
        update={
            "headline": facts.headline.model_copy(update=sizes),
            "evaluation": facts.evaluation and facts.evaluation.model_copy(update=sizes),
        }
    )


def _read(what: Path, *, schema: Path | None, rows: int, seed: int) -> Judged:
    """Read what is judged, and draw its rows if it is a sampler."""
    if what.is_dir():
        what = what / SAMPLER_NAME
        if not what.is_file():
            raise InvalidArgument(
                f"{what.parent} holds no {SAMPLER_NAME}", hint="name a run that has ended"
            )
    elif not what.exists():
        raise InvalidArgument(f"{what}: no such file", hint="name a run, a sampler or a table")
    if is_table(what):
        declared = None if schema is None else load_schema(schema)
        table = read_sample(what, seed=seed)
        return Judged(table=table, schema=declared, certificate=None, reuse=(), digest=None)
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
        reuse=(*reuse, drawing_speed(sampler, seed=seed)),
        digest=digest_of(data),
    )


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
            reuse=judged.reuse,
            tell=tell,
        )
    found = evaluate(real, judged.table.table, control=control, wish=wish, seed=seed, tell=tell)
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
