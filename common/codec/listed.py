"""Listed values to codes and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.notes import EncodingNote, Uniform, code_dtype
from silosynth.common.codec.written.parsing import (
    distinct,
    spell_numbers,
    to_numbers,
    to_texts,
    trim,
)
from silosynth.common.schema import BooleanAttribute, OrdinalAttribute, WordedAttribute

_FALSE = ("false", "0", "f", "no", "n")
_PADDED = r"^[+-]?0\d"
_TRUE = ("true", "1", "t", "yes", "y")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCodec:
    """Code one categorical, ordinal or boolean attribute.

    A value is compared as text: exactly, then without white space around it, then as a number, so
    that 3, "3" and 3.0 are one category; "03" is 3 among integer categories and a text of its own
    among texts. Truth values match in any case.
    """

    attribute: WordedAttribute
    _listed: pa.Array = field(init=False, repr=False, compare=False)
    _numbers: pa.Array = field(init=False, repr=False, compare=False)
    _codes: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        attribute = self.attribute
        if isinstance(attribute, BooleanAttribute):
            spelled = attribute.spelled or ()
            words = [(word, i) for i, word in enumerate(spelled)]
            words += [(word, i) for i, known in enumerate((_FALSE, _TRUE)) for word in known]
        else:
            words = [(str(category), i) for i, category in enumerate(attribute.categories)]
            words += [(attribute.other_as, attribute.values)] if attribute.other_as else []
        words += [(word, attribute.codes_of(word)[0]) for word in attribute.missing_apart]
        words += [(word, attribute.size - 1) for word in attribute.missing_tokens]
        # The first of two equal texts counts.
        by_text = dict(reversed(words))
        listed = pa.array(list(by_text), pa.large_string())
        object.__setattr__(self, "_listed", listed)
        object.__setattr__(self, "_numbers", self._spell_as_numbers(listed))
        object.__setattr__(self, "_codes", np.asarray(list(by_text.values()), dtype=np.int64))

    @property
    def unseen_code(self) -> int:
        """Return the code of a value that is not listed: other, else missing, else the first."""
        attribute = self.attribute
        if attribute.has_other:
            return attribute.values
        return attribute.size - 1 if attribute.missing else 0

    @property
    def missing_code(self) -> int:
        """Return the code of a missing value: missing, else other, else the first."""
        attribute = self.attribute
        if attribute.missing:
            return attribute.size - 1
        return attribute.values if attribute.has_other else 0

    def encode(self, column: pa.Array) -> tuple[np.ndarray, EncodingNote]:
        """Return (rows,) codes, and how many values had none of their own."""
        values, positions = distinct(column)
        found = self._find(values)
        absent = _is_absent(values)
        unseen = ~absent & (found < 0)
        codes = np.where(absent, self.missing_code, np.where(unseen, self.unseen_code, found))
        bent = unseen | (absent & (not self.attribute.missing))
        # Null stands last among the values, whether or not a row holds it.
        bent[-1] &= column.null_count > 0
        counts = np.bincount(positions, minlength=len(values)) if bent.any() else bent
        note = self._note(counts, unseen=unseen, absent=absent)
        return codes.astype(code_dtype(self.attribute.size))[positions], note

    def weigh(self, column: pa.Array, *, times: np.ndarray) -> EncodingNote:
        """Return what :meth:`encode` notes where each value stands in so many rows.

        Args: times: (values,) int64.
        """
        values, positions = distinct(column)
        absent = _is_absent(values)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, positions, times)
        return self._note(counts, unseen=~absent & (self._find(values) < 0), absent=absent)

    def _note(self, counts: np.ndarray, *, unseen: np.ndarray, absent: np.ndarray) -> EncodingNote:
        """Return how many rows had no code of their own, by the rows of each distinct value."""
        return EncodingNote(
            attribute=self.attribute.name,
            unseen=int(counts[unseen].sum()),
            undeclared_missing=0 if self.attribute.missing else int(counts[absent].sum()),
        )

    def misfits(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) bool, where a value has the code of another for want of one of its own."""
        values, positions = distinct(column)
        absent, unlisted = _is_absent(values), self._find(values) < 0
        bent = absent & (not self.attribute.missing) | unlisted & ~absent
        found: np.ndarray = (bent & (not self.attribute.has_other))[positions]
        return found

    def decode(self, codes: np.ndarray, *, uniform: Uniform) -> pa.Array:
        """Return the categories, null for missing.

        Without a word for ``other``, rows that have it get the categories of other rows in turn.
        """
        del uniform
        attribute = self.attribute
        if isinstance(attribute, BooleanAttribute):
            return pa.array(codes == 1, mask=codes >= attribute.values)
        labels: list[str | int] = list(attribute.categories)
        if attribute.other_as is not None:
            labels.append(attribute.other_as)
        elif attribute.other:
            codes = _without_other(codes, values=attribute.values)
        index = pa.array(codes.astype(np.int32), mask=codes >= len(labels))
        words = pa.array(labels if _all_integers(labels) else [str(label) for label in labels])
        ordered = isinstance(attribute, OrdinalAttribute)
        return pa.DictionaryArray.from_arrays(index, words, ordered=ordered)

    def _find(self, values: pa.Array) -> np.ndarray:
        """Return (values,) the code of each distinct value, -1 where it is not listed."""
        texts = to_texts(values)
        found = self._look_up(texts)
        given = values.is_valid().to_numpy(zero_copy_only=False)
        if (found[given] < 0).any():
            texts = trim(texts)
            if isinstance(self.attribute, BooleanAttribute) or pt.is_boolean(values.type):
                found = np.where(found < 0, self._look_up_truth(texts), found)
            found = np.where(found < 0, self._look_up(texts), found)
        if (found[given] < 0).any():
            numbers = self._spell_as_numbers(texts)
            found = np.where(found < 0, self._look_up(numbers, listed=self._numbers), found)
        return found

    def _spell_as_numbers(self, texts: pa.Array) -> pa.Array:
        """Spell texts that are numbers in one way; a text code such as 01 is none."""
        attribute = self.attribute
        if isinstance(attribute, BooleanAttribute) or not _all_integers(attribute.categories):
            texts = pc.if_else(pc.match_substring_regex(texts, _PADDED), None, texts)
        return spell_numbers(to_numbers(texts)[0])

    def _look_up(self, texts: pa.Array, *, listed: pa.Array | None = None) -> np.ndarray:
        value_set = self._listed if listed is None else listed
        positions = pc.fill_null(pc.index_in(texts, value_set=value_set, skip_nulls=True), -1)
        codes: np.ndarray = np.append(self._codes, -1)[positions.to_numpy(zero_copy_only=False)]
        return codes

    def _look_up_truth(self, texts: pa.Array) -> np.ndarray:
        """Match TRUE, True and 1 as true."""
        lower = pc.utf8_lower(texts)
        found = self._look_up(lower)
        for spelled in (pc.utf8_capitalize(lower), pc.utf8_upper(lower), _as_digits(lower)):
            found = np.where(found < 0, self._look_up(spelled), found)
        return found


def _without_other(codes: np.ndarray, *, values: int) -> np.ndarray:
    """Give rows of ``other`` the codes of rows that have a listed one, spread evenly over them."""
    other = np.flatnonzero(codes == values)
    if not len(other):
        return codes
    listed = codes[codes < values]
    if not len(listed):
        listed = np.arange(values, dtype=codes.dtype)
    places = np.arange(len(other)) * max(len(listed) // len(other), 1) % len(listed)
    replaced = codes.copy()
    replaced[other] = listed[places]
    return replaced


def _all_integers(labels: Sequence[str | int]) -> bool:
    return all(isinstance(label, int) for label in labels)


def _is_absent(values: pa.Array) -> np.ndarray:
    """Mark null and NaN among distinct values."""
    absent: np.ndarray = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    return absent


def _as_digits(lower: pa.Array) -> pa.Array:
    truth = pc.if_else(pc.equal(lower, "true"), "1", None)
    return pc.if_else(pc.equal(lower, "false"), "0", truth).cast(pa.large_string())
