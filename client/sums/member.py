"""A silo's part in a sum: make keys, sign one set, mask once.

What protects the silo, whatever the coordinator does:

- its keys are fresh for each request, and signed for one plan, session and request;
- it signs a set only when all keys in it are signed by the plan's roster, it is large enough for
  the plan's noise, and its own keys are in it as it made them; after that only a smaller set in
  place of a larger one, and none once a request of the session was charged;
- it masks for the set that it signed last, and only when every member has signed it;
- masks depend on the set and on all that the request has in common with other silos', so vectors
  made for different sets or questions add up to noise;
- one masked vector leaves for each request, which the ledger sees to.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from silosynth.client.noise import NoiseShare
from silosynth.client.sums.mask import mask_vector, new_secret, peers_in, public_of, ring_of
from silosynth.client.sums.store import SessionRecord, SumStore
from silosynth.common.errors import Refused, RequestConflict, Untrusted
from silosynth.common.messages import (
    AgreedSet,
    KeyAdvert,
    Request,
    SetVote,
    SumReceipt,
    SumStep,
    check_votes,
    encode_sum_statement,
    pack,
    read_set,
    request_ids,
    roster_digest,
    unpack,
    unpack_all,
)
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey, url_text

T = TypeVar("T")


class Once(Protocol):
    """How what follows from some bytes alone, whichever silo reads them, is worked out."""

    def __call__(self, key: tuple[object, ...], work: Callable[[], T], /) -> T:
        """Return what ``work`` returns; ``key`` is all that it depends on."""


def each_time(_key: tuple[object, ...], work: Callable[[], T]) -> T:
    """Work it out each time it is asked for, as every silo of its own does."""
    return work()


class SumMember:
    """Own one silo's sum sessions; its threads may share it.

    ``key`` signs what it says; None in simulations, where plans have no roster.
    """

    def __init__(
        self, *, silo: str, store: SumStore, key: SigningKey | None, once: Once = each_time
    ) -> None:
        """Take the silo's name, its store and its key.

        Args: once: a seam for simulations, whose silos read the same statements.
        """
        self._silo = silo
        self._store = store
        self._key = key
        self._once = once
        self._lock = threading.Lock()

    def agree(self, plan: Plan, step: SumStep) -> bytes:
        """Return the silo's signed keys of a session, or its vote on the set of all keys.

        Spends nothing. The same step gets the same bytes again.

        Raises Refused, RequestConflict, Untrusted or InvalidPlan, all in public words.
        """
        self._check(plan, step.session)
        if step.plan_digest != plan.digest:
            raise Refused("the step belongs to another plan")
        with self._lock:
            if not step.adverts:
                return self._advertise(plan, step.session)
            return self._vote(plan, step.session, step.adverts)

    def begin(self, plan: Plan, request: Request) -> AgreedSet:
        """Return the set that a request is masked for, once every member has signed it.

        The session's set is final, durably, before this returns; call it before charging.

        Raises Refused or Untrusted when the proof is not complete or names another set than this
        silo signed.
        """
        proof = request.sum
        if proof is None:
            raise Refused("the request does not say for which set of silos to mask")
        self._check(plan, proof.session)
        agreed = self._read(plan, proof.session, proof.adverts)
        self._once(
            ("votes", agreed.digest, proof.votes),
            lambda: check_votes(unpack_all(proof.votes), plan=plan, agreed=agreed),
        )
        with self._lock:
            record = self._store.load(plan.digest, proof.session)
            if record is None or record.set_digest != agreed.digest:
                raise Refused("this silo did not sign that set of participants")
            if not record.begun:
                self._store.save(record.model_copy(update={"begun": True}))
        return agreed

    def mask(
        self,
        noised: Sequence[np.ndarray],
        *,
        plan: Plan,
        request: Request,
        agreed: AgreedSet,
        share: NoiseShare,
    ) -> tuple[tuple[np.ndarray, ...], SumReceipt]:
        """Mask the noised marginals of one request, and say for which sum.

        Raises Refused when the secret of this request is gone: its vector was stored before.
        """
        record = self._store.load(plan.digest, agreed.session)
        secret = record.secrets.get(request.key_id) if record else None
        if secret is None:
            raise Refused(f"the keys of request {request.id} are gone")
        ring = self._once(
            ("ring", agreed.digest), lambda: ring_of(agreed.members, set_digest=agreed.digest)
        )
        peers = peers_in(ring, own=self._silo, peers=plan.peers)
        masked = mask_vector(
            np.concatenate(noised),
            bits=plan.sum_bits,
            own=self._silo,
            secret=unpack(secret),
            peers={peer: agreed.key(peer, request.phase) for peer in peers},
            transcript=_transcript(request, agreed=agreed, bits=plan.sum_bits),
        )
        signed = masked.view(np.dtype(f"<i{masked.itemsize}"))
        stops = np.cumsum([len(m) for m in noised])[:-1]
        receipt = SumReceipt(
            session=agreed.session,
            set_digest=agreed.digest,
            bits=plan.sum_bits,
            alone_units=share.alone_units,
        )
        return tuple(np.split(signed, stops)), receipt

    def forget(self, plan: Plan, request: Request) -> None:
        """Drop the secret of a request whose masked vector is stored; of training, after the last.

        Every round's masks are derived from that secret and from the round, so they are never the
        same; but whoever gets hold of it before the last round can take off the masks before.
        """
        last = plan.training.rounds - 1 if plan.training else 0
        if request.training is not None and request.training.round < last:
            return
        with self._lock:
            record = self._store.load(plan.digest, request.sum.session) if request.sum else None
            if record is not None and request.key_id in record.secrets:
                rest = {name: s for name, s in record.secrets.items() if name != request.key_id}
                self._store.save(record.model_copy(update={"secrets": rest}))

    def _check(self, plan: Plan, session: int) -> None:
        """Raise Refused unless the plan has such a session and this silo can sign for it."""
        if not plan.masked or session > plan.attempts:
            raise Refused(f"plan {plan.id} has no session {session} of sums")
        pinned = plan.roster.get(self._silo)
        if (self._key.public if self._key else None) != pinned or self._silo not in plan.silo_names:
            raise Untrusted(f"the roster of plan {plan.id} does not have this silo's key")

    def _advertise(self, plan: Plan, session: int) -> bytes:
        """Return the session's keys, made once and kept."""
        record = self._store.load(plan.digest, session)
        if record is None:
            names = request_ids(plan, silo=self._silo, session=session).values()
            secrets = {name: new_secret() for name in names}
            advert = KeyAdvert(
                plan_digest=plan.digest,
                session=session,
                silo=self._silo,
                roster_digest=roster_digest(plan),
                keys={name: url_text(public_of(secret)) for name, secret in secrets.items()},
            )
            record = SessionRecord(
                plan_digest=plan.digest,
                session=session,
                advert=pack(encode_sum_statement(advert, key=self._key)),
                secrets={name: pack(secret) for name, secret in secrets.items()},
            )
            self._store.save(record)
        return unpack(record.advert)

    def _read(self, plan: Plan, session: int, adverts: Sequence[str]) -> AgreedSet:
        """Return the set that signed keys make, once all of it holds for the plan."""
        return self._once(
            ("set", plan.digest, session, adverts),
            lambda: read_set(unpack_all(adverts), plan=plan, session=session),
        )

    def _vote(self, plan: Plan, session: int, adverts: Sequence[str]) -> bytes:
        """Sign a set, durably before the signature leaves."""
        agreed = self._read(plan, session, adverts)
        record = self._store.load(plan.digest, session)
        if record is None or record.advert not in adverts:
            raise Untrusted("the set does not have this silo's own keys")
        if record.vote is not None and record.set_digest == agreed.digest:
            return unpack(record.vote)
        if record.vote is not None and (
            record.begun or not set(agreed.members) < set(record.members)
        ):
            raise RequestConflict(
                f"this silo signed another set of participants in session {session}",
                hint="begin another session",
            )
        vote = encode_sum_statement(
            SetVote(
                plan_digest=plan.digest,
                session=session,
                silo=self._silo,
                set_digest=agreed.digest,
            ),
            key=self._key,
        )
        changes = {"vote": pack(vote), "set_digest": agreed.digest, "members": agreed.members}
        self._store.save(record.model_copy(update=changes))
        return vote


def _transcript(request: Request, *, agreed: AgreedSet, bits: int) -> bytes:
    """Return what the masks of a request depend on, the same at every member."""
    parts = (agreed.digest, request.phase.value, request.asked_of_all, str(bits))
    return hashlib.sha256("\n".join(parts).encode()).digest()
