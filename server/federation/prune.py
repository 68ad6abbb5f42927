"""Make room on a coordinator's disk: drop what finished runs need no more, and keep what proves.

Of a run that ended for good stay its plan, schema, certificate, sampler and how it ended. Receipts
are never dropped: a silo that lost its ledger is charged by them. A run that can be resumed is left
alone: its journal holds answers that were paid for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from silosynth.common.errors import RunFailed
from silosynth.common.files import replace_file
from silosynth.server.federation.run_files import (
    RunFiles,
    RunState,
    is_locked,
    list_runs,
    lock_run,
    read_ended,
)

KEPT = frozenset(
    {
        *("plan.yaml", "schema.yaml", "run.json", "outcome.json", "cancel", "lock"),
        *("certificate.json", "result.sampler", "pruned.json"),
    }
)
_OVER = (RunState.COMPLETED, RunState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Droppable:
    """What one run would lose: paths in its directory, and their bytes."""

    run: RunFiles
    paths: tuple[Path, ...]
    bytes: int


def droppable(home: Path, *, before: datetime) -> Iterator[Droppable]:
    """Yield what runs that ended for good before a time need no more; nothing is changed.

    One whose result a silo has not acknowledged is left alone: resuming it delivers the result.
    """
    for run, _ in list_runs(home):
        ended = read_ended(run)
        if ended.state not in _OVER or ended.unacknowledged or not run.ended.is_file():
            continue
        if datetime.fromtimestamp(run.ended.stat().st_mtime, UTC) >= before:
            continue
        paths = tuple(sorted(p for p in run.path.iterdir() if p.name not in KEPT))
        if paths:
            yield Droppable(run=run, paths=paths, bytes=sum(map(_size, paths)))


def drop(found: Droppable, *, at: datetime) -> None:
    """Drop what was found of a run, and note that it was; what a crash leaves is found again."""
    with lock_run(found.run):
        note = {"version": 1, "at": at.isoformat(timespec="seconds")}
        replace_file(_note(found.run), json.dumps(note).encode() + b"\n")
        for path in found.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def is_pruned(run: RunFiles) -> bool:
    """Tell whether a run's journal was dropped."""
    return _note(run).is_file()


def check_whole(run: RunFiles) -> None:
    """Raise RunFailed for a run that was pruned: it has ended, and its answers are gone."""
    if is_pruned(run) and not is_locked(run):
        raise RunFailed(
            f"run {run.id} has ended and was pruned", hint="its sampler and certificate are kept"
        )


def _note(run: RunFiles) -> Path:
    """Return the path of the note that a run was pruned."""
    return run.path / "pruned.json"


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(p.lstat().st_size for p in path.rglob("*") if not p.is_dir())
    return path.lstat().st_size
