"""What relay, gateway and coordinator say besides releases: four small signed statements.

    coordinator -> silo     challenge (32 random bytes)      silo -> coordinator   Identity
    coordinator -> silo     sealed plan, signed receipts     silo -> coordinator   Verdict
    coordinator -> silo     sealed plan, sealed request      silo -> coordinator   release (wire)
    coordinator -> silo     sealed Result and sampler        silo -> coordinator   Acknowledgement

All travel in envelopes (:mod:`silosynth.common.trust.seal`) as canonical JSON, and only those who
hold
the keys of the plan's roster make them. In a simulation nothing is signed and no envelope is used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.certificate import Certificate
from silosynth.common.digest import DIGEST_PATTERN, canonical_json, digest_of
from silosynth.common.errors import RunFailed
from silosynth.common.messages.wire_version import UNTOLD
from silosynth.common.plan import Name
from silosynth.common.trust import PublicKey, Purpose, SigningKey, unseal
from silosynth.common.trust.seal import seal

_MAX_STATEMENT_BYTES = 16 * 2**20
_MAX_RESULT_BYTES = 2**30
"""A result holds all receipts, 30 MB of 10,000 silos; a silo's policy says how much it takes."""


class Answer(StrEnum):
    """What a silo says to a plan."""

    APPROVED = "approved"
    PENDING = "pending"
    REFUSED = "refused"


class _Statement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1

    def facts(self) -> dict[str, object]:
        """Return what is said, as JSON knows it."""
        return self.model_dump(mode="json")


class Left(BaseModel):
    """What is left of a project's budget, where a silo's policy makes that public.

    ``share`` is of the budget's zCDP rho, 0 to 1; ``epsilon`` and ``delta`` are the whole budget's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(ge=0, le=1)
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)

    def words(self) -> str:
        """Say it in one line."""
        return f"{self.share:.1%} of epsilon {self.epsilon:g} at delta {self.delta:g}"


class Identity(_Statement):
    """A silo's word on who it is, over the coordinator's fresh challenge, and what it speaks.

    The one statement that may say more than is known here: a neighbour says what it likes to say.
    ``left`` is by project, of those alone that its policy makes public.
    """

    model_config = ConfigDict(extra="ignore")

    silo: Name
    challenge: str = Field(pattern=r"^[0-9a-f]{64}$")
    wire: int = Field(default=UNTOLD, ge=UNTOLD, lt=2**16)
    left: dict[Name, Left] = Field(default_factory=dict, max_length=1_000)

    def facts(self) -> dict[str, object]:
        """Return what is said; nothing of a version to who knows of none, or of no budget."""
        silent = {name for name in ("wire", "left") if not getattr(self, name)}
        return {name: value for name, value in super().facts().items() if name not in silent}


class Verdict(_Statement):
    """Whether a silo will answer a plan's requests. ``code`` and ``message`` are public words."""

    silo: Name
    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    answer: Answer
    code: str | None = Field(default=None, max_length=64)
    message: str | None = Field(default=None, max_length=2000)
    hint: str | None = Field(default=None, max_length=2000)
    ledger_head: str | None = Field(default=None, max_length=128)


class Result(_Statement):
    """What a finished run hands back: the sampler's digest, its certificate, all receipts.

    ``receipts`` holds each silo's signed receipts without cells, base64 of
    :func:`silosynth.common.messages.release.encode_receipt`; peers keep them as proof of each
    other's ledgers.
    """

    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    sampler_digest: str = Field(pattern=DIGEST_PATTERN)
    certificate: Certificate
    silos: tuple[Name, ...]
    receipts: Mapping[Name, tuple[str, ...]]


class Acknowledgement(_Statement):
    """A silo's word on a result that it got: what it verified, or why it did not accept it."""

    silo: Name
    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    sampler_digest: str = Field(pattern=DIGEST_PATTERN)
    accepted: bool
    message: str | None = Field(default=None, max_length=2000)


_PURPOSES: Mapping[type[_Statement], Purpose] = {
    Identity: Purpose.IDENTITY,
    Verdict: Purpose.VERDICT,
    Result: Purpose.RESULT,
    Acknowledgement: Purpose.ACKNOWLEDGEMENT,
}
Statement = TypeVar("Statement", Identity, Verdict, Result, Acknowledgement)


def encode_statement(statement: _Statement, *, key: SigningKey | None = None) -> bytes:
    """Return the bytes of a statement: an envelope with ``key``, canonical JSON without."""
    body = canonical_json(statement.facts())
    return body if key is None else seal(body, purpose=_PURPOSES[type(statement)], key=key)


def decode_statement(
    data: bytes, kind: type[Statement], *, trusted: Collection[PublicKey] | None = None
) -> Statement:
    """Parse a statement of ``kind``.

    Args: trusted: the keys that may have signed it; None where nothing is signed.
    Raises Untrusted when no trusted key signed it, RunFailed when it is not of this kind.
    """
    if len(data) > (_MAX_RESULT_BYTES if kind is Result else _MAX_STATEMENT_BYTES):
        raise RunFailed(f"a {kind.__name__.lower()} of {len(data)} bytes is too large")
    body = data if trusted is None else unseal(data, purpose=_PURPOSES[kind], trusted=trusted).body
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise RunFailed(f"a message is no valid {kind.__name__.lower()}") from None


class Bundle(BaseModel):
    """A result with its sampler, as it goes back to the silos.

    Bytes: ``length of the statement | statement | sampler``; the statement holds the digest of
    the sampler, so a signature over the one covers both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    statement: bytes
    sampler: bytes

    def encode(self) -> bytes:
        """Return the bytes of the bundle."""
        return len(self.statement).to_bytes(4, "little") + self.statement + self.sampler

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Split the bytes of a bundle; raise RunFailed when they are cut off."""
        length = int.from_bytes(data[:4], "little")
        if len(data) < 4 or length > len(data) - 4:
            raise RunFailed("a result is cut off")
        return cls(statement=data[4 : 4 + length], sampler=data[4 + length :])

    def open(self, *, trusted: Collection[PublicKey] | None = None) -> Result:
        """Return the result once its signature and the sampler's digest hold.

        Raises Untrusted or RunFailed.
        """
        result = decode_statement(self.statement, Result, trusted=trusted)
        if result.sampler_digest != digest_sampler(self.sampler):
            raise RunFailed("the sampler is not the one that the result names")
        return result


def digest_sampler(sampler: bytes) -> str:
    """Return ``sha256:`` and the hash of a sampler file."""
    return digest_of(sampler)
