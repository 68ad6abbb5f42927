"""A mirror: a copy of the ledger on another disk, as new as every answer that ever left.

The batch calls it after each commit and before anybody hears of it. What a mirror lacks has
therefore left nobody, so a ledger that is put back from one has the right sum.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from silosynth.client.ledger.copied import (
    Copy,
    CopyKind,
    begin,
    read_copy,
    record,
    records_after,
)
from silosynth.client.ledger.rows import last_entry
from silosynth.common.errors import InvalidCopy, LedgerUnavailable
from silosynth.common.files import replace_file, sync_directory


class Mirror:
    """Own an open copy and add to it what the ledger has gained."""

    def __init__(self, path: Path, *, reached: Callable[[str], None] = lambda _: None) -> None:
        """Take a path; use :func:`open_mirror`.

        Args: reached: a seam for tests, called with "before-mirror" before a write and
            "mirrored" after it.
        """
        self._path = path
        self._reached = reached
        self._descriptor = -1
        self._last = 0

    @property
    def path(self) -> Path:
        """Return where the mirror is."""
        return self._path

    @property
    def entries(self) -> int:
        """Return how many entries are on the mirror's disk."""
        return self._last

    def follow(self, connection: sqlite3.Connection) -> None:
        """Add what the ledger has gained, and return once it is on the mirror's disk.

        Raises LedgerUnavailable when it cannot be.
        """
        last, _ = last_entry(connection)
        if last == self._last:
            return
        self._reached("before-mirror")
        with _told(self._path):
            for data in records_after(connection, self._last):
                _write_all(self._descriptor, data)
            os.fsync(self._descriptor)
            if not os.fstat(self._descriptor).st_nlink:
                # What was deleted can still be written, and is gone when this process ends.
                raise FileNotFoundError(errno.ENOENT, "it was deleted")
        self._last = last
        self._reached("mirrored")

    def begin(self, connection: sqlite3.Connection, known: Copy | None) -> None:
        """Make the mirror, or go on with what is ``known`` of it."""
        if known is None or known.kind is not CopyKind.MIRROR:
            self._make(connection)
            return
        with _told(self._path):
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            os.ftruncate(self._descriptor, known.size)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        self._last = known.account.entries
        self.follow(connection)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _make(self, connection: sqlite3.Connection) -> None:
        """Write a whole mirror, in place of none or of a retired one."""
        last, _ = last_entry(connection)
        with _told(self._path):
            data = begin(CopyKind.MIRROR) + b"".join(records_after(connection, 0))
            replace_file(self._path, data)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._last = last


def mirror_note(ledger: Path) -> Path:
    """Return where it stands which mirror a ledger has.

    >>> mirror_note(Path("/var/lib/silosynth/ledger.sqlite")).name
    'ledger.sqlite.mirror'
    """
    whole = ledger.resolve()
    return whole.with_name(f"{whole.name}.mirror")


def open_mirror(
    connection: sqlite3.Connection,
    *,
    ledger: Path,
    path: Path | None,
    reached: Callable[[str], None] = lambda _: None,
) -> Mirror | None:
    """Go on with a ledger's mirror, and retire the one that it had before at another place.

    Guarantees: a mirror that is not followed any more says so itself, since it would be taken for
    one that holds all that left. So one that was there before is never made anew: its disk is
    away, and what is on that disk would be stale.

    Raises LedgerUnavailable when the mirror, or the one before, is away, cannot be written, or
    knows more than the ledger.
    """
    note = mirror_note(ledger)
    noted = noted_mirror(ledger)
    before, made = noted.path, noted.made
    if before is not None and before != path:
        _retire(before, note=note)
    if path is None:
        return None
    known = _known(path)
    if known is not None:
        _check_beginning(connection, known, path=path)
        if before == path and known.account.entries < noted.entries:
            raise LedgerUnavailable(
                f"the ledger's mirror {path} is an older one than that which was followed",
                hint=f"mount its disk; or, if it is lost for good, remove this one and {note}",
            )
    elif before == path and made:
        raise LedgerUnavailable(
            f"the ledger's mirror {path} is away",
            hint=f"mount its disk; or, if it is lost for good, name another path and remove {note}",
        )
    if before != path:
        _write_note(note, path, entries=None)
    mirror = Mirror(path, reached=reached)
    try:
        mirror.begin(connection, known)
        _write_note(note, path, entries=mirror.entries)
    except BaseException:
        mirror.close()
        if known is None and not path.exists():
            note.unlink(missing_ok=True)
        raise
    return mirror


def note_length(mirror: Mirror, *, ledger: Path) -> None:
    """Write down how long a mirror is that is left now: a shorter one there is an old one."""
    _write_note(mirror_note(ledger), mirror.path, entries=mirror.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedMirror:
    """The mirror that a ledger had when it was opened last, if it was made, and its length then."""

    path: Path | None = None
    made: bool = False
    entries: int = 0


def _write_note(note: Path, path: Path, *, entries: int | None) -> None:
    """Write down which mirror a ledger has, before it is made (None) and once it is there."""
    length = {"made": False} if entries is None else {"entries": entries}
    facts = {"version": 1, "path": str(path), **length}
    with _told(note):
        replace_file(note, json.dumps(facts).encode("ascii"))
        owner = note.parent.stat()
        if os.geteuid() != owner.st_uid:  # root looks at a ledger; its gateway must read this
            os.chown(note, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _retire(path: Path, *, note: Path) -> None:
    """Write into a mirror that it is one no more, then forget it."""
    try:
        known = read_copy(path)
        with path.open("r+b") as file:
            file.truncate(known.size)
            file.seek(known.size)
            file.write(record({"record": "retired"}))
            file.flush()
            os.fsync(file.fileno())
    except (OSError, InvalidCopy) as err:
        raise LedgerUnavailable(
            f"the ledger's mirror {path} cannot be retired: {err}",
            hint=f"bring it back; or destroy that copy for good, then remove {note}",
        ) from err
    note.unlink()
    sync_directory(note.parent)


def noted_mirror(ledger: Path) -> NotedMirror:
    """Return what is noted of a ledger's mirror; raise LedgerUnavailable if it cannot be read."""
    note = mirror_note(ledger)
    try:
        stated = json.loads(note.read_bytes())
        if stated["version"] != 1:
            raise ValueError("another version")
        return NotedMirror(
            path=Path(stated["path"]),
            made=stated.get("made", True) is not False,
            entries=int(stated.get("entries", 0)),
        )
    except FileNotFoundError:
        return NotedMirror()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise LedgerUnavailable(
            f"{note} cannot be read", hint="restore it; it says where the ledger's mirror is"
        ) from err


def _known(path: Path) -> Copy | None:
    """Return the mirror that is there, if one is."""
    if not path.exists():
        return None
    try:
        return read_copy(path)
    except InvalidCopy as err:
        raise LedgerUnavailable(
            f"the ledger's mirror cannot be used: {err.message}",
            hint="move it away; a new one is then written",
        ) from err


def _check_beginning(connection: sqlite3.Connection, known: Copy, *, path: Path) -> None:
    """Raise LedgerUnavailable unless a mirror is the beginning of the ledger's chain."""
    row = connection.execute(
        "SELECT head FROM entries WHERE sequence = ?", (known.account.entries,)
    ).fetchone()
    if row is None or row[0] != known.account.head:
        raise LedgerUnavailable(
            f"the ledger is behind its mirror {path}, or of another silo",
            hint="put the ledger back from the mirror with 'silosynth silo recover'",
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn errors of the mirror's disk into LedgerUnavailable."""
    try:
        yield
    except OSError as err:
        raise LedgerUnavailable(
            f"cannot write the ledger's mirror {path}: {err.strerror}",
            hint="mend its disk, then start again: nothing has left that it lacks",
        ) from err


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
