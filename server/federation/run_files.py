"""A federation's runs on the coordinator's disk: one directory each, and what came of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.errors import InvalidArgument, RunFailed, SilosynthError
from silosynth.common.files import make_directory, replace_file, write_text
from silosynth.common.plan import Plan, dump_plan, load_plan
from silosynth.common.tables import AnySchema, dump_any_schema, load_any_schema

MAX_PRESENTED_RECEIPTS = 16
_LOOK_SECONDS = 1.0


class RunState(StrEnum):
    """What became of a run; one that is queued waits for a coordinator that takes it up."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Begun(BaseModel):
    """What a run was begun with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    federation: str
    plan_id: str
    plan_digest: str
    started: datetime
    generator: str | None = None


class Ended(BaseModel):
    """How a run ended, or where its last attempt stopped. All words are public."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: RunState
    code: str | None = None
    message: str | None = None
    hint: str | None = None
    exit_code: int = 0
    silos: tuple[str, ...] = ()
    left: Mapping[str, str] = Field(default_factory=dict)
    unacknowledged: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """Where one run keeps its plan, schema, journal, log and results."""

    path: Path

    @property
    def id(self) -> str:
        """Return the run's id."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """Return the path of the plan."""
        return self.path / "plan.yaml"

    @property
    def schema(self) -> Path:
        """Return the path of the schema."""
        return self.path / "schema.yaml"

    @property
    def begun(self) -> Path:
        """Return the path of what the run was begun with; written last."""
        return self.path / "run.json"

    @property
    def ended(self) -> Path:
        """Return the path of how it ended."""
        return self.path / "outcome.json"

    @property
    def log(self) -> Path:
        """Return the path of the coordinator's log lines (JSON)."""
        return self.path / "coordinator.log"

    @property
    def standing(self) -> Path:
        """Return the path of why the run waits for whom."""
        return self.path / "standing.json"

    @property
    def left(self) -> Path:
        """Return the path of what silos said is left of the budgets that they make public."""
        return self.path / "left.json"

    @property
    def cancel(self) -> Path:
        """Return the path of the file that asks a coordinator to stop for good."""
        return self.path / "cancel"

    @property
    def sampler(self) -> Path:
        """Return the path of the sampler."""
        return self.path / "result.sampler"

    @property
    def evaluation(self) -> Path:
        """Return the path of what people held out said of another run's sampler."""
        return self.path / "evaluation.json"

    @property
    def certificate(self) -> Path:
        """Return the path of the privacy certificate."""
        return self.path / "certificate.json"

    @property
    def bundle(self) -> Path:
        """Return the path of the signed result, as silos get it."""
        return self.path / "result.bundle"


def runs_directory(home: Path) -> Path:
    """Return where runs are kept."""
    return home / "runs"


def begin_run(
    home: Path,
    *,
    plan: Plan,
    schema: AnySchema,
    federation: str,
    now: datetime,
    token: str,
    generator: Path | None = None,
) -> RunFiles:
    """Make the directory of a new run; ``now`` and ``token`` make its id its own.

    Args: generator: what writes the candidates of a plan of votes.
    """
    run_id = f"{plan.id}-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{token}"
    run = RunFiles(path=runs_directory(home) / run_id)
    make_directory(run.path, mode=0o700)
    write_text(run.plan, dump_plan(plan), force=False)
    write_text(run.schema, dump_any_schema(schema), force=False)
    begun = Begun(
        run_id=run_id,
        federation=federation,
        plan_id=plan.id,
        plan_digest=plan.digest,
        started=now,
        generator=None if generator is None else str(generator.expanduser().resolve()),
    )
    write_text(run.begun, begun.model_dump_json(indent=1, exclude_none=True) + "\n", force=False)
    return run


def discard_run(run: RunFiles) -> None:
    """Remove a run that no silo ever heard of."""
    shutil.rmtree(run.path)


def find_run(home: Path, run_id: str) -> tuple[RunFiles, Begun]:
    """Return a run by its id; raise InvalidArgument when there is none."""
    run = RunFiles(path=runs_directory(home) / run_id)
    if run_id != run.path.name or not run.begun.is_file():
        raise InvalidArgument(f"no run {run_id!r} in {runs_directory(home)}", hint="see: runs")
    try:
        return run, Begun.model_validate_json(run.begun.read_bytes())
    except ValidationError:
        raise InvalidArgument(f"{run.begun} is damaged") from None


def list_runs(home: Path) -> tuple[tuple[RunFiles, Begun], ...]:
    """Return every run, oldest first."""
    directory = runs_directory(home)
    names = [p.parent.name for p in directory.glob("*/run.json")] if directory.is_dir() else []
    return tuple(sorted((find_run(home, n) for n in names), key=lambda found: found[1].started))


def read_plan(run: RunFiles) -> tuple[Plan, AnySchema]:
    """Return the plan and schema of a run."""
    return load_plan(run.plan), load_any_schema(run.schema)


def read_ended(run: RunFiles) -> Ended:
    """Return how a run ended; one that nobody pumps and that has not ended is interrupted."""
    ended = Ended(state=RunState.INTERRUPTED)
    if run.ended.is_file():
        try:
            ended = Ended.model_validate_json(run.ended.read_bytes())
        except ValidationError:
            raise InvalidArgument(f"{run.ended} is damaged") from None
    return Ended(state=RunState.RUNNING) if is_locked(run) else ended


def run_facts(run: RunFiles, begun: Begun, ended: Ended) -> dict[str, object]:
    """Return what a program wants to know of a run."""
    return {
        "run_id": run.id,
        "directory": str(run.path),
        "federation": begun.federation,
        "plan": begun.plan_id,
        "plan_digest": begun.plan_digest,
        "sampler": str(run.sampler) if run.sampler.exists() else None,
        "evaluation": str(run.evaluation) if run.evaluation.exists() else None,
        **ended.model_dump(mode="json"),
    }


def write_ended(run: RunFiles, ended: Ended) -> None:
    """Write how a run ended, whole or not at all."""
    write_text(run.ended, ended.model_dump_json(indent=1) + "\n", force=True)


def describe_failure(error: SilosynthError, *, cancelled: bool) -> Ended:
    """Return how a run ended that ``error`` ended."""
    return Ended(
        state=RunState.CANCELLED if cancelled else RunState.FAILED,
        code=error.code,
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
    )


@contextmanager
def lock_run(run: RunFiles) -> Iterator[None]:
    """Hold a run, so that two coordinators never pump it; the lock ends with the process.

    Raises RunFailed when another coordinator holds it for a second: who only looks whether it is
    held has it for an instant.
    """
    with (run.path / "lock").open("a") as file:
        until = time.monotonic() + _LOOK_SECONDS
        while not _locks(file, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise RunFailed(
                    f"run {run.id} is being run by another coordinator",
                    hint="follow it with 'silosynth status'",
                )
            time.sleep(0.01)
        yield


def is_locked(run: RunFiles) -> bool:
    """Tell whether a coordinator holds the run."""
    path = run.path / "lock"
    if not path.exists():
        return False
    with path.open("a") as file:
        return not _locks(file, fcntl.LOCK_SH)


def _locks(file: TextIO, kind: int) -> bool:
    """Try to take a lock; it ends when the file is closed."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep_receipt(home: Path, *, silo_key: str, receipt: bytes, name: str) -> None:
    """Keep a silo's signed receipt, so that an older copy of its ledger can be told later."""
    directory = _receipts(home, silo_key)
    make_directory(directory, mode=0o700)
    path = directory / f"{name}.receipt"
    if not path.exists():
        replace_file(path, receipt)


def kept_receipts(home: Path, *, silo_key: str) -> Sequence[bytes]:
    """Return the newest receipts that are kept of a silo."""
    paths = sorted(_receipts(home, silo_key).glob("*.receipt"), key=os.path.getmtime)
    return [p.read_bytes() for p in paths[-MAX_PRESENTED_RECEIPTS:]]


def _receipts(home: Path, silo_key: str) -> Path:
    """Return where a silo's receipts are kept; by key, since names may be shared."""
    return home / "receipts" / silo_key.replace(":", "-")
