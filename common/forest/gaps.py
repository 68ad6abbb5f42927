"""How long after one another drawn rows come: whole steps inside the bins of gaps, and no further.

A row's place is that of the row before it and a number of steps in its gap's bin. Near the end of
the column's bounds only what still fits is drawn, so that no value is heaped at the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from silosynth.common.errors import InvalidSampler
from silosynth.common.generated import row_words
from silosynth.common.sampler import SHARE_BITS
from silosynth.common.tables import GapScale, TablesSchema

Within: TypeAlias = tuple[np.ndarray, np.ndarray]
PIECES = 32
"""Equal parts of a bin of gaps, each of which has a share of its own."""


def even_pieces(scale: GapScale) -> np.ndarray:
    """Return (bins, PIECES) uint32, the cumulative shares of gaps that are spread evenly."""
    ends = (np.arange(1, PIECES + 1, dtype=np.uint64) << np.uint64(SHARE_BITS)) // np.uint64(PIECES)
    return np.tile(ends.astype(np.uint32), (scale.bins, 1))


def check_pieces(pieces: Mapping[str, np.ndarray], *, schema: TablesSchema) -> None:
    """Raise InvalidSampler unless the pieces are those of the schema's tables with gaps."""
    scales = gap_scales(schema)
    if set(pieces) != set(scales):
        raise InvalidSampler("the shares of gaps are not those of the schema's tables")
    for name, scale in scales.items():
        ends = pieces[name]
        if ends.dtype != np.uint32 or ends.shape != (scale.bins, PIECES):
            raise InvalidSampler(f"the shares of gaps of {name!r} do not fit its bins")
        if (np.diff(ends.astype(np.int64), axis=1) < 0).any() or (
            ends[:, -1] != 1 << SHARE_BITS
        ).any():
            raise InvalidSampler(f"the shares of gaps of {name!r} do not rise to one")


def gap_scales(schema: TablesSchema) -> dict[str, GapScale]:
    """Return the scale of each table that has gaps."""
    found = {name: schema.columns[name].gaps for name in schema.downward}
    return {name: scale for name, scale in found.items() if scale is not None}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GapDrawer:
    """Draws steps of one table's order column, each row's a function of its word and what is given.

    ``pieces``: (bins, PIECES) uint32, cumulative shares of 2^31 in each bin.
    """

    scale: GapScale
    pieces: np.ndarray = field(repr=False)
    seed: int

    def first(
        self, codes: np.ndarray, *, words: np.ndarray, within: Within | None = None
    ) -> np.ndarray:
        """Return (rows,) int64, the steps of first rows, evenly inside the column's codes.

        Args: within: (rows,) int64 twice, the first and the last step that each may have.
        """
        low, high = self.scale.steps_of(codes)
        if within is not None:
            low, high = np.maximum(low, within[0]), np.minimum(high, within[1])
            high = np.maximum(low, high)
        chosen = np.floor(self._uniform(words) * (high - low + 1)).astype(np.int64)
        found: np.ndarray = np.minimum(low + chosen, high)
        return found

    def barred_first(self, within: Within) -> np.ndarray:
        """Return (rows, codes) bool, the codes of the column that hold no step for a first row.

        Those of no value are never barred.
        """
        low, high = self.scale.steps_of(np.arange(self.scale.values))
        barred = np.zeros((len(within[0]), self.scale.size), dtype=bool)
        outside = (high < within[0][:, None]) | (low > within[1][:, None])
        barred[:, : self.scale.values] = outside
        return barred

    def barred(self, room: np.ndarray, *, absent: np.ndarray) -> np.ndarray:
        """Return (rows, codes) bool, the gaps that a row cannot have.

        Args:
            room: (rows,) int64, how many steps there are from the row before to the largest value.
            absent: (rows,) bool, where the row before has no value: then the row has none either.
        """
        barred = np.zeros((len(room), self.scale.codes), dtype=bool)
        barred[:, : self.scale.bins] = (self.scale.lows > room[:, None]) | absent[:, None]
        return barred

    def steps(self, codes: np.ndarray, *, room: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, how many steps after the row before each comes; 0 without a value.

        Guarantees: in the bin of the code, and no more than ``room``, where the bin begins within.
        """
        there = codes < self.scale.bins
        bins = np.where(there, codes, 0).astype(np.int64)
        low = self.scale.lows[bins]
        width = self.scale.highs[bins] - low + 1
        left = np.clip(room - low + 1, 1, width)
        ends = np.zeros((self.scale.bins, PIECES + 1))
        ends[:, 1:] = self.pieces * 2.0**-SHARE_BITS
        # Sums, products and quotients alone: the same on every machine.
        reach = left / width * PIECES
        piece = np.minimum(np.floor(reach).astype(np.int64), PIECES - 1)
        share = ends[bins, piece] + (reach - piece) * (ends[bins, piece + 1] - ends[bins, piece])
        target = self._uniform(words) * share
        piece = np.minimum((ends[bins, 1:] <= target[:, None]).sum(axis=1), PIECES - 1)
        part = ends[bins, piece + 1] - ends[bins, piece]
        inner = (target - ends[bins, piece]) / np.where(part > 0, part, 1.0)
        offset = np.floor((piece + inner) / PIECES * width).astype(np.int64)
        return np.where(there, low + np.clip(offset, 0, left - 1), 0)

    def codes_of(self, gaps: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the column's own codes of rows of these gaps, at these steps."""
        beyond = self.scale.values + gaps.astype(np.int64) - self.scale.bins
        return np.where(gaps < self.scale.bins, self.scale.column_codes(points), beyond)

    def _uniform(self, words: np.ndarray) -> np.ndarray:
        drawn = row_words(seed=self.seed, purpose=f"step/{self.scale.column}", rows=words)
        found: np.ndarray = (drawn >> np.uint64(11)) * 2.0**-53
        return found
