"""Gateways and coordinators that break their word, to see that the kill matrix notices."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from silosynth.client.gateway import Gateway
from silosynth.client.gateway import gateway as gateway_module
from silosynth.client.gateway.proposals import payers
from silosynth.client.gateway.verify import VerifiedRequest, charge_facts
from silosynth.client.ledger import ledger
from silosynth.client.ledger import rows as ledger_rows
from silosynth.client.policy import load_policy
from silosynth.client.sums import SumMember, SumStore
from silosynth.client.sums import member as secure_sum
from silosynth.client.sums.mask import new_secret
from silosynth.client.sums.store import SessionRecord
from silosynth.common.errors import Refused, SilosynthError
from silosynth.common.messages import (
    AgreedSet,
    Receipt,
    Release,
    SumReceipt,
    digest_cells,
    encode_release,
)
from silosynth.server.coordinator import Event
from silosynth.server.driver import Journal

SECONDS_LATE = 60.0


def gateway(name: str | None, kind: type[Gateway], *, policy: Path) -> type[Gateway]:
    """Return the gateway of ``policy``, or one that differs as a mutant's name says."""
    if name == "charge-after-read":
        return _with(kind, _charge_after_read)
    if name == "store-after-send":
        return _with(kind, _store_after_send)
    if name == "charge-again-after-restart":
        return _with(kind, _charge_again)
    if name == "noise-again":
        return _with(kind, _noise_again)
    if name == "refund-at-restart":
        _refund_when_opened()
    if name == "quote-the-table":
        _quote(policy)
    if name == "masks-anew":
        _mask_anew()
    if name == "sums-in-memory":
        SumStore.save, SumStore.load = _remember, _recall  # type: ignore[method-assign]  # a mutant
    if name == "secret-dropped-early":
        return type(kind.__name__, (kind,), {"_mask": _mask_once})
    if name == "secret-kept":
        SumMember.forget = lambda *_: None  # type: ignore[method-assign]  # a mutant
    return kind


def coordinator(name: str | None) -> None:
    """Change this process's coordinator as a mutant's name says."""
    if name == "journal-late":
        _journal_late()


def _with(kind: type[Gateway], release: Callable[[Any, VerifiedRequest], bytes]) -> type[Gateway]:
    """Return a gateway with another walk of a request."""
    return type(kind.__name__, (kind,), {"_release": release})


def _agreed(self: Any, verified: VerifiedRequest) -> AgreedSet | None:
    """Return the set of a sum."""
    request, plan = verified.request, verified.proposed.plan
    return None if request.sum is None else self._member().begin(plan, request)


def _charge(self: Any, verified: VerifiedRequest, *, request_id: str) -> bytes | None:
    stored: bytes | None = self._ledger.charge(
        request_id,
        verified.digest,
        cost_units=verified.share.cost_units,
        scopes=payers(verified.proposed),
        facts=charge_facts(verified, agreed=_agreed(self, verified)),
    )
    return stored


def _draw(self: Any, verified: VerifiedRequest) -> bytes:
    """Read, noise and encode, as the gateway does."""
    proposed = verified.proposed
    noised = self._noised(verified)
    agreed = _agreed(self, verified)
    noised, summed = (noised, None) if agreed is None else self._mask(verified, noised, agreed)
    self._reached("noised")
    receipt = Receipt(
        request_id=verified.id,
        request_hash=verified.digest,
        plan_digest=proposed.digest,
        silo=self._silo,
        cells=verified.cells,
        cells_digest=digest_cells(noised),
        cost_units=verified.share.cost_units,
        ledger_head=self._ledger.head,
        sum=summed,
    )
    return encode_release(Release(receipt=receipt, marginals=noised), key=self._key)


def _charge_after_read(self: Any, verified: VerifiedRequest) -> bytes:
    """Read the table first."""
    data = _draw(self, verified)
    stored = _charge(self, verified, request_id=verified.id)
    return self._ledger.store(verified.id, data) if stored is None else stored


def _store_after_send(self: Any, verified: VerifiedRequest) -> bytes:
    """Answer, and store a while later."""
    stored = _charge(self, verified, request_id=verified.id)
    if stored is not None:
        return stored
    data = _draw(self, verified)

    def late() -> None:
        time.sleep(SECONDS_LATE)
        self._ledger.store(verified.id, data)

    threading.Thread(target=late, daemon=True).start()
    return data


def _charge_again(self: Any, verified: VerifiedRequest) -> bytes:
    """Forget with the process which requests were charged."""
    stored = _charge(self, verified, request_id=f"{verified.id}/{os.getpid()}")
    if stored is not None:
        return stored
    return self._ledger.store(f"{verified.id}/{os.getpid()}", _draw(self, verified))


def _noise_again(self: Any, verified: VerifiedRequest) -> bytes:
    """Charge once, but draw for every answer."""
    first = _charge(self, verified, request_id=verified.id) is None
    data = _draw(self, verified)
    if first:
        self._ledger.store(verified.id, data)
    return data


def _refund_when_opened() -> None:
    """Take the last charge back when the ledger is opened and no release followed it.

    It waits for another second of the clock, or the second charge might be the very same entry.
    """
    real = ledger.open_file  # type: ignore[attr-defined]  # replaced where it is used

    def open_file(path: Any) -> Any:
        connection = real(path)
        last, _ = ledger_rows.last_entry(connection)
        row = connection.execute(
            "SELECT id, cost FROM requests WHERE charged = ?", (last,)
        ).fetchone()
        if row is not None:
            time.sleep(1.1)
            connection.execute("BEGIN")
            connection.execute("DELETE FROM requests WHERE id = ?", (row[0],))
            connection.execute("DELETE FROM entries WHERE sequence = ?", (last,))
            connection.execute("UPDATE scopes SET spent = spent - ?1 WHERE spent >= ?1", (row[1],))
            connection.execute("COMMIT")
        return connection

    ledger.open_file = open_file  # type: ignore[attr-defined]  # replaced where it is used


def _quote(policy: Path) -> None:
    """Say in an error what could not be read, as somebody who wants to help would."""
    table = Path(str(load_policy(policy).datasets[0].path))

    def quote(_: Exception) -> SilosynthError:
        return Refused(f"the table could not be read: {table.read_bytes()[:40]!r}")

    gateway_module.public_error = quote  # type: ignore[attr-defined]  # replaced where it is used


def _mask_anew() -> None:
    """Make masks with a new secret where another process made the keys."""
    made: set[bytes] = set()
    real = secure_sum.mask_vector  # type: ignore[attr-defined]  # replaced where it is used

    def new() -> bytes:
        made.add(secret := new_secret())
        return secret

    def mask(values: Any, *, secret: bytes, **named: Any) -> Any:
        return real(values, secret=secret if secret in made else new_secret(), **named)

    secure_sum.new_secret, secure_sum.mask_vector = new, mask  # type: ignore[attr-defined]  # replaced where it is used


_SUMS: dict[tuple[str, int], SessionRecord] = {}


def _remember(_: SumStore, record: SessionRecord) -> None:
    """Keep what was said in a sum for as long as the process lives."""
    _SUMS[record.plan_digest, record.session] = record


def _recall(_: SumStore, plan_digest: str, session: int) -> SessionRecord | None:
    """Return it."""
    return _SUMS.get((plan_digest, session))


def _mask_once(
    self: Any, verified: VerifiedRequest, noised: Any, agreed: AgreedSet
) -> tuple[Any, SumReceipt]:
    """Drop the secret once its masks are made, before the vector is stored."""
    masked: tuple[Any, SumReceipt] = Gateway._mask(self, verified, noised, agreed)
    self._member().forget(verified.proposed.plan, verified.request)
    return masked


def _journal_late() -> None:
    """Write an event only when the next one comes."""
    real = Journal.record
    held: list[Event] = []

    def record(self: Journal, event: Event) -> None:
        for earlier in held:
            real(self, earlier)
        held[:] = [event]

    Journal.record = record  # type: ignore[method-assign]  # a mutant
