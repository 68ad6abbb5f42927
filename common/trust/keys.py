"""Who is who: Ed25519 identities, what they sign, and the purposes that signatures are made for.

A public key is written ``ed25519:`` and 43 characters of URL-safe base64, as in plans, policies and
signatures. A signature covers its purpose and the bytes, so that what was signed as one thing is
never taken for another. Source: RFC 8032.

Bytes that travel as text, keys, signatures and statements, are compared as text. Base64 has several
texts for the same bytes where bits of the last character are left over. Here there is one, and
every other is refused, so that two texts are equal exactly when the bytes are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from silosynth.common.errors import InvalidArgument, OutputExists, Untrusted
from silosynth.common.files import create_file


def url_text(raw: bytes) -> str:
    """Return URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def url_bytes(text: str) -> bytes:
    """Read URL-safe base64 without padding; raise ValueError unless it is spelled as we spell.

    >>> url_bytes("AQ"), url_text(b"\\x01")
    (b'\\x01', 'AQ')
    """
    raw = _decoded(text + "=" * (-len(text) % 4), altchars=b"-_")
    if url_text(raw) != text:
        raise ValueError("is not in the one spelling of base64")
    return raw


def plain_text(raw: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(raw).decode()


def plain_bytes(text: str) -> bytes:
    """Read standard base64 with padding; raise ValueError unless it is spelled as we spell."""
    raw = _decoded(text, altchars=None)
    if plain_text(raw) != text:
        raise ValueError("is not in the one spelling of base64")
    return raw


def _decoded(text: str, *, altchars: bytes | None) -> bytes:
    """Decode base64; raise ValueError for anything else."""
    try:
        return base64.b64decode(text, altchars=altchars, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None


PREFIX = "ed25519:"
_KEY_PATTERN = re.compile(r"ed25519:[A-Za-z0-9_-]{43}")
_FIELD = 2**255 - 19
_SIGNATURE_BYTES = 64
_CONTEXT = b"silosynth-signature-1\0"


class Purpose(StrEnum):
    """What a signature is for; it is part of what is signed."""

    IDENTITY = "identity"
    PLAN = "plan"
    REQUEST = "request"
    VERDICT = "verdict"
    RECEIPT = "receipt"
    REFUSAL = "refusal"
    RESULT = "result"
    ACKNOWLEDGEMENT = "acknowledgement"
    AUDIT = "audit"
    SUM_STEP = "sum step"
    SUM_KEYS = "sum keys"
    SUM_SET = "sum set"
    DECISION = "decision"
    JOIN = "join"
    ROSTER = "roster"
    KIT = "kit"
    BACKUP = "backup"


def _public_key(text: str) -> str:
    """Return a well-formed public key in its one spelling; ValueError otherwise.

    Keys are compared as text, so a second text for one key would make it two: in base64, and in
    the point that the 32 bytes stand for (RFC 8032, section 5.1.3).
    """
    if not _KEY_PATTERN.fullmatch(text):
        raise ValueError("is no public key: 'ed25519:' and 43 characters are expected")
    try:
        raw = url_bytes(text.removeprefix(PREFIX))
    except ValueError:
        raise ValueError("is no public key: its last character is not as it is written") from None
    if int.from_bytes(raw, "little") % 2**255 >= _FIELD:
        raise ValueError("is no public key: its point is not in its one form")
    return text


def _signature_value(text: str) -> str:
    """Return 64 bytes in their one spelling; ValueError otherwise."""
    if len(url_bytes(text)) != _SIGNATURE_BYTES:
        raise ValueError("is no signature")
    return text


PublicKey = Annotated[str, AfterValidator(_public_key)]
"""A public key as text; pydantic fields of this type refuse anything else."""


class Signature(BaseModel):
    """Who signed, and the 64 bytes in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: PublicKey
    value: Annotated[str, AfterValidator(_signature_value)] = Field(max_length=86)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; its text form never shows the secret."""

    _private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the operating system's generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key from a PEM file (PKCS 8).

        Raises InvalidArgument when the file is missing, open to other users, or no Ed25519 key.
        """
        try:
            if path.stat().st_mode & 0o077:
                raise InvalidArgument(
                    f"{path} can be read by other users", hint=f"run 'chmod 600 {path}'"
                )
            private = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as err:
            raise InvalidArgument(f"cannot read the key {path}: {err.strerror}") from None
        except (ValueError, TypeError):
            raise InvalidArgument(f"{path} is no private key", hint="give a PEM file") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise InvalidArgument(f"{path} is not an Ed25519 key", hint="make one with 'certs'")
        return cls(private)

    def save(self, path: Path) -> None:
        """Write the key, readable by its owner alone; raise OutputExists when a file is there."""
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            create_file(path, pem)
        except FileExistsError:
            raise OutputExists(f"{path} exists", hint="a key is never written over") from None

    @property
    def public(self) -> PublicKey:
        """Return the public key as text."""
        return PREFIX + url_text(self._private.public_key().public_bytes_raw())

    def sign(self, data: bytes, *, purpose: Purpose) -> Signature:
        """Sign ``data`` for ``purpose``; the same input gives the same signature."""
        return Signature(
            key=self.public, value=url_text(self._private.sign(_signed(data, purpose)))
        )

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"


def check_signature(
    signature: Signature, data: bytes, *, purpose: Purpose, trusted: Collection[PublicKey]
) -> None:
    """Raise Untrusted unless one of the ``trusted`` keys signed ``data`` for ``purpose``."""
    if signature.key not in trusted:
        raise Untrusted(
            f"the {purpose.value} is signed by {signature.key}, which is not trusted here",
            hint="check the key against the plan's roster or the policy",
        )
    try:
        raw = url_bytes(signature.key.removeprefix(PREFIX))
        public = Ed25519PublicKey.from_public_bytes(raw)
        public.verify(url_bytes(signature.value), _signed(data, purpose))
    except (InvalidSignature, ValueError):
        raise Untrusted(f"the signature of the {purpose.value} does not hold") from None


def _signed(data: bytes, purpose: Purpose) -> bytes:
    """Return what is signed: context, purpose and data."""
    return _CONTEXT + purpose.value.encode() + b"\0" + data
