"""The fence: what peers hold, kept beside a ledger so that an old copy stays refused.

A peer that holds a receipt knows two things of this ledger: a head of its chain, and a request
whose release was stored. A copy made between charge and store has the head and not the release:
it would draw noise a second time for one charge.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from silosynth.client.ledger.rows import has_head, has_release
from silosynth.common.audit import GENESIS
from silosynth.common.errors import InvalidArgument, LedgerUnavailable
from silosynth.common.files import replace_file

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
        "the ledger is an old copy: a head or release that a peer holds is not in it",
        hint="restore the newest copy; an old one would spend twice",
    )


def check_head(head: str) -> None:
    """Raise InvalidArgument unless ``head`` has the form of one."""
    if not isinstance(head, str) or not _HEAD.fullmatch(head):
        raise InvalidArgument("a head is not usable", hint="64 lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What a ledger must hold: heads of its chain, and ids of requests with a stored release."""

    heads: tuple[str, ...] = ()
    released: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.heads or self.released)


def missing(connection: sqlite3.Connection, proofs: Proofs) -> Proofs:
    """Return the proofs that the ledger does not hold; a lookup each, no replay."""
    return Proofs(
        heads=tuple(h for h in proofs.heads if h != GENESIS and not has_head(connection, h)),
        released=tuple(r for r in proofs.released if not has_release(connection, r)),
    )


def read_fence(path: Path) -> Proofs:
    """Return what a ledger beside this fence must hold; nothing without a fence.

    Raises LedgerUnavailable when the fence cannot be read.
    """
    try:
        fence = json.loads(path.read_bytes())
        if fence["version"] != 1:
            raise ValueError("another version")
        heads, released = tuple(fence["heads"]), tuple(fence["released"])
        for head in heads:
            check_head(head)
        if not all(isinstance(r, str) for r in released):
            raise ValueError("no request id")
    except FileNotFoundError:
        return Proofs()
    except (OSError, ValueError, KeyError, TypeError, InvalidArgument) as err:
        raise LedgerUnavailable(
            f"the ledger's fence {path.name} cannot be read",
            hint="find out who changed it; restore it, or the newest copy of the ledger and it",
        ) from err
    return Proofs(heads=heads, released=released)


def raise_fence(path: Path, proofs: Proofs) -> None:
    """Add proofs to the fence durably.

    Guarantees: the fence holds what it held and the new proofs, or what it held. It is never
    lowered: a ledger that holds all of it passes. Beyond 1,024 of a kind no more are added; the
    ledger is refused for those that are there.

    Raises LedgerUnavailable when it cannot be written.
    """
    known = read_fence(path)
    heads = _joined(known.heads, proofs.heads)
    released = _joined(known.released, proofs.released)
    kept = {"version": 1, "heads": heads, "released": released}
    try:
        replace_file(path, json.dumps(kept).encode("ascii"))
    except OSError as err:
        raise LedgerUnavailable(
            f"{old_copy().message}; and the fence {path.name} cannot be written: {err.strerror}",
            hint="restore the newest copy before the ledger is opened again",
        ) from err


def _joined(known: tuple[str, ...], new: Collection[str]) -> tuple[str, ...]:
    """Return what was known, then what is new, up to the bound."""
    return (*known, *sorted(set(new) - set(known)))[: max(MAX_HEADS, len(known))]
