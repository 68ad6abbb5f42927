"""What files were like when they were looked at, so that what was read is used while it holds.

Whoever deletes a row rewrites a file. The clock of a file system ticks in milliseconds, so a file
that was written moments ago may be written again without a trace in its times: then its content is
compared as well.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.errors import InvalidTable
from silosynth.common.files import unreadable_table

Stamp = tuple[str, int, int, int, int, int]
"""Path, device, inode, size, and when content and inode were changed, in nanoseconds."""

_SETTLED_NANOSECONDS = 2_000_000_000
"""A file is not written twice within a tick of its clock; FAT's is the longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """Some files at one moment. ``digest`` is of their content, where times cannot be relied on."""

    stamps: tuple[Stamp, ...]
    digest: str | None = None


def look_at(files: Sequence[Path]) -> FileState:
    """Return the state of ``files``; of those that are not there, that they are not.

    Raises InvalidTable when a file cannot be looked at.
    """
    now = time.time_ns()
    stamps = tuple(_stamp(file) for file in files)
    settled = all(max(stamp[4:]) < now - _SETTLED_NANOSECONDS for stamp in stamps)
    return FileState(stamps=stamps, digest=None if settled else file_digest(files))


def same_files(noted: FileState, *, now: FileState) -> bool:
    """Say whether nothing was written to the files since they were noted."""
    if noted.stamps != now.stamps or noted.digest is None:
        return noted.stamps == now.stamps
    present = [Path(stamp[0]) for stamp in now.stamps]
    return noted.digest == (now.digest or file_digest(present))


def watch_files(files: Sequence[Path]) -> Callable[[], None]:
    """Note which files these are; return a check that they still are, which raises InvalidTable.

    Half of one export and half of the next are no table: a row may be in both, and count twice.
    """
    noted = look_at(files)

    def check() -> None:
        now = look_at(files)
        if same_files(noted, now=now):
            return
        pairs = zip(noted.stamps, now.stamps, strict=True)
        changed = next((new[0] for old, new in pairs if old != new), noted.stamps[0][0])
        raise InvalidTable(
            f"{changed}: was changed while it was read", hint="put a new export in place whole"
        )

    return check


def database_files(path: Path) -> list[Path]:
    """Return the files of a DuckDB database: what was deleted may stand in its log alone."""
    return [path, path.with_name(f"{path.name}.wal")]


def file_digest(files: Sequence[Path]) -> str:
    """Return the hash of some files' contents, in order; a file that is not there has its own."""
    total = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                total.update(b"+" + hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError:
            total.update(b"-")
        except OSError as err:
            raise unreadable_table(path, err) from None
    return total.hexdigest()


def _stamp(file: Path) -> Stamp:
    """Return what a file's directory entry says."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return str(file), -1, -1, -1, -1, -1
    except OSError as err:
        raise unreadable_table(file, err) from None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return str(file), found.st_dev, found.st_ino, found.st_size, *times
