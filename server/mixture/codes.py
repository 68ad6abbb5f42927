"""Where the codes of all attributes lie that stand one after another."""

from __future__ import annotations

import numpy as np


class SideBySide:
    """What has ``sizes``, the codes of each attribute, as a base of it."""

    __slots__ = ()
    sizes: tuple[int, ...]

    @property
    def starts(self) -> np.ndarray:
        """Return (attributes,) where the codes of each attribute begin."""
        return np.concatenate(([0], np.cumsum(self.sizes)[:-1])).astype(np.int64)

    @property
    def owner(self) -> np.ndarray:
        """Return (codes,) the attribute of each code."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Return where the codes of each attribute lie."""
        return tuple(
            slice(start, start + size)
            for start, size in zip(self.starts.tolist(), self.sizes, strict=True)
        )
