"""Keys that machines use for names that people give: in plans, files, certificates and URLs."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MISSING_KEY = "missing"
_MOST = 64
_DIGITS = 6


def machine_key(name: object) -> str:
    """Spell any text as letters, digits, ``.``, ``_`` and ``-``; what has no letters there by hash.

    A name that is such a key already stays as it is. What is lost of another alphabet is made up
    for by a few digits of its hash, so that names of any language stay apart.

    >>> [machine_key(n) for n in ("north", "Site A", "Köln", "北京", None)]
    ['north', 'Site-A', 'Koln', 'silo-68c77e', 'missing']
    """
    text = "" if name is None else str(name).strip()
    if not text:
        return MISSING_KEY
    apart = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(c for c in apart if not unicodedata.combining(c))
    lost = any(c.isalnum() and not c.isascii() for c in plain) or len(plain) > _MOST
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    if not lost and key and key[0].isalnum():
        return key
    digits = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    stem = re.sub(r"^[^A-Za-z0-9]+", "", key)[: _MOST - _DIGITS - 1].rstrip("-.")
    return f"{stem or 'silo'}-{digits}"
