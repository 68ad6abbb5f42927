"""Run a plan on simulated silos, from their tables to a sampler and its certificate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import pyarrow as pa

from silosynth.client.learning import Checkpoints
from silosynth.client.maps import NO_MAP, SiloMap
from silosynth.common.certificate import Certificate
from silosynth.common.codec import TableLike
from silosynth.common.errors import (
    InvalidArgument,
    OutputExists,
    RunFailed,
)
from silosynth.common.generator import Pretrained, require_digest, short
from silosynth.common.messages import Receipt
from silosynth.common.plan import Plan, check_budget, check_plan, dump_plan, load_plan
from silosynth.common.sampler import (
    AnySampler,
    AutoregressiveSampler,
    NeuralSampler,
    load_sampler,
    save_sampler,
)
from silosynth.common.schema import Schema, dump_schema, load_schema
from silosynth.server.coordinator import Stage, State, finish, replay
from silosynth.server.driver import Journal, Progress, count_cost
from silosynth.server.methods import Outcome, require_generators
from silosynth.simulations.local import run_local
from silosynth.simulations.partition import match_roster
from silosynth.simulations.silos import SiloDirectory, alone, make_silos
from silosynth.simulations.tables import check_lacks, check_maps, check_people, take_table, tell_fit


class Engine(StrEnum):
    """What carries the messages: Flower on Ray, or plain calls in one process."""

    FLOWER = "flower"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """Where a run keeps its plan, schema, journal, silos and results."""

    path: Path

    @property
    def plan(self) -> Path:
        """Return the path of the plan."""
        return self.path / "plan.yaml"

    @property
    def schema(self) -> Path:
        """Return the path of the schema."""
        return self.path / "schema.yaml"

    @property
    def silos(self) -> Path:
        """Return the directory that holds one directory a silo."""
        return self.path / "silos"

    @property
    def sampler(self) -> Path:
        """Return the path of the sampler."""
        return self.path / "result.sampler"

    @property
    def certificate(self) -> Path:
        """Return the path of the privacy certificate."""
        return self.path / "certificate.json"

    @property
    def report(self) -> Path:
        """Return the path of the HTML report."""
        return self.path / "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run hands out. ``receipts`` are what each silo said of its releases.

    ``reopened`` says that the sampler was fitted again, from what a directory keeps.
    """

    outcome: Outcome
    receipts: Mapping[str, tuple[Receipt, ...]]
    state: State
    reopened: bool = False

    @property
    def sampler(self) -> AnySampler:
        """Return the sampler."""
        return self.outcome.sampler

    @property
    def certificate(self) -> Certificate:
        """Return the privacy certificate."""
        return self.outcome.certificate


def simulate(
    plan: Plan,
    *,
    schema: Schema,
    silos: Mapping[str, TableLike],
    directory: Path | None = None,
    checkpoint: Path | None = None,
    engine: Engine | str = Engine.FLOWER,
    person_column: str | None = None,
    rows_per_person: int | None = None,
    accept_misfits: bool = False,
    maps: Mapping[str, SiloMap] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run ``plan`` on one table a silo and return what it hands out.

    Each silo gets a gateway and a ledger of its own. With a ``directory``, everything is kept
    there, and calling again with the same plan goes on where the last call stopped: what silos
    have released is not charged again. ``checkpoint`` is the folder of the pretrained checkpoint
    that a plan names, which the silos train with and the sampler writes with. With a
    ``person_column``, which need not be in the schema, at most as many rows of a person count as
    the plan says, or ``rows_per_person`` where that is less. ``maps`` say by silo how its table is
    brought to the schema. ``tell`` gets what each silo's operator would be told of their table; a
    column of which hardly any value fits the schema stops the run unless ``accept_misfits``.

    Raises InvalidPlan or InvalidTable before anything is spent; OutputExists when the directory
    holds a run of another plan; what ends a run afterwards.
    """
    check_plan(plan, schema)
    check_budget(plan)
    require_generators(plan)
    _require_checkpoint(plan, schema, checkpoint)
    if rows_per_person is not None and (person_column is None or rows_per_person < 1):
        raise InvalidArgument(
            "rows a person need a person column, and are at least 1",
            hint="name the person column too, or leave the rows out",
        )
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
    if directory is None or not RunDirectory(path=directory).plan.exists():
        tell_fit(tables, schema=schema, maps=known, accept_misfits=accept_misfits, tell=tell)
    with _open_directory(directory) as run, alone(run.path):
        _claim(run, plan=plan, schema=schema)
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
                    plan, schema, silos=places, journal=journal, progress=progress, tell=tell
                )
            outcome = finish(state)
            _write_outcome(run, outcome)
    outcome = _with_checkpoint(outcome, checkpoint)
    return RunResult(outcome=outcome, receipts=state.receipts(), state=state)


def reopen(directory: Path, *, checkpoint: Path | None = None) -> RunResult:
    """Return the result of a run that has ended, from its journal: nothing is asked again.

    Args: checkpoint: where the one that its plan names lies now; by default where it lay.

    Raises RunFailed when the run has not ended.
    """
    run = RunDirectory(path=directory)
    if not run.plan.is_file():
        raise InvalidArgument(f"{directory} is not the directory of a run", hint="see simulate")
    plan, schema = load_plan(run.plan), load_schema(run.schema)
    with Journal(run.path, plan_digest=plan.digest) as journal:
        state, _ = replay(plan, schema, journal.events())
    if state.stage not in (Stage.FIT, Stage.DELIVER, Stage.ENDED):
        raise RunFailed(f"the run in {directory} has not ended", hint="resume it with simulate")
    known = load_sampler(run.sampler) if run.sampler.is_file() else None
    outcome = finish(state, generator=known if isinstance(known, NeuralSampler) else None)
    first = SiloDirectory(path=run.silos / plan.silos[0])
    outcome = _with_checkpoint(outcome, checkpoint or first.checkpoint_folder())
    tabular = not isinstance(outcome.sampler, NeuralSampler | AutoregressiveSampler)
    return RunResult(outcome=outcome, receipts=state.receipts(), state=state, reopened=tabular)


def _require_checkpoint(plan: Plan, schema: Schema, folder: Path | None) -> None:
    """Raise before anything is spent unless the checkpoint of a plan is here and fits it."""
    architecture = plan.training.architecture if plan.training else None
    if not isinstance(architecture, Pretrained):
        if folder is not None:
            raise InvalidArgument(f"plan {plan.id} needs no checkpoint", hint="leave it out")
        return
    if folder is None:
        raise InvalidArgument(
            f"plan {plan.id} starts from the checkpoint {short(architecture.checkpoint)}",
            hint="say in which folder it lies with --checkpoint",
        )
    require_digest(folder, architecture.checkpoint)
    Checkpoints({architecture.checkpoint: folder}).require(plan, schema)


def _with_checkpoint(outcome: Outcome, folder: Path | None) -> Outcome:
    """Return the outcome with a sampler that writes its texts, where that needs a checkpoint."""
    sampler = outcome.sampler
    if folder is None or not isinstance(sampler, AutoregressiveSampler):
        return outcome
    return replace(outcome, sampler=sampler.with_checkpoint(folder))


def _runner(engine: Engine, *, tables: Mapping[str, pa.Table]) -> Callable[..., State]:
    """Return what pumps a run's messages."""
    if engine is not Engine.FLOWER:
        return partial(run_local, tables=tables)
    # Flower's engine takes a second to import, which every command of a silo would wait for.
    from silosynth.simulations.cluster import run_cluster

    return run_cluster


@contextmanager
def _open_directory(directory: Path | None) -> Iterator[RunDirectory]:
    """Yield the run's directory: the given one, or one that is removed afterwards."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield RunDirectory(path=directory)
        return
    with tempfile.TemporaryDirectory(prefix="silosynth-") as name:
        yield RunDirectory(path=Path(name))


def _claim(run: RunDirectory, *, plan: Plan, schema: Schema) -> None:
    """Write plan and schema into a new directory; refuse one that belongs to another plan."""
    if run.plan.exists():
        if load_plan(run.plan).digest != plan.digest:
            raise OutputExists(
                f"{run.path} holds a run of another plan",
                hint="choose another directory, or add --force to replace it",
            )
        return
    run.schema.write_text(dump_schema(schema), encoding="utf-8")
    run.plan.write_text(dump_plan(plan), encoding="utf-8")


def _write_outcome(run: RunDirectory, outcome: Outcome) -> None:
    """Write sampler and certificate; the same run gives the same bytes."""
    save_sampler(outcome.sampler, run.sampler, force=True)
    text = json.dumps(outcome.certificate.model_dump(mode="json"), indent=1, sort_keys=True)
    run.certificate.write_text(text + "\n", encoding="utf-8")
