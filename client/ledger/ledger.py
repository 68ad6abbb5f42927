"""The ledger: the silo's durable record of charges, releases and decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Self

from silosynth.client.ledger.batch import Batch, HeldBatch
from silosynth.client.ledger.checks import check_text, check_units, check_vector
from silosynth.client.ledger.copied import Copied, named_entry, records_after
from silosynth.client.ledger.fence import (
    Proofs,
    check_head,
    fence_path,
    missing,
    old_copy,
    raise_fence,
    read_fence,
)
from silosynth.client.ledger.file import (
    create_file,
    new_image,
    open_file,
    read_account,
    read_entries,
)
from silosynth.client.ledger.mirror import Mirror, note_length, open_mirror
from silosynth.client.ledger.rows import (
    add_charge,
    add_release,
    cap_and_spent,
    last_entry,
    set_cap,
)
from silosynth.client.ledger.statements import Clock, Statements, time_text
from silosynth.common.accounting import ORDER_UNIT, Vector
from silosynth.common.audit import (
    Account,
    Cap,
    Charge,
    Decision,
    Facts,
    Parted,
    Scope,
    StoredRelease,
    charge_body,
    encode_audit,
    release_body,
)
from silosynth.common.errors import LedgerUnavailable

Reached = Callable[[str], None]


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class Ledger(Statements):
    """Own one ledger file: charge before data is read, store before anything is sent.

    Guarantees, through any crash, on disks that keep what they acknowledge:
    - no scope's ``spent`` is ever above its cap, and none falls but at another Rényi order;
    - a request id is charged once, whatever happens afterwards;
    - once a release is stored, its request gets those bytes and no others;
    - a stored release is given again to the consumer who paid for it, and to no other;
    - a decision about a plan of one signer is undone by a newer one alone, and both stand in the
      chain; a plan is approved for one signer and for no other, for good;
    - after an error of the disk everything is refused until the ledger is opened again;
    - once fenced, it is refused until a ledger that holds all of the fence is in its place.

    One process at a time may have a ledger open; its threads may share it, and what they ask for
    at one time is made durable together.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        path: Path,
        scopes: Collection[Scope],
        clock: Clock,
        reached: Reached,
    ) -> None:
        """Take an open, checked file; use :meth:`open`."""
        super().__init__(batch, clock=clock)
        self._path = path
        self._scopes = frozenset(scopes)
        self._reached = reached
        self._mirror: Mirror | None = None

    @staticmethod
    def create(path: Path, *, clock: Clock = utc_now) -> None:
        """Make an empty ledger where there is none.

        Opening never makes one: a ledger that is gone has to be noticed, not replaced.
        """
        create_file(path, at=time_text(clock()))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        caps: Mapping[Scope, int | Cap],
        known_heads: Collection[str] = (),
        recoveries: Collection[str] = (),
        mirror: Path | None = None,
        clock: Clock = utc_now,
        reached: Reached = lambda _: None,
    ) -> Self:
        """Open a ledger, check all of it, and set its caps.

        A cap below what is spent already is kept at what is spent: nothing is left then.

        Args:
            caps: most units of 2^-40 of zCDP rho that each scope may ever spend; a Cap with an
                order also admits sums over a random part of the persons at their Rényi cost.
            known_heads: as for :meth:`present_heads`.
            recoveries: heads that recoveries gave it; it knows each as its own or as lost.
            mirror: a copy, best on another disk, that is written before anybody hears of a commit;
                one that the ledger had before at another path is retired.
            reached: called with "before-charge" and "before-store" just before a transaction,
                "after-charge" and "after-store" just after it is durable, by the asking thread;
                "before-mirror" and "mirrored" around the mirror's part of it, by any.

        Raises LedgerUnavailable when the file is missing, damaged, an old copy, read-only or open
        elsewhere, and for a mirror that cannot be written or knows more.
        """
        ledger = cls(Batch(open_file(path)), path=path, scopes=(), clock=clock, reached=reached)
        return ledger._checked(caps, known_heads, recoveries=recoveries, mirror=mirror)

    @classmethod
    def hold(
        cls,
        image: bytes,
        *,
        path: Path,
        caps: Mapping[Scope, int | Cap],
        clock: Clock = utc_now,
        reached: Reached = lambda _: None,
    ) -> Self:
        """Open a ledger's bytes in memory, as :meth:`open` opens a file: for simulations alone.

        Nothing is durable before its holder has written :meth:`image` somewhere, so whoever holds
        it has to do that before an answer leaves.

        Args: path: the file that the bytes are of, beside which its fence stands.
        """
        batch = HeldBatch(image)
        ledger = cls(batch, path=path, scopes=(), clock=clock, reached=reached)
        return ledger._checked(caps, (), recoveries=(), mirror=None)

    @staticmethod
    def blank(*, clock: Clock = utc_now) -> bytes:
        """Return the bytes of an empty ledger to :meth:`hold`, or to write to a file."""
        return new_image(at=time_text(clock()))

    def image(self) -> bytes:
        """Return the ledger's bytes as they are now: those of its file, whole."""
        return self._batch.image()

    def rest(self) -> None:
        """Let go of the memory of a ledger that is held, until it is asked something."""
        self._batch.rest()

    def _checked(
        self,
        caps: Mapping[Scope, int | Cap],
        known_heads: Collection[str],
        *,
        recoveries: Collection[str],
        mirror: Path | None,
    ) -> Self:
        """Check all of the ledger, set its caps and return it; close it where it does not hold."""
        try:
            self._take_rosters(self.verify().rosters)
            self._stand_behind(read_fence(fence_path(self._path)))
            self._know(recoveries)
            self.present_heads(known_heads)
            self._mirrored(mirror)
            self.grant(caps)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Let another process open the file."""
        self._batch.close()
        if self._mirror is not None:
            with suppress(LedgerUnavailable):  # what the start noted still stands
                note_length(self._mirror, ledger=self._path)
            self._mirror.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def grant(self, caps: Mapping[Scope, int | Cap]) -> None:
        """Set the caps of scopes, durably and all at once; those of other scopes stay.

        A scope pays for nothing until a cap was granted since the ledger was opened.
        """
        whole = {s: c if isinstance(c, Cap) else Cap(units=c) for s, c in caps.items()}
        for scope, cap in whole.items():
            check_units(cap.units, f"the cap of {scope}", least=0)
            if cap.order is not None:
                check_units(cap.order, f"the order of {scope}", least=ORDER_UNIT + 1)
        at = time_text(self._clock())

        def set_all(connection: Connection) -> None:
            for scope in sorted(whole):
                set_cap(connection, scope, cap=whole[scope], at=at)

        self._batch.write(set_all)
        self._scopes |= caps.keys()

    def charge(
        self,
        request_id: str,
        request_hash: str,
        *,
        cost_units: int,
        rdp: Vector | None = None,
        scopes: Collection[Scope] | None = None,
        facts: Facts | None = None,
        part: Parted | None = None,
    ) -> bytes | None:
        """Charge a request to all its scopes or to none; return its release if one is stored.

        None means: charged, durably; now read, draw noise and :meth:`store`. A request that was
        charged but has no stored release gets None again without a new charge. That is sound: what
        was drawn before was not stored, so it was not sent, and whoever asks learns from one draw
        of the noise alone, the one that is stored first. Nothing is ever refunded, so a request
        that fails after its charge has spent it.

        Args:
            cost_units: zCDP rho in units of 2^-40, rounded up, at least 1.
            rdp: divergences at the ledger's orders, for a sum over a random part of the persons; a
                scope with an order is charged by them.
            scopes: those that pay; every scope that has a cap, by default.
            facts: public facts to record beside the charge, such as the plan's digest.
            part: the part of a split whose rows alone are read; everybody pays without it.

        Raises RequestConflict when the id was used with another hash or cost,
        BudgetExceeded when a scope has less than that left or has no cap, LedgerUnavailable when
        the charge cannot be made durable.
        """
        check_text(request_id, "request id")
        check_text(request_hash, "request hash")
        check_units(cost_units, "the cost", least=1)
        check_vector(rdp)
        capped = self._scopes
        payers = tuple(sorted(capped if scopes is None else set(scopes)))
        body = charge_body(
            request_id=request_id,
            request_hash=request_hash,
            cost_units=cost_units,
            scopes=payers,
            facts=facts or {},
            at=time_text(self._clock()),
            rdp=rdp,
            part=part,
        )
        request = (request_id, request_hash, cost_units)
        self._reached("before-charge")
        stored = self._batch.write(
            lambda connection: add_charge(
                connection, body, request=request, payers=payers, capped=capped, rdp=rdp, part=part
            )
        )
        self._reached("after-charge")
        return stored

    def store(self, request_id: str, release: bytes) -> bytes:
        """Store a release durably and return the bytes to send.

        Guarantees: the bytes returned are those that were stored first for this request, whoever
        stored them, so that two answers to one charge never both leave.

        Raises RequestConflict when the request was not charged, LedgerUnavailable when the bytes
        cannot be made durable.
        """
        body = release_body(request_id=request_id, release=release, at=time_text(self._clock()))
        self._reached("before-store")
        stored = self._batch.write(
            lambda connection: add_release(connection, body, request_id=request_id, release=release)
        )
        self._reached("after-store")
        return stored

    def decisions(self) -> tuple[Decision, ...]:
        """Return every decision, in order."""
        return self.verify().decisions

    def present_heads(self, heads: Collection[str], *, released: Collection[str] = ()) -> None:
        """Check what peers hold; fence the ledger when any of it is not here.

        The caller has made sure that each head and each request id of ``released`` comes from a
        receipt that this very silo signed: then a ledger that lacks the head, or the release of
        the request, is an old copy or a fork, and would spend or draw noise twice. What is missing
        is written to a file beside the ledger, which restoring the ledger does not undo.

        Raises LedgerUnavailable when the ledger is an old copy; then it refuses everything.
        """
        for head in heads:
            check_head(head)
        proofs = Proofs(heads=tuple(heads), released=tuple(released))
        lacking = self._batch.read(lambda connection: missing(connection, proofs))
        if lacking:
            self._batch.refuse(old_copy())
            raise_fence(fence_path(self._path), lacking)
            raise old_copy()

    def spent(self, scope: Scope) -> int:
        """Return the units that a scope has spent; 0 for one that never had a cap."""
        return self._batch.read(lambda connection: cap_and_spent(connection, scope))[1]

    def remaining(self, scope: Scope) -> int:
        """Return the units that a scope has left; 0 for one that has no cap."""
        cap, spent = self._batch.read(lambda connection: cap_and_spent(connection, scope))
        return cap - spent if scope in self._scopes else 0

    @property
    def head(self) -> str:
        """Return the hash of the last entry, which stands for all before it."""
        return self._batch.read(last_entry)[1]

    def charges(self) -> tuple[Charge, ...]:
        """Return every charge, in order."""
        return tuple(self.verify().charges.values())

    def releases(self) -> tuple[StoredRelease, ...]:
        """Return what is known of every stored release, in order."""
        return tuple(self.verify().releases.values())

    def verify(self) -> Account:
        """Check all of the ledger again; raise LedgerUnavailable when it does not hold."""
        return self._batch.read(read_account)

    def audit(self) -> bytes:
        """Return all entries as a file that a third party can check without the data."""
        return encode_audit(self._batch.read(lambda connection: tuple(read_entries(connection))))

    def copied(self, *, upto: int | None = None) -> Copied:
        """Return the place and head of an entry, the last by default, and the records up to it.

        The same place gives the same records, whatever was added since.
        """

        def read(connection: Connection) -> Copied:
            last = last_entry(connection)[0] if upto is None else upto
            ledger_id, head = named_entry(connection, last)
            records = tuple(records_after(connection, 0, upto=last))
            return Copied(ledger_id=ledger_id, entries=last, head=head, records=records)

        return self._batch.read(read)

    def _mirrored(self, path: Path | None) -> None:
        """Go on with the mirror, from before the first write of this process on."""

        def begin(connection: Connection) -> Mirror | None:
            return open_mirror(connection, ledger=self._path, path=path, reached=self._reached)

        self._mirror = self._batch.read(begin)
        if self._mirror is not None:
            self._batch.follow_with(self._mirror.follow)

    def _stand_behind(self, fence: Proofs) -> None:
        """Raise LedgerUnavailable unless the ledger holds all of its fence."""
        if self._batch.read(lambda connection: missing(connection, fence)):
            raise LedgerUnavailable(
                "the ledger is fenced: it is an old copy, without a head or release of a peer's",
                hint="put the newest copy in its place, and leave the fence where it is",
            )

    def _know(self, recoveries: Collection[str]) -> None:
        """Raise LedgerUnavailable unless the ledger knows of these recoveries."""
        heads = Proofs(heads=tuple(recoveries))
        if self._batch.read(lambda connection: missing(connection, heads)):
            raise LedgerUnavailable(
                "the ledger is an old copy: it knows nothing of a recovery that is noted here",
                hint="move it away, and run 'silosynth silo recover' with the newest that you have",
            )
