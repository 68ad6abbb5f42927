"""The ledger: the silo's durable record of charges and releases."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from silosynth.client.ledger_chain import (
    Account,
    Charge,
    Facts,
    Scope,
    ScopeKind,
    StoredRelease,
    broken,
    cap_body,
    charge_body,
    next_head,
    release_body,
)
from silosynth.client.ledger_file import create_file, open_file, read_account, translated
from silosynth.common.cost import RHO_UNIT
from silosynth.common.errors import (
    BudgetExceeded,
    InvalidArgument,
    LedgerUnavailable,
    RequestConflict,
)

__all__ = ["Charge", "Ledger", "Scope", "ScopeKind", "StoredRelease"]

Clock = Callable[[], datetime]
LARGEST_UNITS = 2**62
MAX_ID = 256


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class Ledger:
    """Own one ledger file: charge before data is read, store before anything is sent.

    Guarantees, through any crash, on disks that keep what they acknowledge:
    - no scope's ``spent`` is ever above its cap, and none ever falls;
    - a request id is charged once, whatever happens afterwards;
    - once a release is stored, its request gets those bytes and no others;
    - after an error of the disk everything is refused until the ledger is opened again.

    One process at a time may have a ledger open; its threads may share it.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, scopes: tuple[Scope, ...], clock: Clock
    ) -> None:
        """Take an open, checked file; use :meth:`open`."""
        self._connection = connection
        self._scopes = scopes
        self._clock = clock
        self._lock = threading.RLock()
        self._failure: str | None = None

    @staticmethod
    def create(path: Path, *, clock: Clock = utc_now) -> None:
        """Make an empty ledger where there is none.

        Opening never makes one: a ledger that is gone has to be noticed, not replaced.
        """
        create_file(path, at=_text(clock()))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        caps: Mapping[Scope, int],
        known_heads: Collection[str] = (),
        clock: Clock = utc_now,
    ) -> Self:
        """Open a ledger, check all of it, and set its caps.

        A cap below what is spent already is kept at what is spent: nothing is left then.

        Args:
            caps: most units of 2^-40 of zCDP rho that each scope may ever spend.
            known_heads: heads that peers hold; a ledger that lacks one is an old copy.

        Raises LedgerUnavailable when the file is missing, damaged, an old copy, read-only or open
        elsewhere.
        """
        for scope, cap in caps.items():
            _check_units(cap, f"the cap of {scope}", least=0)
        connection = open_file(path)
        try:
            account = read_account(connection)
            if not set(known_heads) <= account.heads:
                raise LedgerUnavailable(
                    "the ledger is an old copy: a head that a peer holds is not in it",
                    hint="restore the newest copy; an old one would spend twice",
                )
            ledger = cls(connection, scopes=tuple(sorted(caps)), clock=clock)
            ledger._set_caps(caps, account)
        except BaseException:
            connection.close()
            raise
        return ledger

    def close(self) -> None:
        """Let another process open the file."""
        with self._lock:
            self._failure = self._failure or "the ledger is closed"
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def charge(
        self,
        request_id: str,
        request_hash: str,
        *,
        cost_units: int,
        scopes: Collection[Scope] | None = None,
        facts: Facts | None = None,
    ) -> bytes | None:
        """Charge a request to all its scopes or to none; return its release if one is stored.

        None means: charged, durably; now read, draw noise and :meth:`store`. A request that was
        charged but has no stored release gets None again without a new charge. That is sound: what
        was drawn before was not stored, so it was not sent, and whoever asks learns from one draw
        of the noise alone, the one that is stored first. Nothing is ever refunded, so a request
        that fails after its charge has spent it.

        Args:
            cost_units: zCDP rho in units of 2^-40, rounded up, at least 1.
            scopes: those that pay; every scope that has a cap, by default.
            facts: public facts to record beside the charge, such as the plan's digest.

        Raises RequestConflict when the id was used with another hash or cost,
        BudgetExceeded when a scope has less than that left or has no cap, LedgerUnavailable when
        the charge cannot be made durable.
        """
        _check_text(request_id, "request id")
        _check_text(request_hash, "request hash")
        _check_units(cost_units, "the cost", least=1)
        payers = self._scopes if scopes is None else tuple(sorted(set(scopes)))
        body = charge_body(
            request_id=request_id,
            request_hash=request_hash,
            cost_units=cost_units,
            scopes=payers,
            facts=facts or {},
            at=_text(self._clock()),
        )
        with self._transaction():
            known = self._row("SELECT hash, cost FROM requests WHERE id = ?", request_id)
            if known is not None:
                if known != (request_hash, cost_units):
                    raise RequestConflict(
                        f"request {request_id} was made before with other content",
                        hint="give a new request a new id",
                    )
                return self._release(request_id)
            self._spend(cost_units, payers)
            self._append(body)
            self._connection.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?)",
                (request_id, request_hash, cost_units, self._last()[0]),
            )
        return None

    def store(self, request_id: str, release: bytes) -> bytes:
        """Store a release durably and return the bytes to send.

        Guarantees: the bytes returned are those that were stored first for this request, whoever
        stored them, so that two answers to one charge never both leave.

        Raises RequestConflict when the request was not charged, LedgerUnavailable when the bytes
        cannot be made durable.
        """
        body = release_body(request_id=request_id, release=release, at=_text(self._clock()))
        with self._transaction():
            if self._row("SELECT 1 FROM requests WHERE id = ?", request_id) is None:
                raise RequestConflict(
                    f"request {request_id} was not charged", hint="charge it before it is answered"
                )
            stored = self._release(request_id)
            if stored is not None:
                return stored
            self._append(body)
            self._connection.execute(
                "INSERT INTO releases VALUES (?, ?, ?)", (request_id, self._last()[0], release)
            )
        return bytes(release)

    def spent(self, scope: Scope) -> int:
        """Return the units that a scope has spent; 0 for one that never had a cap."""
        with self._transaction():
            return self._cap_and_spent(scope)[1]

    def remaining(self, scope: Scope) -> int:
        """Return the units that a scope has left; 0 for one that has no cap."""
        with self._transaction():
            return self._left(scope)

    @property
    def head(self) -> str:
        """Return the hash of the last entry, which stands for all before it."""
        with self._transaction():
            return self._last()[1]

    def charges(self) -> tuple[Charge, ...]:
        """Return every charge, in order."""
        return tuple(self.verify().charges.values())

    def releases(self) -> tuple[StoredRelease, ...]:
        """Return what is known of every stored release, in order."""
        return tuple(self.verify().releases.values())

    def verify(self) -> Account:
        """Check all of the ledger again; raise LedgerUnavailable when it does not hold."""
        with self._transaction():
            return read_account(self._connection)

    def _set_caps(self, caps: Mapping[Scope, int], account: Account) -> None:
        """Record the caps that differ from those on file."""
        with self._transaction():
            for scope, cap in sorted(caps.items()):
                effective = max(cap, account.spent.get(scope, 0))
                if account.caps.get(scope) == effective:
                    continue
                self._append(cap_body(scope, cap=effective, at=_text(self._clock())))
                self._connection.execute(
                    "INSERT INTO scopes VALUES (?, ?, ?, 0) "
                    "ON CONFLICT (kind, name) DO UPDATE SET cap = excluded.cap",
                    (*_key(scope), effective),
                )

    def _spend(self, cost_units: int, scopes: tuple[Scope, ...]) -> None:
        """Add the cost to every scope; raise BudgetExceeded naming one that has too little."""
        if not scopes:
            raise BudgetExceeded("no scope pays for the request", hint="grant one a budget")
        for scope in scopes:
            left = self._left(scope)
            if cost_units > left:
                raise BudgetExceeded(
                    f"the request costs {_rho(cost_units)} of zCDP rho; {scope} has "
                    f"{_rho(left)} left",
                    hint="ask for less, or have the silo's operator grant more",
                )
            self._connection.execute(
                "UPDATE scopes SET spent = spent + ? WHERE kind = ? AND name = ?",
                (cost_units, *_key(scope)),
            )

    def _cap_and_spent(self, scope: Scope) -> tuple[int, int]:
        """Return the units that a scope may spend and has spent."""
        row = self._row("SELECT cap, spent FROM scopes WHERE kind = ? AND name = ?", *_key(scope))
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _left(self, scope: Scope) -> int:
        """Return what is left under the caps that the ledger was opened with."""
        cap, spent = self._cap_and_spent(scope)
        return cap - spent if scope in self._scopes else 0

    def _last(self) -> tuple[int, str]:
        """Return place and hash of the last entry."""
        row = self._row("SELECT sequence, head FROM entries ORDER BY sequence DESC LIMIT 1")
        if row is None:
            raise broken("it lost its entries")
        return int(row[0]), str(row[1])

    def _append(self, body: str) -> None:
        """Add an entry to the chain."""
        last, head = self._last()
        following = next_head(head, sequence=last + 1, body=body)
        self._connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?)", (last + 1, body, following)
        )

    def _release(self, request_id: str) -> bytes | None:
        """Return the stored release of a request."""
        row = self._row("SELECT content FROM releases WHERE request = ?", request_id)
        return None if row is None else bytes(row[0])

    def _row(self, query: str, *values: str | int) -> Any:
        """Return the first row of a query inside a transaction, or None."""
        return self._connection.execute(query, values).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do what is inside all at once and durably, or not at all."""
        with self._lock:
            if self._failure is not None:
                raise LedgerUnavailable(self._failure, hint="open it again")
            try:
                with translated("write"):
                    self._connection.execute("BEGIN IMMEDIATE")
                    try:
                        yield
                        self._connection.execute("COMMIT")
                    finally:
                        if self._connection.in_transaction:
                            self._connection.execute("ROLLBACK")
            except LedgerUnavailable as err:
                self._failure = err.message
                raise


def _key(scope: Scope) -> tuple[str, str]:
    """Return a scope as the file holds it."""
    return scope.kind.value, scope.name


def _text(time: datetime) -> str:
    """Return a time in UTC to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds")


def _rho(units: int) -> str:
    """Return units as a rho with six digits."""
    return f"{units / RHO_UNIT:.6g}"


def _check_units(units: int, what: str, *, least: int) -> None:
    """Raise InvalidArgument unless ``units`` is a whole number that the file can hold."""
    whole = isinstance(units, int) and not isinstance(units, bool)
    if not whole or not least <= units <= LARGEST_UNITS:
        raise InvalidArgument(
            f"{what} is {units!r}", hint=f"give a whole number from {least} to 2^62"
        )


def _check_text(text: str, what: str) -> None:
    """Raise InvalidArgument unless ``text`` is short and printable."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID or not text.isprintable():
        raise InvalidArgument(f"the {what} is not usable", hint="1 to 256 printable characters")
