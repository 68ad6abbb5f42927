"""Pairwise masks: what two silos add and subtract so that only the sum of all can be read.

Each pair agrees on a secret by X25519 with keys made for one request, stretches it by HKDF-SHA256
over the request's transcript, and expands it by ChaCha20. The silo whose name comes first adds
the stream, the other subtracts it, modulo 2^64 or 2^32. Source: Bonawitz et al. 2017, section 4,
without its unmasking: there is no message that gives a mask away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from silosynth.common.errors import InvalidPlan, Untrusted

_BLOCK_BYTES = 1 << 18
_ZEROS = bytes(_BLOCK_BYTES)
_CONTEXT = b"silosynth-mask-1\0"
_RING = b"silosynth-ring-1\0"
_START = bytes(16)
"""ChaCha20's counter and nonce: every key is used for one stream, so both begin at zero."""
WORDS: Mapping[int, np.dtype[np.unsignedinteger]] = {
    64: np.dtype("<u8"),
    32: np.dtype("<u4"),
}


def new_secret() -> bytes:
    """Return a fresh X25519 private key from the operating system's generator."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(secret: bytes) -> bytes:
    """Return the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def ring_of(members: Sequence[str], *, set_digest: str) -> tuple[str, ...]:
    """Return the members of a set in the order of their ring, which nobody chooses.

    Each stands where the hash of the set and its name puts it. The set holds fresh keys of every
    honest member, so nobody can work out an order before those are sent, or bend one afterwards
    but by trying sets (see :func:`silosynth.common.plan.trust.fewest_peers`).
    """
    start = hashlib.sha256(_RING + set_digest.encode())

    def place(member: str) -> bytes:
        placed = start.copy()
        placed.update(member.encode())
        return placed.digest()

    return tuple(sorted(members, key=place))


def peers_in(ring: Sequence[str], *, own: str, peers: int | None) -> tuple[str, ...]:
    """Return the members that one masks against: those up to ``peers`` / 2 places away, or all.

    Guarantees: where a silo masks against another, that one masks against it.
    """
    others = len(ring) - 1
    if peers is None or peers >= others:
        return tuple(member for member in ring if member != own)
    at = ring.index(own)
    away = [d for step in range(1, peers // 2 + 1) for d in (-step, step)]
    return tuple(ring[(at + d) % len(ring)] for d in away)


def mask_vector(
    values: np.ndarray,
    *,
    bits: int,
    own: str,
    secret: bytes,
    peers: Mapping[str, bytes],
    transcript: bytes,
) -> np.ndarray:
    """Add the masks of all pairs to a vector of integers.

    Guarantees: the vectors of all members sum to the sum of their values modulo 2^bits; without
    the secret of one pair of silos the vector is indistinguishable from a uniform one.

    Args:
        values: (cells,) int64.
        peers: public keys of the members that this one masks against, by name.
        transcript: what makes this request, its set and its content unlike any other.
    Returns: (cells,) unsigned integers of ``bits``.
    Raises Untrusted for a peer's key of small order.
    """
    if own in peers or bits not in WORDS:
        raise InvalidPlan("a vector is masked against other silos, modulo 2^64 or 2^32")
    if values.dtype != np.int64:
        raise InvalidPlan("a vector is masked as int64")
    masked = values.astype(WORDS[bits])
    private = X25519PrivateKey.from_private_bytes(secret)
    for peer in sorted(peers):
        key = pair_key(
            own=own, private=private, peer=peer, public=peers[peer], transcript=transcript
        )
        add_stream(masked, key=key, subtract=own > peer)
    return masked


def pair_key(
    *, own: str, private: X25519PrivateKey, peer: str, public: bytes, transcript: bytes
) -> bytes:
    """Return the key that two silos share for one request, and that nobody else can work out."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Untrusted(f"a key of silo {peer} is a point of small order") from None
    first, second = sorted((own.encode(), peer.encode()))
    salt = hashlib.sha256(_CONTEXT + transcript).digest()
    info = _CONTEXT + len(first).to_bytes(2, "big") + first + second
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(shared)


def add_stream(words: np.ndarray, *, key: bytes, subtract: bool) -> None:
    """Add the ChaCha20 stream of ``key`` to little-endian unsigned ``words``, or subtract it."""
    stream = Cipher(ChaCha20(key, _START), mode=None).encryptor()
    buffer = bytearray(_BLOCK_BYTES)
    mask = np.frombuffer(buffer, dtype=words.dtype)
    change = np.subtract if subtract else np.add
    for start in range(0, len(words), len(mask)):
        part = words[start : start + len(mask)]
        stream.update_into(memoryview(_ZEROS)[: part.nbytes], buffer)
        change(part, mask[: len(part)], out=part)
