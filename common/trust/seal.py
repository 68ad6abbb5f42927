"""Signed envelopes: ``magic | header length | header JSON | body``.

The header says what the body is for and who signed it; the body is left as it is. Nothing of the
body is parsed before its signature holds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from silosynth.common.digest import canonical_json
from silosynth.common.errors import Untrusted
from silosynth.common.trust.keys import PublicKey, Purpose, Signature, SigningKey, check_signature

MAGIC = b"silosynth-sealed-1\n"
_MAX_HEADER_BYTES = 1024
_LENGTH = 4


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Purpose
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A body whose signature holds, and the key that made it."""

    body: bytes
    key: PublicKey


def seal(body: bytes, *, purpose: Purpose, key: SigningKey) -> bytes:
    """Sign ``body`` and put it into an envelope; the same input gives the same bytes."""
    header = _Header(purpose=purpose, signature=key.sign(body, purpose=purpose))
    raw = canonical_json(header.model_dump(mode="json"))
    return b"".join((MAGIC, len(raw).to_bytes(_LENGTH, "little"), raw, body))


def body_of(data: bytes) -> bytes:
    """Return what follows the header without checking or parsing anything; all where there is none.

    Only to name what was sent when it is refused.
    """
    start = len(MAGIC) + _LENGTH
    if len(data) < start or not data.startswith(MAGIC):
        return data
    return data[start + int.from_bytes(data[len(MAGIC) : start], "little") :]


def purpose_of(data: bytes) -> Purpose | None:
    """Return what an envelope says that it is for; nothing of it is checked by that."""
    header = _header(data)
    return None if header is None else header.purpose


def signer_of(data: bytes) -> PublicKey | None:
    """Return who an envelope says that it is of; nothing of it is checked by that."""
    header = _header(data)
    return None if header is None else header.signature.key


def _header(data: bytes) -> _Header | None:
    """Return the header of an envelope, if it has one that can be read."""
    start = len(MAGIC) + _LENGTH
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if not data.startswith(MAGIC) or length > _MAX_HEADER_BYTES:
        return None
    try:
        return _Header.model_validate_json(data[start : start + length])
    except ValidationError:
        return None


def unseal(data: bytes, *, purpose: Purpose, trusted: Collection[PublicKey]) -> Opened:
    """Return the body of an envelope that one of ``trusted`` sealed for ``purpose``.

    Raises Untrusted when it is no envelope, was made for something else, or does not hold.
    """
    start = len(MAGIC) + _LENGTH
    if len(data) < start or not data.startswith(MAGIC):
        raise Untrusted(f"the {purpose.value} is not signed", hint="it must come in an envelope")
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > min(_MAX_HEADER_BYTES, len(data) - start):
        raise Untrusted(f"the envelope of the {purpose.value} is damaged")
    try:
        header = _Header.model_validate_json(data[start : start + length])
    except ValidationError:
        raise Untrusted(f"the envelope of the {purpose.value} is damaged") from None
    if canonical_json(header.model_dump(mode="json")) != data[start : start + length]:
        raise Untrusted(f"the envelope of the {purpose.value} is not in its one spelling")
    if header.purpose is not purpose:
        raise Untrusted(f"a {header.purpose.value} was sent where a {purpose.value} is expected")
    body = data[start + length :]
    check_signature(header.signature, body, purpose=purpose, trusted=trusted)
    return Opened(body=body, key=header.signature.key)
