"""A silo's request to be in a roster: its two public keys, signed by the key that it asks for.

A signature of one's own shows that whoever asks holds the private key: nobody can have another's
key entered under a name of theirs. A silo that changes its key has the old one sign as well; where
that one is lost it cannot, and everybody is shown so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidArgument, Untrusted
from silosynth.common.plan import Name
from silosynth.common.trust import PublicKey, Purpose, Signature, SigningKey, check_signature

MOST_REQUEST_BYTES = 4096


def _node_key(text: str) -> str:
    """Refuse what is no public key of a SuperNode, in one line."""
    try:
        key = load_ssh_public_key(text.encode("ascii"))
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not text.isprintable():
        raise ValueError("is no public key of a SuperNode")
    return text


class Asked(BaseModel):
    """What a silo asks for. ``replaces`` is the key that stood for it before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    project: Name
    silo: Name
    key: PublicKey
    supernode: Annotated[str, AfterValidator(_node_key)] = Field(max_length=512)
    replaces: PublicKey | None = None


class JoinRequest(BaseModel):
    """What a silo asks for, with its own signature, and that of the key before it if it has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    asked: Asked
    signature: Signature
    by_previous: Signature | None = None

    def check(self) -> Asked:
        """Return what is asked for once every signature holds; raise Untrusted otherwise."""
        body = _body(self.asked)
        check_signature(self.signature, body, purpose=Purpose.JOIN, trusted={self.asked.key})
        if self.by_previous is not None:
            if self.asked.replaces is None:
                raise Untrusted("the request is signed by a key before, and names none")
            former = {self.asked.replaces}
            check_signature(self.by_previous, body, purpose=Purpose.JOIN, trusted=former)
        return self.asked


def make_request(
    asked: Asked, *, key: SigningKey, previous: SigningKey | None = None
) -> JoinRequest:
    """Sign what a silo asks for, with the key that it had before where it still has it."""
    body = _body(asked)
    return JoinRequest(
        asked=asked,
        signature=key.sign(body, purpose=Purpose.JOIN),
        by_previous=None if previous is None else previous.sign(body, purpose=Purpose.JOIN),
    )


def encode_request(request: JoinRequest) -> bytes:
    """Return the file of a request: a line of JSON."""
    return canonical_json(request.model_dump(mode="json")) + b"\n"


def decode_request(data: bytes, *, origin: str = "the file") -> JoinRequest:
    """Read a request whose signatures hold; raise InvalidArgument or Untrusted otherwise."""
    try:
        if len(data) > MOST_REQUEST_BYTES:
            raise ValueError("too large")
        request = JoinRequest.model_validate_json(data)
    except ValueError:  # pydantic's is one
        raise InvalidArgument(
            f"{origin} is no request to join", hint="give what 'silosynth silo join' wrote"
        ) from None
    request.check()
    return request


def _body(asked: Asked) -> bytes:
    """Return what is signed."""
    return canonical_json(asked.model_dump(mode="json"))
