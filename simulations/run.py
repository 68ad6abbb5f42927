"""Run a plan on simulated silos, from their tables to a sampler and its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path

import pyarrow as pa

from silosynth.client.maps import NO_MAP, SiloMap
from silosynth.common.codec import TableLike
from silosynth.common.errors import (
    InvalidArgument,
    RunFailed,
)
from silosynth.common.plan import Plan, check_budget, check_plan, load_plan
from silosynth.common.sampler import NeuralSampler, Sampler, load_sampler
from silosynth.common.schema import Schema, load_schema
from silosynth.server.coordinator import Stage, State, finish
from silosynth.server.driver import (
    Journal,
    Progress,
    check_last,
    count_cost,
    generator_of,
    keep_last,
    read_state,
)
from silosynth.server.judging import refuse_evaluation
from silosynth.server.methods import require_generators
from silosynth.simulations.local import run_local
from silosynth.simulations.run_files import (
    RunDirectory,
    RunResult,
    claim,
    open_directory,
    with_checkpoint,
    write_outcome,
)
from silosynth.simulations.silos import SiloDirectory, alone, make_silos, require_checkpoint
from silosynth.simulations.tables import (
    check_lacks,
    check_maps,
    check_people,
    match_roster,
    take_table,
    tell_fit,
)


class Engine(StrEnum):
    """What carries the messages: Flower on Ray, or plain calls in one process."""

    FLOWER = "flower"
    LOCAL = "local"


def simulate(
    plan: Plan,
    *,
    schema: Schema,
    silos: Mapping[str, TableLike],
    directory: Path | None = None,
    checkpoint: Path | None = None,
    generator: Path | None = None,
    engine: Engine | str = Engine.FLOWER,
    person_column: str | None = None,
    rows_per_person: int | None = None,
    accept_misfits: bool = False,
    maps: Mapping[str, SiloMap] | None = None,
    last: bytes | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run ``plan`` on one table a silo and return what it hands out.

    Each silo gets a gateway and a ledger of its own. With a ``directory``, everything is kept
    there, and calling again with the same plan goes on where the last call stopped: what silos
    have released is not charged again. ``checkpoint`` is the folder of the pretrained checkpoint
    that a plan names, which the silos train with and the sampler writes with; ``generator`` the
    program that writes what silos vote for. With a
    ``person_column``, which need not be in the schema, at most as many rows of a person count as
    the plan says, or ``rows_per_person`` where that is less. ``maps`` say by silo how its table is
    brought to the schema. ``last`` is the sampler that a plan renews. ``tell`` gets what each
    silo's operator would be told of their table; a column of which hardly any value fits the
    schema stops the run unless ``accept_misfits``.

    Raises InvalidPlan or InvalidTable before anything is spent; OutputExists when the directory
    holds a run of another plan; what ends a run afterwards.
    """
    check_plan(plan, schema)
    check_budget(plan)
    require_generators(plan)
    require_checkpoint(plan, schema, checkpoint)
    begun = directory is not None and RunDirectory(path=directory).plan.exists()
    imagine = generator_of(generator, plan, begun=begun)
    if rows_per_person is not None and (person_column is None or rows_per_person < 1):
        raise InvalidArgument(
            "rows a person need a person column, and are at least 1",
            hint="name the person column too, or leave the rows out",
        )
    check_last(plan, last)
    known = {name: (maps or {}).get(name, NO_MAP) for name in silos}
    check_maps(maps or {}, schema=schema, silos=silos)
    tables = {
        name: take_table(
            name, table, schema=schema, person_column=person_column, silo_map=known[name]
        )
        for name, table in silos.items()
    }
    match_roster(tables, roster=plan.silos)
    check_lacks(plan, known, schema=schema, tell=tell)
    check_people(plan, tables, person_column=person_column)
    if not begun:
        tell_fit(tables, schema=schema, maps=known, accept_misfits=accept_misfits, tell=tell)
    with open_directory(directory) as run, alone(run.path):
        claim(run, plan=plan, schema=schema)
        if last is not None:
            keep_last(run.path, last)
        places = make_silos(
            run.silos,
            plan=plan,
            schema_path=run.schema,
            tables=tables,
            checkpoint=checkpoint,
            person_column=person_column,
            rows_per_person=rows_per_person,
            maps=known,
        )
        drive = _runner(Engine(engine), tables=tables)
        with count_cost(run.path):
            with Journal(run.path, plan_digest=plan.digest, durable=False) as journal:
                state = drive(
                    plan,
                    schema,
                    silos=places,
                    journal=journal,
                    imagine=imagine,
                    progress=progress,
                    tell=tell,
                )
            outcome = finish(state)
            write_outcome(run, outcome)
    outcome = with_checkpoint(outcome, checkpoint)
    return RunResult(outcome=outcome, receipts=state.receipts(), state=state)


def reopen(directory: Path, *, checkpoint: Path | None = None) -> RunResult:
    """Return the result of a run that has ended, from its journal: nothing is asked again.

    Args: checkpoint: where the one that its plan names lies now; by default where it lay.

    Raises what :func:`replay_ended` raises.
    """
    state, run = replay_ended(directory), RunDirectory(path=directory)
    known = load_sampler(run.sampler) if run.sampler.is_file() else None
    outcome = finish(state, generator=known if isinstance(known, NeuralSampler) else None)
    first = SiloDirectory(path=run.silos / state.plan.silos[0])
    outcome = with_checkpoint(outcome, checkpoint or first.checkpoint_folder())
    tabular = isinstance(outcome.sampler, Sampler)
    return RunResult(outcome=outcome, receipts=state.receipts(), state=state, reopened=tabular)


def replay_ended(directory: Path) -> State:
    """Return the state of a run that has ended: its journal played again, nothing fitted.

    Raises InvalidArgument where there is no run that made a sampler, RunFailed when it has not
    ended.
    """
    run = RunDirectory(path=directory)
    if not run.plan.is_file():
        raise InvalidArgument(f"{directory} is not the directory of a run", hint="see simulate")
    refuse_evaluation(directory)
    plan, schema = load_plan(run.plan), load_schema(run.schema)
    state = read_state(run.path, plan=plan, schema=schema)
    if state.stage not in (Stage.FIT, Stage.DELIVER, Stage.ENDED):
        raise RunFailed(f"the run in {directory} has not ended", hint="resume it with simulate")
    return state


def _runner(engine: Engine, *, tables: Mapping[str, pa.Table]) -> Callable[..., State]:
    """Return what pumps a run's messages."""
    if engine is not Engine.FLOWER:
        return partial(run_local, tables=tables)
    # Flower's engine takes a second to import, which every command of a silo would wait for.
    from silosynth.simulations.cluster import run_cluster

    return run_cluster
