"""What chance gives each row, by its number alone: no list is held, and any row can be made first.

For made-up values only, never for noise: the words can be told from one another's neighbours.
"""

from __future__ import annotations

import hashlib

import numpy as np

from silosynth.common.seeded import check_whole

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 6
MOST_PERMUTED = 2**62
"""The largest space of a permutation."""


def word_of(seed: int, purpose: str) -> int:
    """Return 64 bits for a seed and a purpose."""
    check_whole(seed, name="the seed")
    digest = hashlib.sha256(f"silosynth/generated/{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def row_words(*, seed: int, purpose: str, rows: np.ndarray) -> np.ndarray:
    """Return (rows,) uint64, a function of seed, purpose and each row's number.

    Guarantees: different rows have different words.

    Args: rows: (rows,) uint64 numbers of rows.
    """
    return _mixed(np.uint64(word_of(seed, purpose)) + (rows + np.uint64(1)) * _GOLDEN)


def permuted(rows: np.ndarray, *, space: int, seed: int, purpose: str) -> np.ndarray:
    """Return (rows,) uint64 below ``space``: a keyed permutation of the numbers below it.

    A balanced Feistel network over the next even number of bits, walked until it is inside (Black
    and Rogaway 2002).

    Args: rows: (rows,) uint64, each below ``space``, which is at most 2^62.
    """
    half = np.uint64(max((space - 1).bit_length() + 1, 2) // 2)
    low = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(word_of(seed, f"{purpose}/{i}")) for i in range(_ROUNDS)]
    found = rows.copy()
    left = np.arange(len(rows))
    while left.size:
        values = found[left]
        a, b = values >> half, values & low
        for key in keys:
            a, b = b, a ^ (_mixed(b + key) & low)
        found[left] = (a << half) | b
        left = left[found[left] >= np.uint64(space)]
    return found


def _mixed(words: np.ndarray) -> np.ndarray:
    """Return words of which each bit depends on each (splitmix64; Steele et al. 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def chosen(words: np.ndarray, *, of: int) -> np.ndarray:
    """Return (rows,) int64 in [0, of), ``of`` at most 2^31, from the upper half of each word."""
    return ((words >> np.uint64(32)) * np.uint64(of) >> np.uint64(32)).astype(np.int64)


def as_uniform(words: np.ndarray) -> np.ndarray:
    """Return (rows,) float64 in [0, 1), multiples of 2^-53."""
    uniform: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
    return uniform
