"""Numbers and instants to bins and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.columns import is_text
from silosynth.common.codec.edges import BinEdges, bin_edges, find_bins
from silosynth.common.codec.notes import EncodingNote, Uniform, code_dtype
from silosynth.common.codec.parsing import distinct, to_microseconds, to_numbers, trim
from silosynth.common.schema.attributes import DatetimeAttribute, NumericAttribute, RealAttribute


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericCodec:
    """Code one integer, real or datetime attribute; instants in whole microseconds."""

    attribute: NumericAttribute
    _bins: BinEdges = field(init=False, repr=False, compare=False)
    _tokens: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges = self.attribute.edges()
        if isinstance(self.attribute, DatetimeAttribute):
            edges = tuple(math.ceil(edge * 1e6) for edge in edges)
        object.__setattr__(self, "_bins", bin_edges(edges))
        tokens, _ = self._read(pa.array(self.attribute.missing_tokens, pa.large_string()))
        object.__setattr__(self, "_tokens", tokens[~np.isnan(tokens)])

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
        numbers, unreadable = self._read(self._without_tokens(column))
        absent = np.isnan(numbers)
        if self._tokens.size:
            absent |= np.isin(numbers, self._tokens)
        some_absent = bool(absent.any())
        if some_absent:
            numbers = np.where(absent, self._bins.edges[0], numbers)
        codes = find_bins(numbers, bins=self._bins).astype(
            code_dtype(self.attribute.size), copy=False
        )
        if some_absent and self.attribute.missing:
            codes[absent] = self.attribute.values
        undeclared = 0 if self.attribute.missing else int((absent & ~unreadable).sum())
        note = EncodingNote(
            attribute=self.attribute.name,
            clipped=int(self._beyond(numbers).sum()),
            unreadable=int(unreadable.sum()),
            undeclared_missing=undeclared,
        )
        return codes, note

    def read(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) float64, NaN for what has the code of missing; instants in µs."""
        numbers, _ = self._read(self._without_tokens(column))
        if self._tokens.size:
            numbers = np.where(np.isin(numbers, self._tokens), np.nan, numbers)
        return numbers

    def decode(self, codes: np.ndarray, *, uniform: Uniform) -> pa.Array:
        """Return numbers drawn uniformly inside their bin, null for missing."""
        absent = codes >= self._bins.count
        bins = np.where(absent, 0, codes).astype(np.intp)
        low, high = self._bins.edges[bins], self._bins.edges[bins + 1]
        offset = uniform(len(codes)) * (high - low)
        if not isinstance(self.attribute, RealAttribute):
            offset = np.floor(offset)
        numbers = np.minimum(low + offset, np.nextafter(high, low))
        if isinstance(self.attribute, RealAttribute):
            return pa.array(numbers, mask=absent)
        whole = pa.array(np.floor(numbers).astype(np.int64), mask=absent)
        if isinstance(self.attribute, DatetimeAttribute):
            return whole.cast(pa.timestamp("us", tz="UTC"))
        return whole

    def _read(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows,) numbers with NaN for null, and where a text was unreadable."""
        if isinstance(self.attribute, DatetimeAttribute):
            return to_microseconds(column, format=self.attribute.format)
        return to_numbers(column)

    def _without_tokens(self, column: pa.Array) -> pa.Array:
        """Make missing tokens null in a text column."""
        textual = is_text(column.type) or (
            pt.is_dictionary(column.type) and is_text(column.type.value_type)
        )
        if not (textual and self.attribute.missing_tokens):
            return column
        values, positions = distinct(column)
        values = values.cast(pa.large_string())
        tokens = pa.array(self.attribute.missing_tokens, pa.large_string())
        values = pc.if_else(pc.is_in(trim(values), value_set=tokens), None, values)
        return pa.DictionaryArray.from_arrays(pa.array(positions), values)

    def _beyond(self, numbers: np.ndarray) -> np.ndarray:
        """Mark numbers outside of the bounds."""
        low, high = self._bins.edges[0], self._bins.edges[-1]
        whole = not isinstance(self.attribute, RealAttribute | DatetimeAttribute)
        above = numbers >= high if whole else numbers > high
        outside: np.ndarray = (numbers < low) | above
        return outside
