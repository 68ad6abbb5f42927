"""How many lives a ledger had, noted beside it: a copy of before a recovery knows nothing of it.

Each recovery leaves a file in the folder ``recoveries``, named by the head that its chain had then.
A chain that lacks one of them is of an earlier life, and in every life since, each plan that this
silo approved may have been answered whole. Copy the folder with the plans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from silosynth.common.errors import LedgerUnavailable
from silosynth.common.files import create_file, make_directory, sync_directory

RECOVERIES = "recoveries"
_BEGUN = "begun-"


def lives_since(directory: Path, *, heads: Collection[str]) -> int:
    """Return how many recoveries are noted of which a chain with these heads knows nothing."""
    folder = directory / RECOVERIES
    if not folder.is_dir():
        return 0
    known = {_name(head) for head in heads}
    notes = {n.name for n in folder.iterdir() if not n.name.startswith(_BEGUN)}
    return len(notes - known)


def note_recovery(directory: Path, *, head: str) -> None:
    """Note that a ledger is put back with this head, durably, before it is there.

    It counts from the first start on that serves the ledger: before, nothing was spent from it.
    """
    folder = directory / RECOVERIES
    with _told(folder):
        make_directory(folder, mode=0o700)
        for earlier in folder.glob(f"{_BEGUN}*"):
            earlier.unlink()
        create_file(folder / f"{_BEGUN}{_name(head)}", b"")
        sync_directory(folder)


def begin_life(directory: Path) -> None:
    """Let the recovery count that was made last; call it before its ledger is served."""
    folder = directory / RECOVERIES
    begun = list(folder.glob(f"{_BEGUN}*"))
    if begun:
        with _told(folder):
            for note in begun:
                note.rename(note.with_name(note.name.removeprefix(_BEGUN)))
            sync_directory(folder)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into LedgerUnavailable."""
    try:
        yield
    except OSError as err:
        raise LedgerUnavailable(f"cannot note a recovery in {folder}: {err.strerror}") from err


def _name(head: str) -> str:
    """Return a head as a file's name."""
    return head.replace(":", "-")
