"""Which version of the messages two programs speak, before they say anything else.

A coordinator's challenge ends with its version, a silo's identity states the silo's. Programs of
before stated none, and count as version 0: to them a challenge is 32 bytes like any other, and an
identity says nothing that they do not know. Neighbours one version apart speak; others say in one
line that they cannot. Each message has a version of its own besides.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from silosynth.common.errors import WireVersion

WIRE = 1
"""The version of this program. Raise it when a message changes so that one of before errs."""
UNTOLD = 0
CHALLENGE_BYTES = 32
_MARK = b"sw"
_VERSION_BYTES = 2
_TAIL = len(_MARK) + _VERSION_BYTES


def make_challenge(
    *, version: int = WIRE, random: Callable[[int], bytes] = secrets.token_bytes
) -> bytes:
    """Return 32 bytes: 28 fresh ones, and the version of who asks."""
    told = _MARK + version.to_bytes(_VERSION_BYTES, "big")
    return random(CHALLENGE_BYTES - _TAIL) + told


def version_in(challenge: bytes) -> int:
    """Return the version that a challenge tells; a program of before tells none.

    >>> version_in(make_challenge(version=3)), version_in(bytes(32))
    (3, 0)
    """
    mark, version = challenge[-_TAIL:-_VERSION_BYTES], challenge[-_VERSION_BYTES:]
    return int.from_bytes(version, "big") if mark == _MARK else UNTOLD


def check_version(version: int, *, who: str) -> None:
    """Raise WireVersion unless ``who`` speaks this program's version or a neighbour of it."""
    if abs(version - WIRE) > 1:
        older = "there" if version < WIRE else "here"
        raise WireVersion(
            f"{who} speaks version {version} of the messages, this program {WIRE}; they speak "
            "when they are at most one apart",
            hint=f"upgrade silosynth {older}",
        )


def answer_to(challenge: bytes, *, tell: Callable[[str], None]) -> int:
    """Return the version to state to who asks; tell of one that cannot be spoken with.

    It is stated to that one too, which then says so in its own words.
    """
    version = version_in(challenge)
    try:
        check_version(version, who="the coordinator")
    except WireVersion as err:
        tell(str(err))
    return UNTOLD if version == UNTOLD else WIRE


def tell_first(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return what tells the first sentence alone: nobody signs challenges, and all are free."""
    told: list[str] = []

    def tell_one(sentence: str) -> None:
        if not told:
            told.append(sentence)
            tell(sentence)

    return tell_one


def version_words() -> str:
    """Say with whom this program speaks."""
    spoken = f"{max(UNTOLD, WIRE - 1)} to {WIRE + 1}"
    return f"it speaks version {WIRE} of the messages, with programs of version {spoken}"
