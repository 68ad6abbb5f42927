"""From working codes back to fine codes, by the shares inside groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.sampler.conditional import WHOLE
from silosynth.common.seeded import SeededWords


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unmerge:
    """Draw fine codes of one merged attribute.

    ``groups`` is (fine codes,) the working code of each, ``ends`` (fine codes,) uint32 the
    cumulative shares inside each group, codes sorted by group, and ``allowed`` which fine codes
    may be drawn.
    """

    groups: np.ndarray
    ends: np.ndarray
    allowed: np.ndarray | None = None
    order: np.ndarray = field(init=False, repr=False)
    shares: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.groups, kind="stable")
        ordered = self.groups[order]
        first = np.append(True, ordered[1:] != ordered[:-1])
        before = np.where(first, 0, np.append(0, self.ends[:-1].astype(np.int64)))
        shares = np.empty(len(self.groups))
        shares[order] = (self.ends - before) / WHOLE
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "shares", shares)

    def weights(self) -> np.ndarray:
        """Return (working codes,) the share of each that its allowed fine codes have."""
        allowed = 1.0 if self.allowed is None else self.allowed
        return np.bincount(self.groups, weights=self.shares * allowed)

    def draw(self, codes: np.ndarray, words: SeededWords) -> np.ndarray:
        """Return (rows,) fine codes for (rows,) working codes that have one that is allowed."""
        size, order = len(self.groups), self.order
        ordered = self.groups[order]
        inside = (self.shares * (1.0 if self.allowed is None else self.allowed))[order]
        ends = inside.cumsum()
        stops = np.searchsorted(ordered, np.arange(int(ordered[-1]) + 1), side="right") - 1
        starts = np.append(0.0, ends[stops[:-1]])
        last = np.maximum.accumulate(np.arange(size) * (inside > 0))[stops]
        uniform = words.uniform(len(codes))
        target = starts[codes] + uniform * (ends[stops] - starts)[codes]
        found = np.minimum(np.searchsorted(ends, target, side="right"), last[codes])
        chosen: np.ndarray = order[found].astype(code_dtype(size))
        return chosen
