"""What a silo's disk need not keep: results that were delivered long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from silosynth.client.gateway import Records
from silosynth.client.policy import PolicyFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OldResult:
    """A result that may go: its folder, the plan whose it is, and its bytes."""

    records: Records
    folder: Path
    bytes: int

    @property
    def plan(self) -> str:
        """Return the digest of the plan."""
        return f"sha256:{self.folder.name}"

    def drop(self) -> None:
        """Drop the result but for its hash."""
        self.records.drop_result(self.folder)


def old_results(policy: PolicyFile, *, before: datetime) -> tuple[OldResult, ...]:
    """Return the results of a silo that were delivered before a time.

    Guarantees: what the ledger, replays, sums and a recovery need is not among them.
    """
    records = Records(Path(policy.silo.directory), beside=True)
    return tuple(
        OldResult(records=records, folder=f, bytes=sum(p.stat().st_size for p in f.iterdir()))
        for f in records.old_results(before=before)
    )
