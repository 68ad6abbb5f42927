"""The ledger's entries: a hash chain of plain facts, and what they add up to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from silosynth.common.errors import InvalidArgument, LedgerUnavailable

GENESIS = "0" * 64
Facts = Mapping[str, str | int]


class ScopeKind(StrEnum):
    """What a budget is granted to."""

    DATASET = "dataset"
    CONSUMER = "consumer"
    PROJECT = "project"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Scope:
    """A budget's owner: one data set, one consumer or one project."""

    kind: ScopeKind
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.kind, ScopeKind):
            raise InvalidArgument(f"{self.kind!r} is no kind of scope", hint="use a ScopeKind")
        if not self.name:
            raise InvalidArgument(f"a {self.kind.value} scope has no name", hint="give it one")

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge as the ledger holds it, with the head that it left behind."""

    request_id: str
    request_hash: str
    cost_units: int
    scopes: tuple[Scope, ...]
    facts: Facts
    at: str
    sequence: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRelease:
    """What is known of the bytes of a release, with the head that storing them left behind."""

    request_id: str
    sha256: str
    size: int
    at: str
    sequence: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a chain adds up to."""

    heads: frozenset[str]
    caps: Mapping[Scope, int]
    spent: Mapping[Scope, int]
    charges: Mapping[str, Charge]
    releases: Mapping[str, StoredRelease]


@dataclass(slots=True, kw_only=True)
class _Fold:
    """An account in the making."""

    heads: set[str] = field(default_factory=lambda: {GENESIS})
    caps: dict[Scope, int] = field(default_factory=dict)
    spent: dict[Scope, int] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    releases: dict[str, StoredRelease] = field(default_factory=dict)


def genesis_body(*, ledger_id: str, at: str) -> str:
    """Return the body of the first entry."""
    return _canonical({"kind": "ledger", "id": ledger_id, "at": at})


def cap_body(scope: Scope, *, cap: int, at: str) -> str:
    """Return the body that sets a cap."""
    return _canonical({"kind": "cap", "scope": _plain(scope), "cap": cap, "at": at})


def charge_body(
    *,
    request_id: str,
    request_hash: str,
    cost_units: int,
    scopes: tuple[Scope, ...],
    facts: Facts,
    at: str,
) -> str:
    """Return the body of a charge."""
    return _canonical(
        {
            "kind": "charge",
            "request": request_id,
            "hash": request_hash,
            "cost": cost_units,
            "scopes": [_plain(s) for s in scopes],
            "facts": dict(facts),
            "at": at,
        }
    )


def release_body(*, request_id: str, release: bytes, at: str) -> str:
    """Return the body of a stored release: its digest and size, not its bytes."""
    return _canonical(
        {
            "kind": "release",
            "request": request_id,
            "sha256": digest(release),
            "size": len(release),
            "at": at,
        }
    )


def digest(release: bytes) -> str:
    """Return the SHA-256 of a release in hexadecimal."""
    return hashlib.sha256(release).hexdigest()


def next_head(head: str, *, sequence: int, body: str) -> str:
    """Return SHA-256 over the head before, the place in the chain and the body."""
    return hashlib.sha256(f"{head}\n{sequence}\n{body}".encode()).hexdigest()


def replay(rows: Iterable[tuple[int, str, str]]) -> Account:
    """Add up entries (sequence, body, head) in order.

    Raises LedgerUnavailable naming the first entry that does not follow from those before it.
    """
    fold, head, expected = _Fold(), GENESIS, 0
    for sequence, body, stored_head in rows:
        expected += 1
        head = next_head(head, sequence=sequence, body=body)
        if sequence != expected or head != stored_head:
            raise broken(f"entry {expected} does not follow from the one before")
        try:
            _apply(fold, json.loads(body), sequence=sequence, head=head)
        except (KeyError, TypeError, ValueError, InvalidArgument) as err:
            raise broken(f"entry {sequence} cannot be read") from err
        fold.heads.add(head)
    if not expected:
        raise broken("it has no first entry")
    return Account(
        heads=frozenset(fold.heads),
        caps=fold.caps,
        spent=fold.spent,
        charges=fold.charges,
        releases=fold.releases,
    )


def broken(why: str) -> LedgerUnavailable:
    """Return the error of a ledger that does not hold what it held."""
    return LedgerUnavailable(
        f"the ledger is damaged: {why}",
        hint="keep the file as it is, and restore the newest copy whose head peers know",
    )


def _apply(fold: _Fold, entry: dict[str, Any], *, sequence: int, head: str) -> None:
    """Add one entry."""
    match entry["kind"]:
        case "ledger":
            if sequence != 1:
                raise ValueError("a second beginning")
        case "cap":
            fold.caps[_scope(entry["scope"])] = int(entry["cap"])
            fold.spent.setdefault(_scope(entry["scope"]), 0)
        case "charge":
            _apply_charge(fold, entry, sequence=sequence, head=head)
        case "release":
            if entry["request"] not in fold.charges or entry["request"] in fold.releases:
                raise ValueError("a release that was not charged, or a second one")
            fold.releases[entry["request"]] = StoredRelease(
                request_id=entry["request"],
                sha256=entry["sha256"],
                size=entry["size"],
                at=entry["at"],
                sequence=sequence,
                head=head,
            )
        case _:
            raise ValueError("an unknown kind of entry")


def _apply_charge(fold: _Fold, entry: dict[str, Any], *, sequence: int, head: str) -> None:
    """Add one charge to all its scopes."""
    charge = Charge(
        request_id=entry["request"],
        request_hash=entry["hash"],
        cost_units=entry["cost"],
        scopes=tuple(_scope(s) for s in entry["scopes"]),
        facts=entry["facts"],
        at=entry["at"],
        sequence=sequence,
        head=head,
    )
    if charge.request_id in fold.charges or charge.cost_units < 1 or not charge.scopes:
        raise ValueError("a charge that could not have been made")
    for scope in charge.scopes:
        fold.spent[scope] += charge.cost_units
        if fold.spent[scope] > fold.caps[scope]:
            raise ValueError("a charge above its cap")
    fold.charges[charge.request_id] = charge


def _plain(scope: Scope) -> list[str]:
    """Return a scope as plain data."""
    return [scope.kind.value, scope.name]


def _scope(plain: list[str]) -> Scope:
    """Read a scope."""
    kind, name = plain
    return Scope(kind=ScopeKind(kind), name=name)


def _canonical(entry: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces, in ASCII."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)
