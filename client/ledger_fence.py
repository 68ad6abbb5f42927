"""The fence: heads that peers hold, kept beside a ledger so that an old copy stays refused."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Collection
from pathlib import Path

from silosynth.client.ledger_file import sync_directory
from silosynth.client.ledger_rows import has_head
from silosynth.common.entries import GENESIS
from silosynth.common.errors import InvalidArgument, LedgerUnavailable

MAX_HEADS = 1024
_HEAD = re.compile("[0-9a-f]{64}")


def fence_path(ledger: Path) -> Path:
    """Return where the fence of a ledger is.

    >>> fence_path(Path("/var/lib/silosynth/ledger.sqlite")).name
    'ledger.sqlite.fence'
    """
    whole = ledger.resolve()
    return whole.with_name(f"{whole.name}.fence")


def old_copy() -> LedgerUnavailable:
    """Return the error of a ledger that lacks a head that a peer holds."""
    return LedgerUnavailable(
        "the ledger is an old copy: a head that a peer holds is not in it",
        hint="restore the newest copy; an old one would spend twice",
    )


def check_head(head: str) -> None:
    """Raise InvalidArgument unless ``head`` has the form of one."""
    if not isinstance(head, str) or not _HEAD.fullmatch(head):
        raise InvalidArgument("a head is not usable", hint="64 lower-case hexadecimal digits")


def missing_heads(connection: sqlite3.Connection, heads: Collection[str]) -> tuple[str, ...]:
    """Return the heads that are not in the ledger's chain; a lookup each, no replay."""
    return tuple(h for h in heads if h != GENESIS and not has_head(connection, h))


def read_fence(path: Path) -> tuple[str, ...]:
    """Return the heads that a ledger beside this fence must hold; none without a fence.

    Raises LedgerUnavailable when the fence cannot be read.
    """
    try:
        fence = json.loads(path.read_bytes())
        if fence["version"] != 1:
            raise ValueError("another version")
        heads = tuple(fence["heads"])
        for head in heads:
            check_head(head)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, InvalidArgument) as err:
        raise LedgerUnavailable(
            f"the ledger's fence {path.name} cannot be read",
            hint="find out who changed it; restore it, or the newest copy of the ledger and it",
        ) from err
    return heads


def raise_fence(path: Path, heads: Collection[str]) -> None:
    """Add heads to the fence durably.

    Guarantees: the fence holds what it held and the new heads, or what it held. It is never
    lowered: a ledger that holds all its heads passes it. Beyond 1,024 heads no more are added;
    the ledger is refused for those that are there.

    Raises LedgerUnavailable when it cannot be written.
    """
    known = read_fence(path)
    wanted = (*known, *sorted(set(heads) - set(known)))[: max(MAX_HEADS, len(known))]
    part = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"version": 1, "heads": wanted}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(path.parent)
    except OSError as err:
        raise LedgerUnavailable(
            f"{old_copy().message}; and the fence {path.name} cannot be written: {err.strerror}",
            hint="restore the newest copy before the ledger is opened again",
        ) from err
