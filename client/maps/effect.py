"""What a map does to the rows of a table, in words for its operator alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from silosynth.client.maps.read import map_column
from silosynth.client.maps.silo_map import SiloMap
from silosynth.common.codec import distinct, flatten, is_text, read_numbers, readable, to_texts
from silosynth.common.schema import (
    Attribute,
    Schema,
    has_unit,
    has_words,
)

_MOST_WORDS = 12
_LONGEST = 40
Pair = tuple[str | None, str | None]
_NOTHING = np.array([np.inf, -np.inf, np.inf, -np.inf])


@dataclass(slots=True)
class Effect:
    """What a map makes of the columns of the fragments that were added. Private."""

    schema: Schema
    silo_map: SiloMap
    _words: dict[str, Counter[Pair]] = field(default_factory=dict, repr=False)
    _spans: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def add(self, table: pa.Table) -> None:
        """Take in rows as they were read."""
        for attribute in self.schema.attributes:
            how = self.silo_map.column(attribute.name)
            if how.words is None and not how.calculates:
                continue
            column = readable(flatten(table[self.silo_map.origin(attribute.name)]))
            mapped = readable(flatten(map_column(column, how, attribute)))
            if has_unit(attribute):
                self._add_span(attribute, column, mapped)
            elif has_words(attribute):
                self._words.setdefault(attribute.name, Counter()).update(_pairs(column, mapped))

    def add_words(self, attribute: Attribute, values: pa.Array, *, times: np.ndarray) -> None:
        """Take in the distinct values of a listed column, each with the rows that hold it."""
        how = self.silo_map.column(attribute.name)
        if how.words is not None and has_words(attribute):
            column = readable(flatten(values))
            mapped = readable(flatten(map_column(column, how, attribute)))
            told = self._words.setdefault(attribute.name, Counter())
            told.update(_pairs(column, mapped, times=times))

    def add_span(self, attribute: Attribute, ends: np.ndarray) -> None:
        """Take in (4,) float64: the lowest and highest number before, and after; nan for none."""
        how = self.silo_map.column(attribute.name)
        if (how.words is not None or how.calculates) and has_unit(attribute):
            self._widen(attribute, np.where(np.isnan(ends), _NOTHING, ends))

    def merge(self, other: Effect) -> None:
        """Take in what another part of the same table showed."""
        for name, words in other._words.items():
            self._words.setdefault(name, Counter()).update(words)
        named = {a.name: a for a in self.schema.attributes}
        for name, ends in other._spans.items():
            self._widen(named[name], ends)

    def lines(self) -> Iterator[str]:
        """Yield a line for each column that the map changes, or says is absent."""
        for name in self.silo_map.columns:
            what = f"{name}, from {self.silo_map.origin(name)!r}"
            if name in self.silo_map.absent:
                yield f"map: {name} is absent: nothing of it is asked here"
            elif name in self._words:
                yield f"map: {what}: {_spell_words(self._words[name])}"
            elif name in self._spans:
                yield f"map: {what}: {_spell_span(self._spans[name])}"

    def _add_span(self, attribute: Attribute, column: pa.Array, mapped: pa.Array) -> None:
        """Keep (4,) float64: the lowest and highest number before, and after."""
        assert has_unit(attribute)
        plain = attribute.model_copy(update={"spelled": None})
        form = self.silo_map.column(attribute.name).format
        own = plain if form is None else attribute.model_copy(update={"spelled": form})
        found = [read_numbers(own, column), read_numbers(plain, mapped)]
        ends = [
            [n[~np.isnan(n)].min(initial=np.inf), n[~np.isnan(n)].max(initial=-np.inf)]
            for n in found
        ]
        self._widen(attribute, np.asarray(ends).ravel())

    def _widen(self, attribute: Attribute, new: np.ndarray) -> None:
        """Keep the lowest and the highest of what was known and is new."""
        old = self._spans.get(attribute.name, new)
        lows = _NOTHING > 0
        self._spans[attribute.name] = np.where(lows, np.minimum(old, new), np.maximum(old, new))


def _pairs(
    column: pa.Array, mapped: pa.Array, *, times: np.ndarray | None = None
) -> dict[Pair, int]:
    """Return how often each word became which.

    Args: times: (rows,) in how many rows of the table each one stands; in one without it.
    """
    (before, places), (after, led) = distinct(column), distinct(mapped)
    pairs, where = np.unique(np.stack([places, led]), axis=1, return_inverse=True)
    counts = np.zeros(pairs.shape[1], dtype=np.int64)
    np.add.at(counts, where.ravel(), 1 if times is None else times)
    words = [to_texts(v) if not is_text(v.type) else v for v in (before, after)]
    spelled = [w.take(pa.array(p)).to_pylist() for w, p in zip(words, pairs, strict=True)]
    return {(a, b): int(n) for a, b, n in zip(*spelled, counts, strict=True)}


def _spell_words(found: Counter[Pair]) -> str:
    """Say the commonest words, each with what it becomes."""
    common = sorted(found.items(), key=lambda p: (-p[1], *(w or "" for w in p[0])))[:_MOST_WORDS]
    told = [f"{_word(a)} becomes {_word(b)} in {n} rows" for (a, b), n in common]
    rest = len(found) - len(common)
    return "; ".join(told) + (f"; and {rest} words more" if rest else "")


def _word(word: str | None) -> str:
    if word is None:
        return "missing"
    return repr(word if len(word) <= _LONGEST else f"{word[:_LONGEST]}…")


def _spell_span(ends: np.ndarray) -> str:
    low, high, least, most = (f"{e:.6g}" for e in ends)
    return f"{low} to {high} becomes {least} to {most}" if np.isfinite(ends).all() else "no number"
