"""What the demonstration leaves behind: tables, sampler, certificate and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.report import ReportFacts, write_report
from silosynth.common.sampler import write_rows
from silosynth.simulations.run import RunDirectory, RunResult
from silosynth.simulations.run_report import report_facts

_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResults:
    """Where each result lies, and the facts of the report."""

    paths: Mapping[str, Path]
    facts: ReportFacts


def write_demo(result: RunResult, *, directory: Path) -> DemoResults:
    """Draw as many rows as there are real ones, compare them, and write everything."""
    facts = report_facts(result, directory=directory, seed=_SEED)
    page, _ = write_report(facts, directory, force=True)
    tables = [directory / f"synthetic{suffix}" for suffix in (".parquet", ".csv")]
    rows = facts.headline.rows_synthetic or 0
    for path in tables:
        write_rows(result.sampler, rows=rows, seed=_SEED, path=path, force=True)
    run = RunDirectory(path=directory)
    return DemoResults(
        paths={
            "synthetic table (Parquet)": tables[0],
            "synthetic table (CSV)": tables[1],
            "sampler": run.sampler,
            "privacy certificate": run.certificate,
            "report": page,
        },
        facts=facts,
    )
