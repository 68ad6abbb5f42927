"""What waits for a coordinator's service: a note in a run's folder, which goes when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.errors import (
    ConnectionFailed,
    InvalidArgument,
    RunFailed,
    StorageFailed,
)
from silosynth.common.files import replace_file
from silosynth.server.federation import (
    Ended,
    RunFiles,
    RunState,
    check_whole,
    read_ended,
    runs_directory,
    write_ended,
)

MOST_PRIORITY = 100
_NOTE = "submitted.json"
_PASSING = (ConnectionFailed.code, StorageFailed.code)


class Submitted(BaseModel):
    """That a run is the service's, since when, and how soon among others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    at: datetime
    priority: int = Field(default=0, ge=-MOST_PRIORITY, le=MOST_PRIORITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """A run of the service that is not over."""

    run: RunFiles
    submitted: Submitted
    ended: Ended


def check_priority(priority: int) -> None:
    """Raise InvalidArgument for a priority that is out of bounds."""
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise InvalidArgument(
            f"a priority of {priority} is out of bounds",
            hint=f"it lies from -{MOST_PRIORITY} to {MOST_PRIORITY}; 0 is usual",
        )


def submit(run: RunFiles, *, priority: int, now: datetime) -> None:
    """Leave a run to the service: one that was just begun, or that stopped.

    Raises RunFailed for a run that is over for good, or that is being run.
    """
    check_priority(priority)
    check_whole(run)
    state = read_ended(run).state
    if state in (RunState.COMPLETED, RunState.CANCELLED):
        raise RunFailed(f"run {run.id} is {state.value}", hint="make a new plan")
    if state is RunState.RUNNING:
        raise RunFailed(f"run {run.id} is being run", hint="follow it with 'silosynth status'")
    write_ended(run, Ended(state=RunState.QUEUED))
    note = Submitted(at=now, priority=priority)
    replace_file(run.path / _NOTE, note.model_dump_json(indent=1).encode() + b"\n")


def waiting(home: Path) -> list[Waits]:
    """Return the service's runs that are not over, the most urgent first, then the oldest.

    Raises InvalidArgument for a note that is damaged, or of another version.
    """
    found = []
    for path in sorted(runs_directory(home).glob(f"*/{_NOTE}")):
        run = RunFiles(path=path.parent)
        try:
            submitted = Submitted.model_validate_json(path.read_bytes())
        except ValidationError:
            raise InvalidArgument(f"{path} is damaged, or of another version") from None
        found.append(Waits(run=run, submitted=submitted, ended=read_ended(run)))
    return sorted(found, key=lambda w: (-w.submitted.priority, w.submitted.at, w.run.id))


def is_over(ended: Ended) -> bool:
    """Tell whether a run ended in a way that trying again cannot mend."""
    if ended.state is RunState.FAILED:
        return ended.code not in _PASSING
    return ended.state in (RunState.COMPLETED, RunState.CANCELLED)


def forget(run: RunFiles) -> None:
    """Take a run that is over out of the service's hands."""
    (run.path / _NOTE).unlink(missing_ok=True)
