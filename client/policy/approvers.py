"""Signed decisions: named approvers decide on machines of their own, and a silo counts their words.

What an approver signs names the silo, the plan's digest and the key that signed the plan, so it is
worth nothing for another silo, another plan, or the same plan from another coordinator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.audit import ApproverWord, RecordedWord, Verdict
from silosynth.common.digest import DIGEST_PATTERN, canonical_json
from silosynth.common.errors import InvalidArgument, Untrusted
from silosynth.common.plan import Name
from silosynth.common.trust import PublicKey, Purpose, SigningKey, plain_bytes, plain_text, unseal
from silosynth.common.trust.seal import seal

MOST_DECISION_BYTES = 8192
_MOST_AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvers:
    """The names of those whose signatures count, by their keys, and how many a plan needs."""

    names: Mapping[PublicKey, str] = field(default_factory=dict)
    needed: int = 0


def _instant(text: str) -> str:
    """Refuse what is no time in UTC to the microsecond: such texts sort as times do."""
    try:
        same = time_text(datetime.fromisoformat(text)) == text
    except (ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError("is no time in UTC to the microsecond")
    return text


def _printable(text: str) -> str:
    """Refuse what cannot stand in a ledger."""
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


class SignedDecision(BaseModel):
    """What an approver signs, in canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    silo: Name
    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    signer: PublicKey = Field(description="the coordinator's key that signed the plan")
    verdict: Verdict
    why: Annotated[str, AfterValidator(_printable)] = Field(min_length=1, max_length=2000)
    signed_at: Annotated[str, AfterValidator(_instant)] = Field(max_length=40)


def time_text(time: datetime) -> str:
    """Return a time in UTC to the microsecond; later ones sort after earlier ones."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def sign_decision(decision: SignedDecision, *, key: SigningKey) -> bytes:
    """Return a decision in an envelope of its approver."""
    body = canonical_json(decision.model_dump(mode="json"))
    return seal(body, purpose=Purpose.DECISION, key=key)


def read_word(data: bytes, *, approvers: Approvers, silo: str, now: datetime) -> ApproverWord:
    """Return what a named approver of this silo signed.

    Raises Untrusted when no approver that the policy names signed it, InvalidArgument when it is no
    decision, is for another silo, or is dated ahead of this silo's clock.
    """
    if len(data) > MOST_DECISION_BYTES:
        raise InvalidArgument(f"a decision of over {MOST_DECISION_BYTES} bytes was given")
    if not approvers.names:
        raise Untrusted("the policy names no approvers", hint="name them under [[approvers]]")
    opened = unseal(data, purpose=Purpose.DECISION, trusted=approvers.names.keys())
    try:
        decision = SignedDecision.model_validate_json(opened.body)
    except ValidationError:
        raise InvalidArgument("the file holds no decision", hint="have it signed anew") from None
    if decision.silo != silo:
        raise InvalidArgument(f"the decision is for silo {decision.silo!r}, not for {silo!r}")
    if datetime.fromisoformat(decision.signed_at) > now + _MOST_AHEAD:
        raise InvalidArgument(
            f"the decision is dated {decision.signed_at}, which is yet to come",
            hint="set the clock where it was signed, and sign it anew",
        )
    return ApproverWord(
        plan_digest=decision.plan_digest,
        signer=decision.signer,
        verdict=decision.verdict,
        why=decision.why,
        by=approvers.names[opened.key],
        key=opened.key,
        signed_at=decision.signed_at,
        statement=plain_text(data),
    )


def says(word: ApproverWord) -> bool:
    """Say whether the signed statement of a word, as a ledger or an audit holds it, says the same.

    That the key is an approver's is for whoever asks to compare.
    """
    try:
        opened = unseal(plain_bytes(word.statement), purpose=Purpose.DECISION, trusted={word.key})
        decision = SignedDecision.model_validate_json(opened.body)
    except (Untrusted, ValueError):
        return False
    signed = (decision.plan_digest, decision.signer, decision.verdict, decision.why)
    return (*signed, decision.signed_at) == (
        word.plan_digest,
        word.signer,
        word.verdict,
        word.why,
        word.signed_at,
    )


def approved_by(words: Iterable[RecordedWord], approvers: Approvers) -> tuple[str, ...]:
    """Return the present approvers who approve, by name; each counts once, whatever it is called.

    ``words`` holds the newest word of each key.
    """
    approving = {r.word.key for r in words if r.word.verdict is Verdict.APPROVED}
    return tuple(sorted(name for key, name in approvers.names.items() if key in approving))


def enough(words: Iterable[RecordedWord], approvers: Approvers) -> bool:
    """Say whether as many approvers approve as the policy needs, and it needs any."""
    return 0 < approvers.needed <= len(approved_by(words, approvers))
