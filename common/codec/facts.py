"""What a column's values do: the facts that a draft is made of. Private, like the column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.written.columns import is_text
from silosynth.common.codec.written.parsing import distinct, to_numbers, trim

FEW = 20
"""Up to so many different values are looked at one by one."""
MANY = 1024
"""More different values than that are no list that a person would review."""
TOKENS = (
    *("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "\\N", "<NA>"),
    *("#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"),
    *("1.#QNAN", "1.#IND", "-1.#IND"),
)
"""Texts that stand for a missing value in the files of many programs."""
_MOST_WORDS, _MANY_WORDS = 3, 12
_VALUES_TO_A_WORD = 20
"""Other values to each word from which on more words than three are ways to be missing."""
CENSORED = r"^[<>≤≥~]=? ?\d[\d.,]*$|^\d[\d.,]* ?\+$"
"""Numbers of which only a bound is known."""
_NO_DAY = r"^(0{4}([-/.])00[-/.]00|00([-/.])00[-/.]0{4}|0{8})([ T]00:00(:00(\.0+)?)?)?$"
"""Dates of no day, as MySQL writes them."""
_WORD = rf"^[^\d]+$|{CENSORED}|{_NO_DAY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A kind for a column: the facts of its attribute, and why."""

    facts: Mapping[str, Any]
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """The distinct values of a column that are there, and how many rows hold each.

    ``texts`` are the values as text, where the column holds text. ``tokens`` are the texts among
    them that stand for missing values, as they are written; ``nulls`` says that some rows are null.
    """

    name: str
    values: pa.Array = field(repr=False)
    counts: np.ndarray = field(repr=False)
    nulls: bool
    tokens: tuple[str, ...] = field(default=(), repr=False)
    kind: pa.DataType
    ordered: bool = False

    @property
    def rows(self) -> int:
        """Return the number of rows that hold a value."""
        return int(self.counts.sum())

    @property
    def is_text(self) -> bool:
        """Say whether the values are text."""
        return is_text(self.values.type)

    @property
    def all_differ(self) -> bool:
        """Say whether no value stands twice, in a column long enough to tell."""
        return self.rows == len(self.values) > FEW

    @cached_property
    def trimmed(self) -> pa.Array:
        """Return text values without white space around them."""
        return trim(self.values)

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """Return the values as numbers if all are; codes such as 01 are none."""
        if not self.is_text:
            return to_numbers(self.values)[0]
        numbers, unreadable = to_numbers(self.trimmed)
        return None if unreadable.any() or self._are_codes(numbers) else numbers

    def _are_codes(self, numbers: np.ndarray) -> bool:
        """Say whether few texts would lose their form as numbers: 1E5, or 1.10 beside 1.1."""
        if not 1 < len(numbers) <= FEW:
            return False
        alike = len(np.unique(numbers)) < len(pc.unique(self.trimmed))
        return alike or self.matches(r"^\d+[eE]\d+$")

    def without_words(self) -> ColumnFacts | None:
        """Return the column without the few texts that are no value like all the others.

        Such as ``unknown`` among dates or ``<5`` among numbers; None where there are none.
        """
        if not self.is_text or len(self.values) <= FEW:
            return None
        word = pc.match_substring_regex(self.trimmed, _WORD).to_numpy(zero_copy_only=False)
        others = len(self.values) - int(word.sum())
        if not _are_few(int(word.sum()), others=others) or others <= FEW:
            return None
        return replace(
            self,
            values=self.values.filter(pa.array(~word)),
            counts=self.counts[~word],
            tokens=(*self.tokens, *self.values.filter(pa.array(word)).to_pylist()),
        )

    def matches(self, pattern: str) -> bool:
        """Say whether all text values match a regular expression, in some column that has any."""
        found = pc.all(pc.match_substring_regex(self.trimmed, pattern)).as_py()
        return bool(found) and len(self.values) > 0

    def some_match(self, pattern: str) -> bool:
        """Say whether a text value matches a regular expression."""
        return bool(pc.any(pc.match_substring_regex(self.trimmed, pattern)).as_py())


def summarise(name: str, array: pa.Array, *, stored: pa.DataType | None = None) -> ColumnFacts:
    """Split the distinct values of a flattened column into values and missing ones."""
    if pt.is_floating(array.type):
        array = pc.add(array, 0.0)  # -0.0 and 0.0 are one number
    values, positions = distinct(array)
    counts = np.bincount(positions, minlength=len(values))
    absent = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    token = np.zeros(len(values), dtype=bool)
    if is_text(values.type):
        values = values.cast(pa.large_string())
        token = pc.is_in(values, value_set=pa.array(TOKENS, pa.large_string())).to_numpy(False)
        token |= pc.equal(pc.utf8_length(trim(values)), 0).fill_null(False).to_numpy(False)
        token |= _few_words(values, absent | token | (counts == 0))
        token &= not _says_one_word(values, counts, token=token)
    ordered = pt.is_dictionary(array.type) and array.type.ordered
    # A type that declares an order declares what is in it, met or not.
    kept = ~absent & ~token & ((counts > 0) | ordered)
    tokens = values.filter(pa.array(token & (counts > 0)))
    return ColumnFacts(
        name=name,
        values=values.filter(pa.array(kept)),
        counts=counts[kept],
        nulls=bool(counts[absent].any()),
        tokens=tuple(tokens.to_pylist()),
        kind=array.type if stored is None else stored,
        ordered=ordered,
    )


def _says_one_word(texts: pa.Array, counts: np.ndarray, *, token: np.ndarray) -> bool:
    """Say whether one word stands in every row, which is written back whatever it means."""
    met = np.flatnonzero(counts > 0)
    return len(met) == 1 and bool(token[met[0]]) and bool(texts[int(met[0])].as_py().strip())


def _few_words(texts: pa.Array, ignored: np.ndarray) -> np.ndarray:
    """Mark the few texts among many numbers that are no number themselves, such as N."""
    numbers, unreadable = to_numbers(texts)
    words = unreadable & ~ignored
    readable = ~np.isnan(numbers) & ~ignored
    lettered = pc.match_substring_regex(texts, r"^[^\d]+$").fill_null(False).to_numpy(False)
    few = _are_few(int(words.sum()), others=int(readable.sum()))
    few = few and readable.sum() > (1 if words.sum() == 1 else FEW)
    return words if few and bool(lettered[words].all()) else np.zeros_like(words)


def _are_few(words: int, *, others: int) -> bool:
    """Say whether so many words among other values are ways to be missing."""
    return 0 < words <= max(_MOST_WORDS, min(_MANY_WORDS, others // _VALUES_TO_A_WORD))
