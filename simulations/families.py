"""Run a plan over several tables on simulated silos, from folders of tables to a sampler."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from silosynth.client.families import find_tables
from silosynth.client.noise import BitSource
from silosynth.common.certificate import certify_plan
from silosynth.common.errors import OutputExists
from silosynth.common.forest import ForestSampler, save_forest
from silosynth.common.plan import Plan, check_budget, check_tables_plan, dump_plan, load_plan
from silosynth.common.tables import TablesSchema, dump_tables
from silosynth.server.coordinator import finish_tables
from silosynth.server.driver import Journal, Progress
from silosynth.server.driver.drive import drive
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.several import FamilyGateways
from silosynth.simulations.silos import SiloDirectory, alone
from silosynth.simulations.tables import match_roster


def simulate_tables(
    plan: Plan,
    *,
    schema: TablesSchema,
    silos: Mapping[str, Path],
    directory: Path,
    bits: Mapping[str, BitSource] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> ForestSampler:
    """Run ``plan`` on one folder of tables a silo, and return the sampler that came of it.

    Each silo gets a gateway and a ledger of its own. Calling again with the same directory goes on
    where the last call stopped: what was released is not charged again.

    Args:
        silos: by silo, the folder with a file of each table.
        tell: gets what each silo's operator would be told of their tables.

    Raises InvalidPlan or InvalidTable before anything is spent, OutputExists for a directory that
    holds a run of another plan.
    """
    check_tables_plan(plan, schema)
    check_budget(plan)
    match_roster(silos, roster=plan.silos)
    files = {silo: find_tables(folder, schema=schema) for silo, folder in silos.items()}
    directory.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(path=directory)
    gateways = FamilyGateways(plan=plan, schema=schema, files=files, tell=tell, bits=bits)
    with alone(run.path), ExitStack() as stack:
        _claim(run, plan=plan, schema=schema)
        gateways.open({s: SiloDirectory(path=run.silos / s) for s in plan.silos}, stack)
        with Journal(run.path, plan_digest=plan.digest, durable=False) as journal:
            state = drive(
                plan,
                schema,
                journal=journal,
                send=gateways.send,
                agree=gateways.agree,
                progress=progress,
                tell=tell,
            )
        sampler = finish_tables(state)
        _write(run, plan, sampler)
    return sampler


def _claim(run: RunDirectory, *, plan: Plan, schema: TablesSchema) -> None:
    """Write plan and schema into a new directory; refuse one that belongs to another plan."""
    if not run.plan.exists():
        run.schema.write_text(dump_tables(schema), encoding="utf-8")
        run.plan.write_text(dump_plan(plan), encoding="utf-8")
    elif load_plan(run.plan).digest != plan.digest:
        raise OutputExists(
            f"{run.path} holds a run of another plan",
            hint="choose another directory, or add --force to replace it",
        )


def _write(run: RunDirectory, plan: Plan, sampler: ForestSampler) -> None:
    """Write sampler and certificate; the same run gives the same bytes."""
    save_forest(sampler, run.sampler, force=True)
    certificate = certify_plan(plan).model_dump(mode="json")
    text = json.dumps(certificate, indent=1, sort_keys=True)
    run.certificate.write_text(text + "\n", encoding="utf-8")
