"""One spelling for bytes that travel as text: keys, signatures and statements are compared as text.

Base64 has several texts for the same bytes where bits of the last character are left over. Here
there is one, and every other is refused, so that two texts are equal exactly when the bytes are.
"""

from __future__ import annotations

import base64
import binascii


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
