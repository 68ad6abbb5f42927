"""Canonical JSON and digests: the same value has the same bytes and the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Protocol, TypeVar

from pydantic import Field

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
T = TypeVar("T")
NO_DIGEST = "sha256:" + "0" * 64
"""Stands where a digest is not known yet, or where none is meant."""


def digest_of(data: bytes) -> str:
    """Return ``sha256:`` and the hash of ``data``.

    >>> digest_of(b"")[:14]
    'sha256:e3b0c44'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON in ASCII with sorted keys and no spaces; raise ValueError for infinity and NaN.

    >>> canonical_json({"b": 1, "a": "ä"})
    b'{"a":"\\\\u00e4","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class Once(Protocol):
    """How what follows from some bytes alone, whichever silo reads them, is worked out."""

    def __call__(self, key: tuple[object, ...], work: Callable[[], T], /) -> T:
        """Return what ``work`` returns; ``key`` is all that it depends on."""


def each_time(_key: tuple[object, ...], work: Callable[[], T]) -> T:
    """Work it out each time it is asked for, as every silo of its own does."""
    return work()
