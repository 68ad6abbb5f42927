"""Seeded random words for drawing rows and for scores; never for noise."""

from __future__ import annotations

import hashlib

import numpy as np

from silosynth.common.errors import InvalidArgument

_LARGEST_RANGE = 2**32


def check_whole(value: int, *, name: str) -> None:
    """Raise InvalidArgument unless ``value`` is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"{name} is {value!r}", hint="give a whole number, 0 or more")


class SeededWords:
    """Yield the words of one Philox stream, chosen by seed, purpose and index.

    Guarantees: the same words on every machine and with every NumPy version, since only raw
    words are taken from NumPy; streams of one seed and purpose never overlap.

    >>> SeededWords(seed=1, purpose="rows").below(10, 5).tolist()
    [6, 4, 7, 1, 5]
    """

    def __init__(self, *, seed: int, purpose: str, index: int = 0) -> None:
        check_whole(seed, name="the seed")
        digest = hashlib.sha256(f"silosynth/{purpose}/{seed}".encode()).digest()
        counter = np.array([0, 0, 0, index], dtype=np.uint64)
        self._generator = np.random.Philox(
            counter=counter, key=int.from_bytes(digest[:16], "little")
        )

    def raw(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        words: np.ndarray = self._generator.random_raw(count)
        return words

    def uniform(self, count: int) -> np.ndarray:
        """Return (count,) float64 in [0, 1), multiples of 2^-53."""
        uniform: np.ndarray = (self.raw(count) >> np.uint64(11)) * 2.0**-53
        return uniform

    def normal(self, count: int) -> np.ndarray:
        """Return (count,) float64, standard normal numbers (Box and Muller 1958)."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(count)))
        normal: np.ndarray = radius * np.cos(2 * np.pi * self.uniform(count))
        return normal

    def below(self, bound: int, count: int) -> np.ndarray:
        """Return (count,) int64 in [0, bound), at most 2^-32 away from uniform per value."""
        if not 0 < bound <= _LARGEST_RANGE:
            raise InvalidArgument(f"a range of {bound} is not between 1 and {_LARGEST_RANGE}")
        high = self.raw(count) >> np.uint64(32)
        return ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def permutation(self, count: int) -> np.ndarray:
        """Return (count,) int64, a shuffle of 0..count-1."""
        return np.argsort(self.raw(count), kind="stable")
