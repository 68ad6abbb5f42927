"""Make room on a coordinator's disk: drop what finished runs need no more, and keep what proves.

Of a run that ended for good stay its plan, schema, certificate, sampler and how it ended. Receipts
are never dropped: a silo that lost its ledger is charged by them. A run that can be resumed is left
alone: its journal holds answers that were paid for.

At a SuperLink: what finished runs left there, and the file that kept its largest size.
Flower drops a run's messages and objects itself: each when it was taken, all of them with the run's
end. What a coordinator left that was killed stays until its run is looked at. Rows of runs stay, a
kilobyte each. Source: Flower 1.42, ``control_handlers.list_runs``, ``LinkState.cleanup_run``; what
is relied on of both is held by ``tests/processes/test_superlink_room.py``.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.files import replace_file
from silosynth.server.federation.run_files import (
    RunFiles,
    RunState,
    is_locked,
    list_runs,
    lock_run,
    read_ended,
)
from silosynth.server.federation.settings import Federation

KEPT = frozenset(
    {
        *("plan.yaml", "schema.yaml", "run.json", "outcome.json", "cancel", "lock"),
        *("certificate.json", "result.sampler", "pruned.json"),
        *("evaluation.json", "judged.sampler", "candidates.json"),
    }
)
_OVER = (RunState.COMPLETED, RunState.CANCELLED)
_MOST_RUNS = 1_000_000
_OURS = {"alembic_version", "run", "task", "node", "objects"}
_BUSY_SECONDS = 5.0


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


def tidy_runs(federation: Federation) -> int:
    """Have the SuperLink drop what its finished runs left; return how many runs it knows.

    Looking at a finished run makes Flower drop it; one that goes on is left alone.
    """
    # Flower takes half a second to import, and what is pruned here needs none of it.
    from silosynth.common.flower.wire import ListRunsRequest
    from silosynth.server.federation.superlink_calls import Patience, ask, insist, open_control

    patience, request = Patience(), ListRunsRequest(limit=_MOST_RUNS)
    with open_control(federation) as client:

        def look() -> int:
            reply = ask(lambda: client.ListRuns(request), patience=patience, what="the runs")
            return len(reply.run_dict)

        return insist(look, patience=patience)


def compact(path: Path) -> tuple[int, int]:
    """Give the free pages of a stopped SuperLink's database back; return its bytes before, after.

    Nothing in it is changed. Raises InvalidArgument for a file that is no SuperLink's, or that a
    SuperLink has open.
    """
    if not path.is_file():
        raise InvalidArgument(f"{path} is no file", hint="give the --database of the SuperLink")
    before = _database_bytes(path)
    with _told(path), closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        _check(connection, path)
        # Out of the write-ahead log and back: the first is refused while anybody has it open.
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    return before, _database_bytes(path)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise InvalidArgument unless a database is a SuperLink's."""
    found = {r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if not found >= _OURS:
        raise InvalidArgument(
            f"{path} is no SuperLink's database", hint="give the --database of the SuperLink"
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line what SQLite has against it."""
    try:
        yield
    except sqlite3.OperationalError as err:
        if "locked" not in str(err):
            raise InvalidArgument(f"{path} cannot be compacted: {err}") from None
        raise InvalidArgument(
            f"a SuperLink has {path} open", hint="stop it first; runs wait for it"
        ) from None
    except sqlite3.DatabaseError:
        raise InvalidArgument(
            f"{path} is no SuperLink's database", hint="give the --database of the SuperLink"
        ) from None


def _database_bytes(path: Path) -> int:
    """Return the bytes of a database with what lies beside it."""
    parts = (path.with_name(path.name + end) for end in ("", "-wal", "-shm"))
    return sum(p.stat().st_size for p in parts if p.exists())
