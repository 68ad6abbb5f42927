"""The bytes of a release, and of a refusal.

A release is ``magic | header length | header JSON | cells``: the header is canonical JSON, the
cells are little-endian int64 in query order. Only a :class:`Release` and a refusal have an
encoding, so a raw count cannot be sent by mistake.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from silosynth.common import errors
from silosynth.common.errors import Refused, RunFailed, SilosynthError

RECORD = "silosynth"
IDENTIFY = "identify"
MEASURE = "measure"
"""Flower's record and message names, which relay and coordinator share."""

MAGIC = b"silosynth-release-1\n"
MAX_HEADER_BYTES = 4 * 2**20
_WIDTH = 8
_KINDS: dict[str, type[SilosynthError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SilosynthError)
}


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Receipt(_Header):
    """What a silo says about a release: whose it is, what it cost, where its ledger stands."""

    status: Literal["released"] = "released"
    request_id: str = Field(max_length=256)
    request_hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    silo: str = Field(max_length=64)
    cells: tuple[int, ...]
    cost_units: int = Field(ge=0, description="zCDP rho in units of 2^-40, rounded up")
    ledger_head: str = Field(max_length=128)


class Refusal(_Header):
    """Why a silo does not answer, in public words."""

    status: Literal["refused"] = "refused"
    request_id: str | None = None
    silo: str = Field(max_length=64)
    code: str = Field(max_length=64)
    message: str = Field(max_length=2000)
    hint: str | None = Field(default=None, max_length=2000)


_HEADER: TypeAdapter[Receipt | Refusal] = TypeAdapter(
    Annotated[Receipt | Refusal, Field(discriminator="status")]
)


class Release(BaseModel):
    """A receipt with its noised marginals, each (cells,) int64."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    receipt: Receipt
    marginals: tuple[np.ndarray, ...]


def encode_release(release: Release) -> bytes:
    """Return the bytes of a release."""
    shapes = tuple(m.shape for m in release.marginals)
    if shapes != tuple((c,) for c in release.receipt.cells):
        raise RunFailed("the marginals of a release do not have the cells that its receipt states")
    payload = b"".join(m.astype("<i8", casting="safe").tobytes() for m in release.marginals)
    return _frame(release.receipt, payload)


def encode_refusal(refusal: Refusal) -> bytes:
    """Return the bytes of a refusal."""
    return _frame(refusal, b"")


def decode_release(data: bytes) -> Release | Refusal:
    """Parse the bytes of a release or refusal; raise RunFailed when they are not exactly one."""
    header, payload = _unframe(data)
    if isinstance(header, Refusal):
        if payload:
            raise _damaged("a refusal carries cells")
        return header
    if any(c < 1 for c in header.cells) or sum(header.cells) * _WIDTH != len(payload):
        raise _damaged("its length does not match its cells")
    flat = np.frombuffer(payload, dtype="<i8").astype(np.int64)
    stops = np.cumsum(np.asarray(header.cells, dtype=np.int64))[:-1]
    return Release(receipt=header, marginals=tuple(np.split(flat, stops)))


def refusal_for(error: SilosynthError, *, silo: str, request_id: str | None) -> Refusal:
    """Return the refusal that tells ``error`` to the coordinator."""
    return Refusal(
        request_id=request_id,
        silo=silo,
        code=error.code,
        message=error.message[:2000],
        hint=error.hint,
    )


def refusal_error(refusal: Refusal) -> SilosynthError:
    """Return the error that a refusal stands for, naming the silo."""
    kind = _KINDS.get(refusal.code, Refused)
    return kind(f"silo {refusal.silo}: {refusal.message}", hint=refusal.hint)


def _frame(header: _Header, payload: bytes) -> bytes:
    """Join magic, header length, header and cells."""
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    raw = text.encode()
    return b"".join((MAGIC, len(raw).to_bytes(4, "little"), raw, payload))


def _unframe(data: bytes) -> tuple[Receipt | Refusal, bytes]:
    """Split the bytes of a message; raise RunFailed when they are not ours."""
    start = len(MAGIC) + 4
    if len(data) < start or not data.startswith(MAGIC):
        raise _damaged("it does not begin as one")
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - start):
        raise _damaged("its header is cut off")
    try:
        return _HEADER.validate_json(data[start : start + length]), data[start + length :]
    except ValidationError as err:
        raise _damaged("its header is not valid") from err


def _damaged(why: str) -> RunFailed:
    """Return the error for bytes that are not a release."""
    return RunFailed(f"a silo's answer is not a release: {why}")
