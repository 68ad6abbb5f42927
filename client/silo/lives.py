"""How many lives a ledger had, noted beside it: a copy of before a recovery knows nothing of it.

Each recovery leaves a file in the folder ``recoveries``, named by the head that its chain had then.
A chain that lacks one of them, and has not paid for it either, is of an earlier life, and in every
life since, each plan that this silo approved may have been answered whole. It is not served, but
recovered from. Copy the folder with the plans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from silosynth.common.errors import LedgerUnavailable
from silosynth.common.files import create_file, make_directory, sync_directory

RECOVERIES = "recoveries"
_BEGUN = "begun-"


def lives_since(directory: Path, *, heads: Collection[str]) -> frozenset[str]:
    """Return the heads of recoveries that were served and of which a chain knows nothing."""
    served = (n for n in _notes(directory) if not n.startswith(_BEGUN))
    return frozenset(served) - frozenset(heads)


def noted_heads(directory: Path) -> frozenset[str]:
    """Return the head of every recovery that a ledger has to know to be served here.

    The one that was made last is among them: another file in its ledger's place is a copy that
    somebody put there.
    """
    return frozenset(n.removeprefix(_BEGUN) for n in _notes(directory))


def note_recovery(directory: Path, *, head: str) -> None:
    """Note that a ledger is put back with this head, durably, before it is there.

    It counts from the first start on that serves the ledger: before, nothing was spent from it.
    """
    folder = directory / RECOVERIES
    with _told(folder):
        make_directory(folder, mode=0o700)
    forget_unserved(directory)
    with _told(folder):
        create_file(folder / f"{_BEGUN}{head}", b"")
        sync_directory(folder)


def forget_unserved(directory: Path) -> None:
    """Forget a recovery that nobody was served from, before another is put in its place."""
    folder = directory / RECOVERIES
    with _told(folder):
        for earlier in folder.glob(f"{_BEGUN}*"):
            earlier.unlink()
        if folder.is_dir():
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


def _notes(directory: Path) -> Iterator[str]:
    """Yield the names of the notes."""
    folder = directory / RECOVERIES
    if folder.is_dir():
        yield from (note.name for note in folder.iterdir())
