"""A ledger's copy: every entry and release in a file that only grows, for backups and mirrors.

A copy is a magic line and records, each ``length (8, little) | SHA-256 of the record | record``.
A record is ``length of the header (4, little) | header JSON | content``. The header says what it
is: ``copy`` begins one, ``release`` holds the bytes of one, ``entry`` an entry of the chain and
comes after the release that it is about, ``retired`` says that a mirror was given up, and ``end``
closes a backup with the silo's signature. What is cut off or damaged at the end counts as not
written: a mirror's machine may have lost its power.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from silosynth.common.audit import Account, BrokenChain, Row, digest, replay
from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidArgument, InvalidCopy

MAGIC = b"silosynth-ledger-copy-1\n"
_LENGTH, _HASH, _HEADER = 8, 32, 4


class CopyKind(StrEnum):
    """What a copy is; a mirror holds all that ever left, unless it was retired."""

    BACKUP = "backup"
    MIRROR = "mirror"
    RETIRED = "retired"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy as it was read: ``size`` bytes of it hold, ``end`` is the sealed end of a backup.

    ``torn`` says that bytes follow which do not hold.
    """

    kind: CopyKind
    account: Account
    rows: tuple[Row, ...]
    releases: Mapping[str, bytes]
    size: int
    torn: bool
    end: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """The records of a ledger up to one entry, and that entry's place and head."""

    ledger_id: str
    entries: int
    head: str
    records: tuple[bytes, ...]


def named_entry(connection: sqlite3.Connection, place: int) -> tuple[str, str]:
    """Return the ledger's id and the head of an entry; raise InvalidArgument without that entry."""
    rows = dict(
        connection.execute("SELECT sequence, head FROM entries WHERE sequence IN (1, ?)", (place,))
    )
    if place not in rows:
        raise InvalidArgument(f"the ledger has no entry {place}", hint="begin the backup anew")
    (first,) = connection.execute("SELECT body FROM entries WHERE sequence = 1").fetchone()
    return str(json.loads(first)["id"]), str(rows[place])


def record(header: Mapping[str, Any], content: bytes = b"") -> bytes:
    """Return one record."""
    raw = canonical_json(dict(header))
    body = len(raw).to_bytes(_HEADER, "little") + raw + content
    return len(body).to_bytes(_LENGTH, "little") + sha256(body).digest() + body


def begin(kind: CopyKind) -> bytes:
    """Return how a copy begins."""
    return MAGIC + record({"record": "copy", "kind": kind.value})


def records_after(
    connection: sqlite3.Connection, after: int, *, upto: int | None = None
) -> Iterator[bytes]:
    """Yield the records of all entries behind place ``after``, each with its release.

    A release that was lost, and is on record so, has no bytes to copy.
    """
    rows = connection.execute(
        "SELECT sequence, body, head, request, content FROM entries LEFT JOIN releases "
        "ON stored = sequence WHERE sequence > ? AND sequence <= ? ORDER BY sequence",
        (after, 2**62 if upto is None else upto),
    )
    for sequence, body, head, request, content in rows:
        if request is not None:
            yield record({"record": "release", "request": request}, bytes(content))
        yield record({"record": "entry", "sequence": sequence, "body": body, "head": head})


def end_body(*, ledger_id: str, entries: int, head: str) -> bytes:
    """Return what a silo signs at the end of a backup."""
    stated = {"version": 1, "ledger": ledger_id, "entries": entries, "head": head}
    return canonical_json(stated)


def read_copy(path: Path) -> Copy:
    """Read a copy and check all of its chain and releases.

    Raises InvalidCopy when it is none, of an unknown version, or does not hold together.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise InvalidCopy(f"{path} cannot be read: {err.strerror}") from None
    if not data.startswith(MAGIC):
        raise InvalidCopy(
            f"{path} is no copy of a ledger that this program knows",
            hint="give a file of 'silosynth silo backup', or a mirror",
        )
    fold = _Fold()
    for header, content, size in _records(data):
        fold.add(header, content, origin=str(path))
        fold.size = size
    return fold.whole(origin=str(path), total=len(data))


class _Fold:
    """A copy in the making."""

    def __init__(self) -> None:
        self.kind: CopyKind | None = None
        self.rows: list[Row] = []
        self.releases: dict[str, bytes] = {}
        self.end: bytes | None = None
        self.size = len(MAGIC)

    def add(self, header: dict[str, Any], content: bytes, *, origin: str) -> None:
        """Add one record."""
        try:
            match header["record"]:
                case "copy" if self.kind is None:
                    self.kind = CopyKind(header["kind"])
                case "release":
                    self.releases[header["request"]] = content
                case "entry":
                    self.rows.append((header["sequence"], header["body"], header["head"]))
                case "retired":
                    self.kind = CopyKind.RETIRED
                case "end":
                    self.end = content
                case _:
                    raise ValueError("no record of a copy")
        except (KeyError, TypeError, ValueError) as err:
            raise InvalidCopy(f"{origin} has a record that this program does not know") from err

    def whole(self, *, origin: str, total: int) -> Copy:
        """Return the copy once its chain and releases hold."""
        try:
            account = replay(self.rows)
        except BrokenChain as err:
            raise InvalidCopy(f"{origin} does not hold: {err}") from err
        if self.kind is None:
            raise InvalidCopy(f"{origin} is cut off at its beginning")
        # The record of a release comes first: the entry after it may have been cut off.
        releases = {r: c for r, c in self.releases.items() if r in account.releases}
        stated = account.releases.items()
        if any(digest(releases[r]) != e.sha256 for r, e in stated if r in releases) or (
            account.releases.keys() - account.lost - releases.keys()
        ):
            raise InvalidCopy(f"{origin} does not hold: a release is not the one on record")
        return Copy(
            kind=self.kind,
            account=account,
            rows=tuple(self.rows),
            releases=releases,
            size=self.size,
            torn=self.size < total,
            end=self.end,
        )


def _records(data: bytes) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """Yield header, content and end of each whole record, until one is not."""
    at = len(MAGIC)
    while at + _LENGTH + _HASH <= len(data):
        start = at + _LENGTH + _HASH
        stop = start + int.from_bytes(data[at : at + _LENGTH], "little")
        body = data[start:stop]
        if stop > len(data) or sha256(body).digest() != data[at + _LENGTH : start]:
            return
        length = int.from_bytes(body[:_HEADER], "little")
        yield json.loads(body[_HEADER : _HEADER + length]), body[_HEADER + length :], stop
        at = stop
