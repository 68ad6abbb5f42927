"""Four words that stand for a silo's key, for two persons to compare by telephone.

Each word spells 16 bits in consonants and vowels that are told apart in most languages (Wilkerson,
"A Proposal for Proquints", 2009). The 64 bits come of a slow hash over name and key, and the key
that is compared was made by whom it names, so that a forger needs another key with the same words:
2^64 trials, each of which takes 16 MiB and some 50 ms.
"""

from __future__ import annotations

from hashlib import scrypt

from silosynth.common.trust import PublicKey

_SALT = b"silosynth-words-1"
_BYTES = 8
_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aiou"


def key_words(name: str, key: PublicKey) -> str:
    """Return the four words of the key that goes by a name.

    >>> key_words("east", "ed25519:" + "A" * 43)
    'lukif-pajas-sigav-zufom'
    """
    secret = f"{name}\0{key}".encode()
    raw = scrypt(secret, salt=_SALT, n=2**14, r=8, p=1, dklen=_BYTES)
    return "-".join(_word(int.from_bytes(raw[i : i + 2], "big")) for i in range(0, _BYTES, 2))


def same_words(said: str, words: str) -> bool:
    """Say whether what a person typed are the words: case, and what stands between, do not matter.

    >>> same_words("Lukif pajas  sigav,zufom", "lukif-pajas-sigav-zufom")
    True
    """
    return [c for c in said.lower() if c.isalnum()] == [c for c in words if c.isalnum()]


def _word(number: int) -> str:
    """Spell 16 bits: consonant, vowel, consonant, vowel, consonant."""
    letters = [_CONSONANTS[number & 15]]
    number >>= 4
    for _ in range(2):
        letters += [_VOWELS[number & 3], _CONSONANTS[number >> 2 & 15]]
        number >>= 6
    return "".join(reversed(letters))
