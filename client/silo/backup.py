"""A backup of a running silo's ledger: a consistent copy, closed by the silo's signature."""

from __future__ import annotations

from pathlib import Path

from silosynth.client.ledger import (
    Copied,
    Copy,
    CopyKind,
    begin,
    end_body,
    is_ledger,
    read_copy,
    read_ledger,
    record,
)
from silosynth.common.errors import InvalidCopy, Untrusted
from silosynth.common.trust import PublicKey, Purpose, SigningKey, unseal
from silosynth.common.trust.seal import seal


def backup_bytes(copied: Copied, *, key: SigningKey) -> bytes:
    """Return a backup of a ledger up to one entry; the same entry gives the same bytes."""
    stated = end_body(ledger_id=copied.ledger_id, entries=copied.entries, head=copied.head)
    end = record({"record": "end"}, seal(stated, purpose=Purpose.BACKUP, key=key))
    return b"".join((begin(CopyKind.BACKUP), *copied.records, end))


def check_copy(path: Path, *, key: PublicKey) -> Copy:
    """Read a backup, a mirror, or a ledger that was moved away, and check all of it.

    Guarantees: a backup is whole, and ``key`` signed its end. A mirror is on the silo's own disk
    and as little signed as the ledger itself.

    Raises InvalidCopy when it is not.
    """
    copy = read_ledger(path) if is_ledger(path) else read_copy(path)
    if copy.kind in (CopyKind.MIRROR, CopyKind.RETIRED, CopyKind.LEDGER):
        return copy
    account = copy.account
    stated = end_body(ledger_id=account.ledger_id, entries=account.entries, head=account.head)
    if copy.end is None or copy.torn:
        raise InvalidCopy(f"{path} is cut off, or damaged behind entry {account.entries}")
    try:
        opened = unseal(copy.end, purpose=Purpose.BACKUP, trusted={key})
    except Untrusted as err:
        raise InvalidCopy(f"{path} is no backup of this silo: {err.message}") from None
    if opened.body != stated:
        raise InvalidCopy(f"{path} is not the backup that its silo signed")
    return copy
