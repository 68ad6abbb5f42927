"""What is found of a lost ledger: copies, audits, receipts that peers kept, approved plans."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from silosynth.client.gateway import PLAN, PLANS
from silosynth.client.ledger import Copy
from silosynth.client.policy import PolicyFile
from silosynth.client.silo.backup import check_copy
from silosynth.common.audit import (
    GENESIS,
    Account,
    Row,
    audit_rows,
    genesis_body,
    next_head,
    replay,
)
from silosynth.common.errors import InvalidArgument, InvalidCopy, SilosynthError
from silosynth.common.files import read_named
from silosynth.common.messages import Receipt, decode_receipt
from silosynth.common.plan import Plan, decode_plan
from silosynth.common.trust import PublicKey, Purpose, unseal

RECEIPT = ".receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """A plan that was approved, and what the policy calls who signed it."""

    plan: Plan
    consumer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found, all of it checked by itself."""

    copies: Mapping[Path, Copy] = field(default_factory=dict)
    audits: tuple[tuple[Row, ...], ...] = ()
    receipts: tuple[Receipt, ...] = ()

    def longest_rows(self) -> tuple[Row, ...]:
        """Return the longest chain, of which all others are the beginning; none without any.

        Raises InvalidCopy when two of them part.
        """
        chains = sorted((*(c.rows for c in self.copies.values()), *self.audits), key=len)
        longest = chains[-1] if chains else ()
        for chain in chains:
            if chain[-1] != longest[len(chain) - 1]:
                raise InvalidCopy(
                    "two of the files are of ledgers that parted, or of two silos",
                    hint="keep all of them, find out which is this silo's, and give that alone",
                )
        return longest

    def longest(self, *, at: str) -> tuple[tuple[Row, ...], Account]:
        """Return the longest chain and what it adds up to; a new one where none was found."""
        rows = self.longest_rows()
        if not rows:
            body = genesis_body(ledger_id=secrets.token_hex(16), at=at)
            rows = ((1, body, next_head(GENESIS, sequence=1, body=body)),)
        return rows, replay(rows)

    def unknown_receipts(self) -> tuple[Receipt, ...]:
        """Return the receipts of charges that are not in the longest chain, each once.

        The same request of two ledgers is two charges; their heads tell them apart.
        """
        here = {head for _, _, head in self.longest_rows()}
        unknown = {
            (r.request_id, r.ledger_head): r for r in self.receipts if r.ledger_head not in here
        }
        return tuple(unknown.values())

    def releases(self) -> dict[str, bytes]:
        """Return every release that a copy holds."""
        return {r: data for copy in self.copies.values() for r, data in copy.releases.items()}


def find(
    *, key: PublicKey, copies: Sequence[Path], audits: Sequence[Path], receipts: Sequence[Path]
) -> Found:
    """Read what was found of a silo's ledger; ``key`` is the silo's.

    Raises InvalidCopy, InvalidAudit, Untrusted or InvalidArgument naming the file that is not
    what it should be.
    """
    return Found(
        copies={path: check_copy(path, key=key) for path in copies},
        audits=tuple(_audit(path, key=key) for path in audits),
        receipts=tuple(_receipt(p, key=key) for path in receipts for p in _receipt_files(path)),
    )


def kept_plans(policy: PolicyFile, *, whole: bool = True) -> tuple[KeptPlan, ...]:
    """Return the plans that this silo approved, as it kept them.

    Args: whole: whether all of them are needed; otherwise, what cannot be read is left out.
    Raises InvalidArgument when one of them cannot be read: what it cost is then not known.
    """
    folder, kept = Path(policy.silo.directory) / PLANS, []
    for path in sorted(folder.glob(f"*/{PLAN}")):
        try:
            kept.append(_plan(path, policy))
        except InvalidArgument:
            if whole:
                raise
    return tuple(kept)


def _plan(path: Path, policy: PolicyFile) -> KeptPlan:
    """Read one approved plan."""
    consumers = policy.consumers()
    try:
        opened = unseal(path.read_bytes(), purpose=Purpose.PLAN, trusted=consumers.keys())
        return KeptPlan(plan=decode_plan(opened.body), consumer=consumers[opened.key])
    except (OSError, SilosynthError) as err:
        raise InvalidArgument(
            f"the approved plan {path} cannot be read: {err}",
            hint="name its coordinator under [[coordinators]]; or let all that is left be spent",
        ) from None


def _audit(path: Path, *, key: PublicKey) -> tuple[Row, ...]:
    """Read the chain of an audit that this silo signed."""
    return audit_rows(unseal(read_named(path), purpose=Purpose.AUDIT, trusted={key}).body)


def _receipt_files(path: Path) -> list[Path]:
    """Return the receipts at a path: the file itself, or all below a folder."""
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(f"*{RECEIPT}"))
    if not files:
        raise InvalidArgument(
            f"there is no receipt in {path}",
            hint="the coordinator keeps them in receipts/ed25519-... of SILOSYNTH_HOME",
        )
    return files


def _receipt(path: Path, *, key: PublicKey) -> Receipt:
    """Read a receipt that this silo signed."""
    try:
        return decode_receipt(read_named(path), trusted={key})
    except SilosynthError as err:
        raise InvalidArgument(f"{path} is no receipt of this silo: {err.message}") from None
