"""The report of a simulated run over several tables, beside the rows that its silos hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from silosynth.common.certificate import Certificate
from silosynth.common.forest import ForestSampler, draw_forest
from silosynth.common.likeness import (
    FamiliesFacts,
    judge_families,
    judge_folder,
    write_families_report,
)
from silosynth.common.plan import Plan
from silosynth.common.report import certificate_facts, plan_facts


def report_tables(
    sampler: ForestSampler,
    *,
    plan: Plan,
    folders: Mapping[str, Path],
    seed: int,
    out: Path,
    force: bool,
) -> tuple[Path, Path]:
    """Write the report of a run into ``out`` and return the paths of its page and its data."""
    facts = _facts(sampler, plan=plan, folders=folders, seed=seed)
    return write_families_report(facts, out, force=force)


def _facts(
    sampler: ForestSampler, *, plan: Plan, folders: Mapping[str, Path], seed: int
) -> FamiliesFacts:
    """Return the facts of a run's report: as many persons are drawn as are compared."""
    real = judge_folder(sampler.schema, list(folders.values()), seed=seed)
    with TemporaryDirectory(prefix="silosynth-") as name:
        folder = Path(name)
        draw_forest(sampler, persons=real.families.persons, seed=seed, folder=folder, ending=None)
        drawn = judge_folder(sampler.schema, [folder], seed=seed)
        facts = judge_families(sampler.schema, real, drawn, seed=seed, left_out=sampler.left_out)
    certificate = Certificate.model_validate(sampler.certificate)
    return facts.model_copy(
        update={"certificate": certificate_facts(certificate), "plan": plan_facts(plan)}
    )


def write_certificate(sampler: ForestSampler, path: Path) -> None:
    """Write a sampler's certificate; the same run gives the same bytes."""
    text = json.dumps(dict(sampler.certificate), indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
