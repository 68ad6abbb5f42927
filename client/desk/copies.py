"""A silo's ledger as it stands, looked at without touching it: of a running gateway, or of none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from silosynth.client.desk.questions import Command, Question
from silosynth.client.desk.rpc import Ask, open_desk, operator_socket, somebody_listens
from silosynth.client.ledger import read_ledger
from silosynth.client.policy import PolicyFile
from silosynth.client.silo import check_copy, ledger_path, load_identity
from silosynth.common.audit import Account
from silosynth.common.errors import LedgerUnavailable
from silosynth.common.trust import plain_bytes


def pieces(ask: Ask) -> Iterator[bytes]:
    """Yield a backup piece by piece; all are of the ledger as it was at the first."""
    upto, offset, size = None, 0, 1
    while offset < size:
        answer = ask(Question(command=Command.BACKUP, upto=upto, offset=offset))
        upto, size = answer["upto"], answer["bytes"]
        piece = plain_bytes(answer["piece"])
        offset += len(piece)
        yield piece


def present_account(policy: PolicyFile) -> Account:
    """Return what a silo's ledger adds up to now; nothing is written, no cap is set.

    Raises LedgerUnavailable when the ledger cannot be read, ConnectionFailed when its gateway
    does not let this user in.
    """
    try:
        with TemporaryDirectory(prefix="silosynth-") as folder:
            if not somebody_listens(operator_socket(policy)):
                return read_ledger(ledger_path(policy)).account
            path = Path(folder) / "copy"
            with open_desk(policy) as ask, path.open("wb") as file:
                for piece in pieces(ask):
                    file.write(piece)
            return check_copy(path, key=load_identity(policy).public).account
    except OSError as err:
        raise LedgerUnavailable(f"the ledger cannot be read: {err.strerror}") from err
