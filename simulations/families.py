"""Run a plan over several tables on simulated silos, from folders of tables to a sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from silosynth.client.families import find_tables, passed_over
from silosynth.client.noise import BitSource
from silosynth.common.cli import emit, say
from silosynth.common.errors import InvalidArgument, OutputExists, RunFailed
from silosynth.common.forest import ForestSampler, load_forest, save_forest
from silosynth.common.plan import Plan, check_budget, check_tables_plan, dump_plan, load_plan
from silosynth.common.tables import TablesSchema, dump_tables, load_tables
from silosynth.server.coordinator import finish_tables
from silosynth.server.driver import Journal, Progress
from silosynth.server.driver.drive import drive
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.several import (
    FamilyGateways,
    SiloTables,
    report_tables,
    silo_folders,
    split_folder,
    write_certificate,
)
from silosynth.simulations.show import progress_bars, remove_run, show_paths
from silosynth.simulations.silos import SiloDirectory, alone
from silosynth.simulations.tables import match_roster

WHERE = "tables.json"
"""In a run's directory: where the tables of its silos lie."""


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
    gateways = FamilyGateways(plan=plan, schema=schema, tables=files, tell=tell, bits=bits)
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
        save_forest(sampler, run.sampler, force=True)
        write_certificate(sampler, run.certificate)
    return sampler


def silos_of_run(
    plan: Plan,
    schema: TablesSchema,
    *,
    silos: Path,
    by: str | None,
    out: Path,
    tell: Callable[[str], None],
) -> dict[str, Path]:
    """Return the folder of each silo's tables, and keep in the run's directory where they lie.

    Args: by: the column of the persons' table that says whose each person is, where ``silos`` is
        one folder of tables; None where it holds a folder a silo.

    Raises as :func:`simulate_tables` does before anything is spent.
    """
    check_tables_plan(plan, schema)
    check_budget(plan)
    if by is None:
        found = silo_folders(silos)
        match_roster(found, roster=plan.silos)
    out.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(path=out)
    with alone(run.path):
        _claim(run, plan=plan, schema=schema)
        if by is not None:
            found = split_folder(silos, schema=schema, by=by, into=run.silos, tell=tell)
            tell(f"silos by {by!r}: {', '.join(found)}")
        SiloTables(path=run.path / WHERE).write(found)
    return found


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


def simulate_folders(
    plan: Path,
    *,
    schema: Path,
    silos: Path,
    by: str | None,
    out: Path,
    force: bool,
    accept_misfits: bool,
    as_json: bool,
) -> None:
    """Run ``simulate`` of several tables: sampler, certificate and report in the run's directory.

    Args: silos: holds a folder of tables a silo, or is one that is split by the column ``by``.
    """
    loaded, described = load_plan(plan), load_tables(schema)
    if force:
        remove_run(out)
    if accept_misfits:
        say("--anyway changes nothing of several tables: no fit of a column stops their run")
    folders = silos_of_run(loaded, described, silos=silos, by=by, out=out, tell=say)
    for silo, folder in ({"": silos} if by else folders).items():
        for line in passed_over(find_tables(folder, schema=described), schema=described):
            say(f"{silo}: {line}" if silo else line)
    with progress_bars() as progress:
        sampler = simulate_tables(
            loaded,
            schema=described,
            silos=folders,
            directory=out,
            progress=progress,
            tell=say,
        )
    run, spent = RunDirectory(path=out), sampler.certificate
    say(
        f"done: {len(folders)} silos, epsilon {spent['epsilon']:.4g} at delta {spent['delta']:g} "
        "for each silo"
    )
    for link in sampler.left_out:
        say(f"{link}: left out of the model")
    page, _ = report_tables(sampler, plan=loaded, folders=folders, seed=1, out=out, force=True)
    written = {"sampler": run.sampler, "privacy certificate": run.certificate, "report": page}
    show_paths(written)
    known = {"sampler": str(run.sampler), "certificate": str(run.certificate)}
    told = {n: spent[n] for n in ("epsilon", "delta")}
    emit({**known, "report": str(page), **told, "silos": list(folders)}, as_json=as_json)


def report_run(
    directory: Path, *, out: Path | None, seed: int, released_only: bool, force: bool, as_json: bool
) -> None:
    """Write the report of a simulated run over several tables that has ended.

    In the run's own directory, where the run has put one, it is written anew.

    Raises InvalidArgument where real rows are not to be read: there is no such report yet.
    """
    if released_only:
        raise InvalidArgument(
            "a report of several tables compares with real rows",
            hint="leave --released-only out, and keep the page where they are",
        )
    run = RunDirectory(path=directory)
    if not run.sampler.is_file():
        raise RunFailed(f"the run in {directory} has not ended", hint="resume it with simulate")
    folders = SiloTables(path=run.path / WHERE).read()
    sampler = load_forest(run.sampler)
    page, data = report_tables(
        sampler,
        plan=load_plan(run.plan),
        folders=folders,
        seed=seed,
        out=out or directory,
        force=force or out is None,
    )
    say(f"wrote {page} and {data}; they are private, like the real rows")
    emit({"html": str(page), "json": str(data)}, as_json=as_json)
