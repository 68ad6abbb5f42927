"""Room at a SuperLink: what finished runs left there, and the file that kept its largest size.

Flower drops a run's messages and objects itself: each when it was taken, all of them with the run's
end. What a coordinator left that was killed stays until its run is looked at. Rows of runs stay, a
kilobyte each. Source: Flower 1.42, ``control_handlers.list_runs``, ``LinkState.cleanup_run``; what
is relied on of both is held by ``tests/processes/test_superlink_room.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from silosynth.common.errors import InvalidArgument
from silosynth.common.flower.wire import ListRunsRequest
from silosynth.server.federation.link import Patience, ask, insist, open_control
from silosynth.server.federation.settings import Federation

_MOST_RUNS = 1_000_000
_OURS = {"alembic_version", "run", "task", "node", "objects"}
_BUSY_SECONDS = 5.0


def tidy_runs(federation: Federation) -> int:
    """Have the SuperLink drop what its finished runs left; return how many runs it knows.

    Looking at a finished run makes Flower drop it; one that goes on is left alone.
    """
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
    before = _size(path)
    with _told(path), closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        _check(connection, path)
        # Out of the write-ahead log and back: the first is refused while anybody has it open.
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    return before, _size(path)


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


def _size(path: Path) -> int:
    """Return the bytes of a database with what lies beside it."""
    parts = (path.with_name(path.name + end) for end in ("", "-wal", "-shm"))
    return sum(p.stat().st_size for p in parts if p.exists())
