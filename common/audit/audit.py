"""An audit: all that a ledger recorded, in a file that anyone can check without the data.

The file is JSON lines. The first line names the format, the ledger, the number of entries and the
last head; every other line is one entry as it stands in the ledger. Entry n is right when its head
is the SHA-256 of the head before (64 zeros before the first), n and its body, joined by line feeds.
A release is there by its SHA-256 and size; its bytes are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from silosynth.common.audit.account import Account, BrokenChain, replay
from silosynth.common.audit.entries import Decision, canonical
from silosynth.common.errors import InvalidAudit

FORMAT = "silosynth-audit"
VERSION = 1
Row = tuple[int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeTotal:
    """What one scope spent of its cap, in units of 2^-40 of zCDP rho."""

    kind: str
    name: str
    cap_units: int
    spent_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSummary:
    """What a checked audit says.

    ``unanswered`` counts charges that no release followed. ``account`` holds every charge and
    release.
    """

    ledger_id: str
    head: str
    entries: int
    charges: int
    releases: int
    unanswered: int
    released_bytes: int
    totals: tuple[ScopeTotal, ...]
    decisions: tuple[Decision, ...]
    account: Account


def encode_audit(rows: tuple[Row, ...]) -> bytes:
    """Return the audit of a ledger's entries (sequence, body, head).

    Raises InvalidAudit when they are not a chain.
    """
    account = _replay(iter(rows))
    first = {
        "format": FORMAT,
        "version": VERSION,
        "ledger": account.ledger_id,
        "entries": account.entries,
        "head": account.head,
    }
    lines = [canonical(first)]
    lines += [canonical({"sequence": s, "body": b, "head": h}) for s, b, h in rows]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def verify_audit(data: bytes) -> AuditSummary:
    """Check every entry of an audit and return what they add up to.

    Guarantees: what is returned follows from the entries alone; any other chain, and any entry
    that was changed, dropped, added or moved, has another last head. That the head is the silo's
    is for the silo's signature, or a receipt that somebody kept, to say.

    Raises InvalidAudit naming the first thing that does not hold.
    """
    lines = data.split(b"\n")
    if lines.pop() != b"" or not lines:
        raise _invalid("it is cut off")
    first = _parse(lines[0], number=1)
    if first.get("format") != FORMAT or first.get("version") != VERSION:
        raise _invalid(f"it is not version {VERSION} of {FORMAT}")
    account = _replay(_rows(lines[1:]))
    stated = {
        "format": FORMAT,
        "version": VERSION,
        "ledger": account.ledger_id,
        "entries": account.entries,
        "head": account.head,
    }
    if first != stated:
        raise _invalid("its first line does not state what its entries add up to")
    return _summary(account)


def audit_rows(data: bytes) -> tuple[Row, ...]:
    """Return the entries of an audit once all of it holds; raise as :func:`verify_audit` does."""
    verify_audit(data)
    return tuple(_rows(data.split(b"\n")[1:-1]))


def _summary(account: Account) -> AuditSummary:
    """Return an account in figures."""
    return AuditSummary(
        ledger_id=account.ledger_id,
        head=account.head,
        entries=account.entries,
        charges=len(account.charges),
        releases=len(account.releases),
        unanswered=len(account.charges) - len(account.releases),
        released_bytes=sum(r.size for r in account.releases.values()),
        totals=tuple(
            ScopeTotal(
                kind=scope.kind.value,
                name=scope.name,
                cap_units=cap,
                spent_units=account.spent[scope],
            )
            for scope, cap in sorted(account.caps.items())
        ),
        decisions=account.decisions,
        account=account,
    )


def _rows(lines: list[bytes]) -> Iterator[Row]:
    """Read the entries, each with exactly its three fields."""
    for number, line in enumerate(lines, start=2):
        entry = _parse(line, number=number)
        kinds = {name: type(value) for name, value in entry.items()}
        if kinds != {"sequence": int, "body": str, "head": str}:
            raise _invalid(f"line {number} is no entry")
        yield entry["sequence"], entry["body"], entry["head"]


def _parse(line: bytes, *, number: int) -> dict[str, Any]:
    """Parse a line that is an object in its one spelling."""
    try:
        value = json.loads(line)
        if isinstance(value, dict) and canonical(value).encode("ascii") == line:
            return value
    except (ValueError, RecursionError):
        pass
    raise _invalid(f"line {number} cannot be read")


def _replay(rows: Iterator[Row]) -> Account:
    """Add up entries."""
    try:
        return replay(rows)
    except BrokenChain as err:
        raise _invalid(str(err)) from err


def _invalid(why: str) -> InvalidAudit:
    """Return the error of an audit that does not hold."""
    return InvalidAudit(
        f"the audit does not hold: {why}",
        hint="have the silo export it again, and compare the head with a receipt",
    )
