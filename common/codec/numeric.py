"""Numbers and instants to bins and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.bins import BinEdges, Grid, bin_edges, bin_points, find_bins
from silosynth.common.codec.notes import EncodingNote, Uniform, code_dtype
from silosynth.common.codec.written.columns import is_text
from silosynth.common.codec.written.parsing import distinct, trim
from silosynth.common.schema import NumericAttribute, first_whole
from silosynth.common.values import Spread, ValueGrid

_ON_STEP = 1e-3
"""How far from a point, in steps, a number may lie that is on it but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How one kind of number is read, where its values lie, and what it comes back as.

    ``read`` returns (rows,) float64 with NaN for null, and where a text was unreadable; ``build``
    an Arrow array of such numbers and where they are null. ``per_unit`` of these numbers make one
    unit of the attribute's bounds. ``whole`` numbers have no fractions; ``closed`` bounds include
    the last edge. ``grid`` returns the points that values lie on, None where they lie anywhere.
    """

    read: Callable[[Any, pa.Array], tuple[np.ndarray, np.ndarray]]
    build: Callable[[Any, np.ndarray, np.ndarray], pa.Array]
    grid: Callable[[Any], Grid | None]
    per_unit: int = 1
    whole: bool = True
    closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericCodec:
    """Code one attribute whose codes are bins; instants and spans in whole microseconds."""

    attribute: NumericAttribute
    scale: Scale
    _bins: BinEdges = field(init=False, repr=False, compare=False)
    _tokens: np.ndarray = field(init=False, repr=False, compare=False)
    _points: np.ndarray | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges, unit = self.attribute.edges(), self.scale.per_unit
        if unit != 1:
            edges = tuple(first_whole(edge * unit) for edge in edges)
        if edges[0] == edges[-1]:
            edges = (edges[0], math.nextafter(edges[0], math.inf))
        object.__setattr__(self, "_bins", bin_edges(edges))
        tokens, _ = self._read(pa.array(self.attribute.missing_tokens, pa.large_string()))
        object.__setattr__(self, "_tokens", tokens[~np.isnan(tokens)])
        grid = self.scale.grid(self.attribute)
        points = None
        if grid is not None:
            points = bin_points(grid, edges=self._bins.edges, closed=self.scale.closed)
        object.__setattr__(self, "_points", points)

    @property
    def edges(self) -> np.ndarray:
        """Return (values + 1,) float64, the edges of the bins; instants in microseconds."""
        return self._bins.edges

    @property
    def tokens(self) -> np.ndarray:
        """Return the numbers that stand for a missing value."""
        return self._tokens

    def encode(self, column: pa.Array) -> tuple[np.ndarray, EncodingNote]:
        """Return (rows,) codes, and how many values had none of their own."""
        numbers, absent, unreadable, apart = self._numbers(column)
        codes = find_bins(numbers, bins=self._bins).astype(
            code_dtype(self.attribute.size), copy=False
        )
        if self.attribute.missing:
            codes[absent] = self.attribute.size - 1
        if apart is not None:
            named = apart >= 0
            codes[named] = apart[named]
            absent &= ~named
        undeclared = 0 if self.attribute.missing else int((absent & ~unreadable).sum())
        note = EncodingNote(
            attribute=self.attribute.name,
            clipped=int(self._beyond(numbers).sum()),
            unreadable=int(unreadable.sum()),
            undeclared_missing=undeclared,
            off_step=int(self._off_step(numbers).sum()),
        )
        return codes, note

    def misfits(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) bool, where a value has the code of another for want of one of its own."""
        numbers, absent, unreadable, apart = self._numbers(column)
        if apart is not None:
            absent &= apart < 0
        undeclared = absent & (not self.attribute.missing)
        bent: np.ndarray = self._beyond(numbers) | unreadable | undeclared
        return bent

    def missing(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) bool, where a row holds nothing, or what stands for that."""
        _, absent, unreadable, _ = self._numbers(column)
        held: np.ndarray = absent & ~unreadable
        return held

    def read(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) float64, NaN for what has a code of missing; instants in microseconds."""
        numbers, absent, _, _ = self._numbers(column)
        return np.where(absent, np.nan, numbers)

    def find_points(self, column: pa.Array, *, grid: ValueGrid) -> np.ndarray:
        """Return (rows,) int64, the point of each value; -1 where it has a code of missing.

        Guarantees: a value has a point of the bin that :meth:`encode` gives it, where bins begin
        at points.
        """
        numbers, absent, _, apart = self._numbers(column)
        nowhere = absent if self.attribute.missing else np.zeros_like(absent)
        if apart is not None:
            nowhere = nowhere | (apart >= 0)
        points: np.ndarray = np.where(nowhere, -1, grid.find(numbers))
        return points

    def _numbers(
        self, column: pa.Array
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return (rows,) numbers and absent, unreadable, apart.

        Where a number is absent the lowest stands; ``apart`` are codes, -1 for all other rows.
        """
        column, apart = self._without_words(column)
        numbers, unreadable = self._read(column)
        absent = np.isnan(numbers)
        if self._tokens.size:
            absent |= np.isin(numbers, self._tokens)
        apart = self._numbers_apart(numbers, apart)
        if apart is not None:
            absent |= apart >= 0
        if absent.any():
            numbers = np.where(absent, self._bins.edges[0], numbers)
        return numbers, absent, unreadable, apart

    def decode(
        self, codes: np.ndarray, *, uniform: Uniform, spread: Spread | None = None
    ) -> pa.Array:
        """Return numbers drawn from their bin's pieces, or evenly inside it; null for missing."""
        absent = codes >= self._bins.count
        if spread is not None:
            points = np.zeros(len(codes), dtype=np.int64)
            points[~absent] = spread.draw(codes[~absent].astype(np.int64), uniform=uniform)
            return self.scale.build(self.attribute, spread.grid.values(points), absent)
        bins = np.where(absent, 0, codes).astype(np.intp)
        low, high = self._bins.edges[bins], self._bins.edges[bins + 1]
        grid = self.scale.grid(self.attribute)
        if grid is not None and self._points is not None:
            first, count = self._points[bins, 0], self._points[bins, 1]
            chosen = first + np.floor(uniform(len(codes)) * count).astype(np.int64)
            return self.scale.build(self.attribute, grid.points(chosen), absent)
        offset = uniform(len(codes)) * (high - low)
        if self.scale.whole:
            offset = np.floor(offset)
        numbers = np.minimum(low + offset, np.nextafter(high, low))
        return self.scale.build(self.attribute, numbers, absent)

    def build(self, codes: np.ndarray, numbers: np.ndarray) -> pa.Array:
        """Return numbers that are known as they are; null where a code says that there is none."""
        return self.scale.build(self.attribute, numbers, codes >= self._bins.count)

    def _read(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows,) numbers with NaN for null, and where a text was unreadable."""
        return self.scale.read(self.attribute, column)

    def _without_words(self, column: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
        """Make missing tokens null in a text column; return the codes of those that stand apart."""
        textual = is_text(column.type) or (
            pt.is_dictionary(column.type) and is_text(column.type.value_type)
        )
        apart = self.attribute.missing_apart
        words = (*self.attribute.missing_tokens, *apart)
        if not (textual and words):
            return column, None
        values, positions = distinct(column)
        values = trim(values.cast(pa.large_string()))
        found = pc.index_in(values, value_set=trim(pa.array(words, pa.large_string())))
        values = pc.if_else(pc.is_null(found), values, None)
        plain = pa.DictionaryArray.from_arrays(pa.array(positions), values)
        if not apart:
            return plain, None
        place = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        place -= len(self.attribute.missing_tokens)
        return plain, np.where(place >= 0, self._first_apart + place, -1)[positions]

    def _numbers_apart(self, numbers: np.ndarray, known: np.ndarray | None) -> np.ndarray | None:
        """Return (rows,) the codes of numbers that stand apart, -1 for all others."""
        apart, _ = self._read(pa.array(self.attribute.missing_apart, pa.large_string()))
        for place in np.flatnonzero(~np.isnan(apart)):
            known = np.full(len(numbers), -1, dtype=np.int64) if known is None else known
            known[numbers == apart[place]] = self._first_apart + place
        return known

    @property
    def _first_apart(self) -> int:
        """Return the code of the first text that stands apart."""
        attribute = self.attribute
        return attribute.size - attribute.missing - len(attribute.missing_apart)

    def _off_step(self, numbers: np.ndarray) -> np.ndarray:
        """Mark numbers inside the bounds that lie on no point of a declared step."""
        grid = None if self.attribute.step is None else self.scale.grid(self.attribute)
        if grid is None:
            return np.zeros(len(numbers), dtype=bool)
        inside = ~self._beyond(numbers)
        held = np.where(inside, numbers, self._bins.edges[0])
        apart = np.abs(grid.points(grid.near(held)) - held) * grid.denominator
        off: np.ndarray = inside & (apart > grid.stride * _ON_STEP)
        return off

    def _beyond(self, numbers: np.ndarray) -> np.ndarray:
        """Mark numbers outside of the bounds."""
        low, high = self._bins.edges[0], self._bins.edges[-1]
        above = numbers > high if self.scale.closed else numbers >= high
        outside: np.ndarray = (numbers < low) | above
        return outside
