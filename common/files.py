"""Files: whole or not at all, and still there when the power is back."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from silosynth.common.errors import InvalidArgument, InvalidTable, OutputExists, StorageFailed

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
_RIGHTS = frozenset({errno.EACCES, errno.EPERM})


def storage_error(error: OSError) -> StorageFailed | None:
    """Return what an error of the operating system means for whoever runs the machine.

    None where it is neither a disk that takes nothing more nor a path that this user may not use.
    """
    if error.errno not in _DISK | _RIGHTS:
        return None
    where = f" at {error.filename}" if isinstance(error.filename, str | Path) else ""
    return StorageFailed(
        f"cannot write or read{where}: {os.strerror(error.errno or 0)}",
        hint="make room, or mend the disk; then run the same again: nothing is charged twice"
        if error.errno in _DISK
        else f"give the user {os.geteuid()} the right to it",
    )


def unreadable_table(path: Path, error: OSError) -> InvalidTable:
    """Return what an error of the operating system means for whoever named the table."""
    if isinstance(error, FileNotFoundError):
        return InvalidTable(f"{path}: no such file", hint="check the path")
    if isinstance(error, PermissionError):
        return InvalidTable(
            f"{path}: may not be read by user {os.geteuid()}", hint="give it the right to"
        )
    return InvalidTable(f"{path}: cannot be read: {error.strerror or 'damaged'}")


def read_named(path: Path, *, most: int | None = None) -> bytes:
    """Read a file that a person named; of one above ``most`` bytes, one byte more than that.

    Whoever holds what it returns against ``most`` so sees that it is too large. Raises
    InvalidArgument when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(-1 if most is None else most + 1)
    except OSError as err:
        raise InvalidArgument(f"{path} cannot be read: {err.strerror}") from None


def named_as_arrow_knows(path: Path) -> Any:
    """Return what Arrow reads a file by: its path, or an unpacked stream of ``.GZ`` in capitals."""
    if path.suffix.lower() != ".gz" or path.suffix == ".gz":
        return path
    import pyarrow as pa  # most that import this module need it not

    return pa.input_stream(str(path), compression="gzip")


@contextmanager
def fresh_file(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield a path to write to, and move what was written to ``path`` when all went well.

    Guarantees: ``path`` holds what it held before, or the whole new file, which a loss of power
    does not take back once the block has ended; whatever stops the writing, Ctrl-C included,
    leaves nothing else behind.

    Errors: OutputExists when ``path`` is there, unless ``force``; InvalidArgument when its
    directory is not, or when it cannot be written.
    """
    check_output(path, force=force)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
        sync_directory(path.parent)
    except OSError as err:
        failure = storage_error(err) if err.errno in _DISK else None
        raise failure or InvalidArgument(
            f"{path} cannot be written: {err.strerror or err}"
        ) from err
    finally:
        part.unlink(missing_ok=True)


def check_output(path: Path, *, force: bool) -> None:
    """Raise what :func:`fresh_file` raises, before any work is done for the file."""
    if path.exists() and not force:
        raise OutputExists(f"{path} exists already", hint="choose another name, or add --force")
    if path.is_dir():
        raise InvalidArgument(f"{path} is a directory", hint="give the name of a file")
    if not path.absolute().parent.is_dir():
        raise InvalidArgument(f"{path.parent} is not a directory", hint="make it first")


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write a text file whole or not at all."""
    with fresh_file(path, force=force) as part:
        part.write_text(text, encoding="utf-8")


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write ``data`` to ``path`` in place of what is there; raise OSError when it cannot be.

    Guarantees: ``path`` holds what it held or the whole of ``data``; after the return a loss of
    power does not take it back. A file that is made new has ``mode``, less the process' umask. No
    link is followed: a folder may be another user's, and this one root's.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        _fill(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)


def create_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file that is not there yet, durably; raise FileExistsError when it is.

    Guarantees: it is there whole or not at all, whatever stops the writing; of two that are written
    at one time one is there. What one that was killed left of its part goes with the next.
    """
    there = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if os.path.lexists(path):
        raise there
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    _fill(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), data)
    try:
        os.link(part, path)
    except FileNotFoundError:  # whoever was first took our part for one that was left
        raise there from None
    finally:
        part.unlink(missing_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    sync_directory(path.parent)


_LOCK_TRIES, _LOCK_PAUSE = 20, 0.05


def lock_alone(file: IO[str]) -> bool:
    """Lock an open file for this process until it is closed; false where another one has it.

    A process that was killed may have it a moment after its end was told, so that is waited for.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
        else:
            return True
    return False


def make_directory(directory: Path, *, mode: int = 0o777) -> None:
    """Make a directory and those above it where they are missing, durably; keep what is there."""
    if directory.is_dir():
        return
    if not directory.parent.is_dir():
        make_directory(directory.parent, mode=mode)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Return once the names in a directory are on disk."""
    _sync(directory)


def _fill(descriptor: int, data: bytes) -> None:
    """Write to an open file and return once it is on disk."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Return once a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".psv", ".txt", ".dat")
"""Of text files with delimiters, in lower case; each may be packed, and end in .gz."""
SHEETS = (".xlsx", ".xlsm", ".dta", ".sas7bdat", ".xpt")
"""Of files that Excel, Stata and SAS write, in lower case."""
_MARKS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


def packed(endings: Iterable[str]) -> tuple[str, ...]:
    """Return endings of text files, and those of the same files packed."""
    plain = tuple(endings)
    return (*plain, *(f"{ending}.gz" for ending in plain))


def delimiter_of(path: Path) -> str:
    """Return what parts the fields of a text file by its name alone.

    >>> delimiter_of(Path("people.PSV.gz")), delimiter_of(Path("people.dat"))
    ('|', ',')
    """
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    return _MARKS.get(ending, ",")
