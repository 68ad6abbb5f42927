"""Canonical JSON and digests: the same value has the same bytes and the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import Field

DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
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
