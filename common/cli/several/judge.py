"""``silosynth evaluate`` of several tables: families beside real ones, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from silosynth.common.certificate import Certificate, check_certificate
from silosynth.common.cli.console import emit, say
from silosynth.common.errors import InvalidArgument
from silosynth.common.evaluate import Gate, hold_gate
from silosynth.common.forest import ForestSampler, draw_forest, is_forest, load_forest
from silosynth.common.likeness import (
    FamiliesFacts,
    judge_families,
    judge_folder,
    write_families_report,
)
from silosynth.common.report import certificate_facts
from silosynth.common.tables import load_tables

_FAILED = 1
_SAMPLER = "result.sampler"


def evaluate_tables(
    what: Path,
    *,
    real: Path,
    control: Path | None,
    schema: Path | None,
    across: Sequence[str],
    seed: int,
) -> FamiliesFacts:
    """Return what a comparison of a run, a sampler or a folder of tables with a folder finds.

    Of a sampler as many persons are drawn as are compared.

    Raises InvalidArgument for a folder of tables without a schema.
    """
    found = what / _SAMPLER if is_forest(what / _SAMPLER) else what
    sampler = load_forest(found) if is_forest(found) else None
    if sampler is None and schema is None:
        raise InvalidArgument(
            f"{what}: nothing says how these tables hang together",
            hint="name their schema with --schema",
        )
    known = sampler.schema if sampler is not None else load_tables(schema or what)
    say(f"reading {real}")
    held = judge_folder(known, [real], seed=seed, across=across)
    beside = None if control is None else judge_folder(known, [control], seed=seed)
    with ExitStack() as stack:
        folder = what
        if sampler is not None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="silosynth-")))
            draw_forest(
                sampler, persons=held.families.persons, seed=seed, folder=folder, ending=None
            )
        drawn = judge_folder(known, [folder], seed=seed, across=across)
        facts = judge_families(
            known,
            held,
            drawn,
            control=beside,
            seed=seed,
            left_out=() if sampler is None else sampler.left_out,
        )
    return facts if sampler is None else _certified(facts, sampler)


def _certified(facts: FamiliesFacts, sampler: ForestSampler) -> FamiliesFacts:
    """Return the facts with what a sampler's certificate states, once it was checked."""
    certificate = Certificate.model_validate(sampler.certificate)
    check_certificate(certificate)
    return facts.model_copy(update={"certificate": certificate_facts(certificate)})


def hand_out_tables(
    facts: FamiliesFacts, *, bars: Gate | None, out: Path, force: bool, as_json: bool
) -> None:
    """Hold a gate against what was found, write the report, and say both; exit 1 for a miss."""
    missed = () if bars is None else hold_gate(bars, facts.measures)
    page, data = write_families_report(facts, out, force=force)
    for measure in facts.measures:
        of = "" if measure.target is None else f"{measure.target}: "
        beside = [
            f"{name} {value:.4f}"
            for name, value in (("ceiling", measure.ceiling), ("floor", measure.floor))
            if value is not None
        ]
        shown = f"{measure.value:.4f} ({', '.join(beside)})" if beside else f"{measure.value:g}"
        say(f"{of}{measure.name}: {shown}")
    for line in missed:
        say(f"gate missed: {line}")
    say(f"wrote {page}; it is private, like the real rows")
    emit({"html": str(page), "json": str(data), "missed": list(missed)}, as_json=as_json)
    if missed:
        raise typer.Exit(_FAILED)
