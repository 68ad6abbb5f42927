"""What a run cost the machine that coordinates it: kept beside its journal, and added to."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.errors import InvalidArgument
from silosynth.common.files import replace_file

COST_NAME = "cost.json"
_KB_IN_MB = 1024


class RunCost(BaseModel):
    """Seconds and memory of the coordinating process, over all attempts together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    wall_seconds: float = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    peak_mb: float = Field(ge=0)


@contextmanager
def count_cost(directory: Path) -> Iterator[None]:
    """Add what is done meanwhile to what the directory's run has cost, however it ends."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    try:
        yield
    finally:
        before = _before(directory)
        found = RunCost(
            wall_seconds=before.wall_seconds + time.perf_counter() - wall,
            cpu_seconds=before.cpu_seconds + _cpu_seconds() - cpu,
            peak_mb=max(before.peak_mb, _peak_mb()),
        )
        _keep(directory, found)


def read_cost(directory: Path) -> RunCost | None:
    """Return what a run cost; None where that was not counted.

    Raises InvalidArgument for a file of another version, or that is damaged.
    """
    path = directory / COST_NAME
    try:
        return RunCost.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as err:
        raise InvalidArgument(
            f"{path}: is damaged, or of another version",
            hint="remove it: only what the run cost is in it",
        ) from err


def _before(directory: Path) -> RunCost:
    """Return what earlier attempts cost; a file that cannot be read counts for nothing."""
    try:
        known = read_cost(directory)
    except InvalidArgument:
        known = None
    return known or RunCost(wall_seconds=0, cpu_seconds=0, peak_mb=0)


def _keep(directory: Path, cost: RunCost) -> None:
    """Put it on disk; a run does not fail for want of it."""
    try:
        replace_file(directory / COST_NAME, f"{cost.model_dump_json()}\n".encode(), mode=0o600)
    except OSError:
        return


def _cpu_seconds() -> float:
    """Return what this process and the children that it waited for have used."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def _peak_mb() -> float:
    """Return the most memory of this process; ``ru_maxrss`` begins with what its parent held."""
    try:
        _, _, after = Path("/proc/self/status").read_text().partition("VmHWM:")
        return int(after.split()[0]) / _KB_IN_MB
    except (OSError, IndexError, ValueError):
        unit = _KB_IN_MB if sys.platform != "darwin" else _KB_IN_MB**2
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
