"""How silos agree on whose vectors are added: signed keys, one set, one signature each.

    coordinator -> silo   SumStep without adverts     silo -> coordinator   KeyAdvert
    coordinator -> silo   SumStep with all adverts    silo -> coordinator   SetVote
    coordinator -> silo   request with a SumProof     silo -> coordinator   masked release (wire)

A *session* is one such agreement; it covers every phase of its plan, with a fresh key for each
request. Nothing here is secret: what protects a silo is that it masks for one set only, whose
members have all signed it (see :mod:`silosynth.client.sums.member`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.digest import DIGEST_PATTERN, canonical_json, digest_of
from silosynth.common.errors import InvalidPlan, Refused, Untrusted
from silosynth.common.messages.proof import Envelope, Session, unpack
from silosynth.common.messages.request import request_id
from silosynth.common.plan import MOST_MEMBERS, Name, PhaseName, Plan
from silosynth.common.trust import PublicKey, Purpose, SigningKey, unseal, url_bytes
from silosynth.common.trust.seal import seal

MaskKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
RequestId = Annotated[str, Field(max_length=256)]
FEWEST_HONEST = 2
_FIELD = 2**255 - 19
_PROBE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
"""Any scalar that is a multiple of 8 finds a point of small order; this one is no secret."""


class _Statement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    session: Session


class SumStep(_Statement):
    """What the coordinator asks of a silo: its keys, or its vote on the set of these adverts."""

    adverts: tuple[Envelope, ...] = Field(default=(), max_length=MOST_MEMBERS)


class KeyAdvert(_Statement):
    """A silo's fresh X25519 keys, one for each request that it will answer in the session."""

    silo: Name
    roster_digest: str = Field(pattern=DIGEST_PATTERN)
    keys: Mapping[RequestId, MaskKey] = Field(max_length=8)


class SetVote(_Statement):
    """A silo's word that it will mask for this set of participants, and for no other."""

    silo: Name
    set_digest: str = Field(pattern=DIGEST_PATTERN)


_PURPOSES: Mapping[type[_Statement], Purpose] = {
    SumStep: Purpose.SUM_STEP,
    KeyAdvert: Purpose.SUM_KEYS,
    SetVote: Purpose.SUM_SET,
}
Statement = TypeVar("Statement", SumStep, KeyAdvert, SetVote)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedSet:
    """The participants of one session, in the order of their names, and their keys."""

    plan_digest: str
    session: int
    members: tuple[str, ...]
    adverts: Mapping[str, KeyAdvert]
    digest: str

    def key(self, silo: str, phase: PhaseName) -> bytes:
        """Return the raw X25519 key of a member for one phase."""
        name = request_id(self.plan_digest, phase=phase, silo=silo, session=self.session)
        return _raw(self.adverts[silo].keys[name])


def encode_sum_statement(statement: _Statement, *, key: SigningKey | None = None) -> bytes:
    """Return the bytes of a statement: an envelope with ``key``, canonical JSON without."""
    body = canonical_json(statement.model_dump(mode="json"))
    return body if key is None else seal(body, purpose=_PURPOSES[type(statement)], key=key)


def decode_sum_statement(
    data: bytes, kind: type[Statement], *, trusted: Collection[PublicKey] | None
) -> Statement:
    """Parse a statement; raise Untrusted when no trusted key signed it, InvalidPlan otherwise.

    Args: trusted: the keys that may have signed it; None where nothing is signed.
    """
    body = data if trusted is None else unseal(data, purpose=_PURPOSES[kind], trusted=trusted).body
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise InvalidPlan(f"a statement about a sum is no valid {kind.__name__}") from None


def roster_digest(plan: Plan) -> str:
    """Return ``sha256:`` and the hash of the plan's silos and their keys."""
    return _roster_digest(plan.silos, tuple(sorted(plan.roster.items())))


def read_advert(data: bytes, *, plan: Plan, session: int) -> KeyAdvert:
    """Check one silo's keys against the plan.

    Raises Untrusted when the silo that it names did not sign it, or a key is a point of small
    order or stands twice, InvalidPlan when it belongs to another plan or session.
    """
    return _read_advert(data, plan=plan, named=_Named.of(plan), session=session)


def read_set(adverts: Sequence[bytes], *, plan: Plan, session: int) -> AgreedSet:
    """Check the keys of all participants and return the set that they make.

    Raises what :func:`read_advert` raises, and Refused when the set is too small for the plan's
    noise, names a silo twice, or two requests share a key.
    """
    if not plan.masked or session > plan.attempts:
        raise Refused(f"plan {plan.id} has no session {session} of sums")
    named = _Named.of(plan)
    read = [_read_advert(data, plan=plan, named=named, session=session) for data in adverts]
    members = tuple(advert.silo for advert in read)
    if list(members) != sorted(set(members)):
        raise Refused("the participants of a sum must stand in the order of their names, once each")
    least = len(plan.silos) - plan.absent
    if len(members) < least or len(members) - plan.colluders < FEWEST_HONEST:
        raise Refused(
            f"{len(members)} silos would take part; plan {plan.id} needs at least {least}",
            hint="start the missing silos",
        )
    keys = [key for advert in read for key in advert.keys.values()]
    if len(set(keys)) != len(keys):
        raise Untrusted("two requests of a sum have the same key")
    entries = [[a.silo, hashlib.sha256(d).hexdigest()] for a, d in zip(read, adverts, strict=True)]
    return AgreedSet(
        plan_digest=named.plan_digest,
        session=session,
        members=members,
        adverts={advert.silo: advert for advert in read},
        digest=digest_of(
            canonical_json({"plan": named.plan_digest, "session": session, "members": entries})
        ),
    )


def check_votes(votes: Sequence[bytes], *, plan: Plan, agreed: AgreedSet) -> None:
    """Raise Untrusted unless every member, in order, signed exactly this set."""
    if len(votes) != len(agreed.members):
        raise Untrusted(f"{len(votes)} of {len(agreed.members)} participants signed their set")
    for silo, data in zip(agreed.members, votes, strict=True):
        read_vote(data, silo=silo, plan=plan, agreed=agreed)


def read_vote(data: bytes, *, silo: str, plan: Plan, agreed: AgreedSet) -> SetVote:
    """Return a silo's vote; raise Untrusted unless it signed exactly this set."""
    trusted = (plan.roster[silo],) if plan.roster else None
    vote = decode_sum_statement(data, SetVote, trusted=trusted)
    stated = (vote.silo, vote.plan_digest, vote.session, vote.set_digest)
    if stated != (silo, agreed.plan_digest, agreed.session, agreed.digest):
        raise Untrusted(f"silo {silo} signed another set of participants")
    return vote


def request_ids(plan: Plan, *, silo: str, session: int) -> dict[PhaseName, str]:
    """Return the id of a silo's request in each phase."""
    digest = plan.digest
    return {
        p.name: request_id(digest, phase=p.name, silo=silo, session=session) for p in plan.phases
    }


@lru_cache(16)
def _roster_digest(silos: tuple[str, ...], roster: tuple[tuple[str, str], ...]) -> str:
    """Return the same of names and keys: each of a thousand silos' statements states it."""
    return digest_of(canonical_json({"silos": list(silos), "roster": dict(roster)}))


def unpack_all(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Return statements from their text form."""
    return tuple(unpack(text) for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """The digests that every statement about a plan names, worked out once."""

    plan_digest: str
    roster_digest: str

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return a plan's digests."""
        return cls(plan_digest=plan.digest, roster_digest=roster_digest(plan))


def _read_advert(data: bytes, *, plan: Plan, named: _Named, session: int) -> KeyAdvert:
    """Check one silo's keys; see :func:`read_advert`."""
    body, signer = data, None
    if plan.roster:
        opened = unseal(data, purpose=Purpose.SUM_KEYS, trusted=tuple(plan.roster.values()))
        body, signer = opened.body, opened.key
    advert = decode_sum_statement(body, KeyAdvert, trusted=None)
    if advert.silo not in plan.silo_names:
        raise InvalidPlan(f"silo {advert.silo!r} is not in plan {plan.id}")
    if signer != plan.roster.get(advert.silo):
        raise Untrusted(f"the keys of silo {advert.silo} are signed by another silo")
    stated = (advert.plan_digest, advert.session, advert.roster_digest, set(advert.keys))
    names = {
        request_id(named.plan_digest, phase=p.name, silo=advert.silo, session=session)
        for p in plan.phases
    }
    if stated != (named.plan_digest, session, named.roster_digest, names):
        raise InvalidPlan(f"the keys of silo {advert.silo} belong to another plan or session")
    if len(set(advert.keys.values())) < len(advert.keys):
        raise Untrusted(f"two requests of silo {advert.silo} have the same key")
    for key in advert.keys.values():
        _check_key(key, silo=advert.silo)
    return advert


def _check_key(key: str, *, silo: str) -> None:
    """Raise Untrusted for a key that is not in its one form, or a point of small order.

    X25519 ignores the highest bit and takes the rest modulo 2^255 - 19 (RFC 7748, section 5), so
    other bytes, and other texts, can stand for the same point: two keys that are compared as texts
    would differ and be the same. With a point of small order every secret would be zero.
    """
    try:
        raw = _raw(key)
    except ValueError:
        raise Untrusted(f"a key of silo {silo} is not in its one spelling") from None
    if int.from_bytes(raw, "little") >= _FIELD:
        raise Untrusted(f"a key of silo {silo} is not in its one form")
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(raw))
    except ValueError:
        raise Untrusted(f"a key of silo {silo} is a point of small order") from None


def _raw(key: str) -> bytes:
    """Return the 32 bytes of a key; raise ValueError when it is spelled otherwise."""
    return url_bytes(key)
