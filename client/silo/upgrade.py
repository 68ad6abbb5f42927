"""What the next start of a newer program changes in a silo's files, and the change itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silosynth.client.ledger import FILE_VERSION, copy_before, file_version, open_file
from silosynth.client.policy import PolicyFile
from silosynth.client.silo.assemble import check_files, ledger_path
from silosynth.common.errors import LedgerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The version of a ledger's file, the one that this program writes, and the copy between."""

    path: Path
    found: int
    written: int
    kept: Path | None

    @property
    def is_due(self) -> bool:
        """Say whether a start changes the file."""
        return self.found < self.written


def next_step(policy: PolicyFile) -> Step:
    """Return what a start would do to a silo's ledger; nothing is opened or changed.

    Raises what a start would raise for key, schemas, tables and policy, and LedgerUnavailable for
    a ledger that is newer than this program.
    """
    check_files(policy)
    path = ledger_path(policy)
    found = file_version(path)
    if found > FILE_VERSION:
        raise LedgerUnavailable(
            f"the ledger has version {found}; this program knows {FILE_VERSION}",
            hint="use the program that wrote it, or a newer one",
        )
    kept = copy_before(path, found) if found < FILE_VERSION else None
    return Step(path=path, found=found, written=FILE_VERSION, kept=kept)


def take_step(step: Step) -> None:
    """Change a ledger's file as a start does; raise LedgerUnavailable when it cannot be."""
    open_file(step.path).close()
