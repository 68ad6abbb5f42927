"""The bytes of a release, and of a refusal.

A release is ``magic | header length | header JSON | cells``: the header is canonical JSON, the
cells are little-endian int64 in query order. Only a :class:`Release` and a refusal have an
encoding, so a raw count cannot be sent by mistake.

The header of a signed answer holds the receipt or refusal and the silo's signature over its
canonical JSON. A receipt states the digest of the cells, so it can be checked without them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from silosynth.common import errors
from silosynth.common.digest import DIGEST_PATTERN, canonical_json, digest_of
from silosynth.common.errors import Refused, RunFailed, SilosynthError, Untrusted
from silosynth.common.trust import PublicKey, Purpose, Signature, SigningKey, check_signature

RECORD = "silosynth"
UNREACHABLE = "unreachable"
"""The field of a relay's answer that stands for a gateway that it cannot reach."""
IDENTIFY = "identify"
PROPOSE = "propose"
MEASURE = "measure"
DELIVER = "deliver"
AGREE = "agree"
"""Flower's record and message names, which relay and coordinator share."""

MAGIC = b"silosynth-release-1\n"
MAX_HEADER_BYTES = 4 * 2**20
_KINDS: dict[str, type[SilosynthError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SilosynthError)
}


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SumReceipt(_Header):
    """Which sum a masked release belongs to, and what it would cost if its masks failed."""

    session: int = Field(ge=1)
    set_digest: str = Field(pattern=DIGEST_PATTERN)
    bits: Literal[32, 64]
    alone_units: int = Field(ge=0, description="zCDP rho of the silo's own share of the noise")


class Receipt(_Header):
    """What a silo says about a release: whose it is, what it cost, where its ledger stands."""

    status: Literal["released"] = "released"
    request_id: str = Field(max_length=256)
    request_hash: str = Field(pattern=DIGEST_PATTERN)
    plan_digest: str = Field(pattern=DIGEST_PATTERN)
    silo: str = Field(max_length=64)
    cells: tuple[int, ...]
    cells_digest: str = Field(pattern=DIGEST_PATTERN, description="of the cells as sent")
    cost_units: int = Field(ge=0, description="zCDP rho in units of 2^-40, rounded up")
    ledger_head: str = Field(max_length=128)
    sum: SumReceipt | None = Field(default=None, description="in shared trust: cells are masked")
    map_digest: str | None = Field(
        default=None,
        pattern=DIGEST_PATTERN,
        description="of the map that the silo's table is read by, under a key of the silo's own",
    )

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write a map where there is one alone: older receipts keep their signature."""
        data: dict[str, Any] = handler(self)
        return {k: v for k, v in data.items() if v is not None or k != "map_digest"}

    @property
    def cell(self) -> np.dtype[np.signedinteger]:
        """Return how one cell is written."""
        return np.dtype("<i4" if self.sum is not None and self.sum.bits == 32 else "<i8")


class Refusal(_Header):
    """Why a silo does not answer, in public words."""

    status: Literal["refused"] = "refused"
    request_id: str | None = None
    silo: str = Field(max_length=64)
    code: str = Field(max_length=64)
    message: str = Field(max_length=2000)
    hint: str | None = Field(default=None, max_length=2000)


class _Answer(_Header):
    """What stands before the cells: a receipt or refusal, and the silo's signature over it."""

    answer: Annotated[Receipt | Refusal, Field(discriminator="status")]
    signature: Signature | None = None


class Release(BaseModel):
    """A receipt with its noised marginals, each (cells,) int64; int32 in sums modulo 2^32."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    receipt: Receipt
    marginals: tuple[np.ndarray, ...]
    signature: Signature | None = None


def digest_cells(marginals: Sequence[np.ndarray]) -> str:
    """Return ``sha256:`` and the hash of the cells as they are sent."""
    return digest_of(_payload(marginals))


def encode_release(release: Release, *, key: SigningKey | None = None) -> bytes:
    """Return the bytes of a release, its receipt signed with ``key`` if there is one."""
    shapes = tuple(m.shape for m in release.marginals)
    if shapes != tuple((c,) for c in release.receipt.cells):
        raise RunFailed("the marginals of a release do not have the cells that its receipt states")
    narrow = release.receipt.cell.itemsize == 4
    if any((m.dtype == np.int32) != narrow for m in release.marginals):
        raise RunFailed("the cells of a release are not as wide as its receipt states")
    payload = _payload(release.marginals)
    if release.receipt.cells_digest != digest_of(payload):
        raise RunFailed("the cells of a release are not those of its receipt")
    return _frame(_sign(release.receipt, key=key), payload)


def encode_refusal(refusal: Refusal, *, key: SigningKey | None = None) -> bytes:
    """Return the bytes of a refusal, signed with ``key`` if there is one."""
    return _frame(_sign(refusal, key=key), b"")


def encode_receipt(release: Release) -> bytes:
    """Return the receipt of a release without its cells, for those who keep proof of it."""
    return _frame(_Answer(answer=release.receipt, signature=release.signature), b"")


def decode_release(
    data: bytes, *, trusted: Collection[PublicKey] | None = None
) -> Release | Refusal:
    """Parse the bytes of a release or refusal.

    Args: trusted: the keys that may have signed it; None where nothing is signed, as in a
        simulation.
    Raises RunFailed when the bytes are not exactly one answer, Untrusted when no trusted key
    signed it.
    """
    header, payload = _unframe(data)
    answer = _verified(header, trusted=trusted)
    if isinstance(answer, Refusal):
        if payload:
            raise _damaged("a refusal carries cells")
        return answer
    if any(c < 1 for c in answer.cells) or sum(answer.cells) * answer.cell.itemsize != len(payload):
        raise _damaged("its length does not match its cells")
    flat = np.frombuffer(payload, dtype=answer.cell).astype(answer.cell.newbyteorder("="))
    stops = np.cumsum(np.asarray(answer.cells, dtype=np.int64))[:-1]
    marginals = tuple(np.split(flat, stops))
    if answer.cells_digest != digest_of(payload):
        raise _damaged("its cells are not those of its receipt")
    return Release(receipt=answer, marginals=marginals, signature=header.signature)


def is_answer(data: bytes) -> bool:
    """Say whether bytes are a release or refusal, and not a statement."""
    return data.startswith(MAGIC)


def decode_receipt(data: bytes, *, trusted: Collection[PublicKey]) -> Receipt:
    """Parse a signed receipt without cells; raise RunFailed or Untrusted as for a release."""
    header, payload = _unframe(data)
    answer = _verified(header, trusted=trusted)
    if payload or isinstance(answer, Refusal):
        raise _damaged("a receipt alone is expected")
    return answer


def refusal_error(refusal: Refusal) -> SilosynthError:
    """Return the error that a refusal stands for, naming the silo."""
    kind = _KINDS.get(refusal.code, Refused)
    return kind(f"silo {refusal.silo}: {refusal.message}", hint=refusal.hint)


def _payload(marginals: Sequence[np.ndarray]) -> bytes:
    """Return the cells as little-endian integers, of 8 bytes unless they are int32."""
    if not marginals:
        return b""
    cells = np.concatenate(marginals)
    wide = "<i4" if cells.dtype == np.int32 else "<i8"
    return cells.astype(wide, casting="safe", copy=False).tobytes()


def _canonical(header: _Header) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return canonical_json(header.model_dump(mode="json"))


def _purpose(answer: Receipt | Refusal) -> Purpose:
    """Return what a signature over ``answer`` is for."""
    return Purpose.RECEIPT if isinstance(answer, Receipt) else Purpose.REFUSAL


def _sign(answer: Receipt | Refusal, *, key: SigningKey | None) -> _Answer:
    """Sign an answer if there is a key."""
    if key is None:
        return _Answer(answer=answer)
    signature = key.sign(_canonical(answer), purpose=_purpose(answer))
    return _Answer(answer=answer, signature=signature)


def _verified(header: _Answer, *, trusted: Collection[PublicKey] | None) -> Receipt | Refusal:
    """Return the answer once its signature holds."""
    answer = header.answer
    if trusted is None:
        return answer
    if header.signature is None:
        raise Untrusted(f"the {_purpose(answer).value} is not signed")
    check_signature(header.signature, _canonical(answer), purpose=_purpose(answer), trusted=trusted)
    return answer


def _frame(header: _Answer, payload: bytes) -> bytes:
    """Join magic, header length, header and cells."""
    raw = _canonical(header)
    return b"".join((MAGIC, len(raw).to_bytes(4, "little"), raw, payload))


def _unframe(data: bytes) -> tuple[_Answer, bytes]:
    """Split the bytes of a message; raise RunFailed when they are not ours."""
    start = len(MAGIC) + 4
    if len(data) < start or not data.startswith(MAGIC):
        raise _damaged("it does not begin as one")
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - start):
        raise _damaged("its header is cut off")
    try:
        header = _Answer.model_validate_json(data[start : start + length])
    except ValidationError as err:
        raise _damaged("its header is not valid") from err
    return header, data[start + length :]


def _damaged(why: str) -> RunFailed:
    """Return the error for bytes that are not a release."""
    return RunFailed(f"a silo's answer is not a release: {why}")
