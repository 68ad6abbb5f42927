"""Keys: never modelled, but for whether they are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.notes import EncodingNote, Uniform, code_dtype
from silosynth.common.codec.written.dress import join_texts
from silosynth.common.codec.written.parsing import distinct, to_texts, trim
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import IdentifierAttribute

_LONG = 50
_AMOUNT = r"[+-]?\d[\d,' ]*(\.\d+)?"
_CURRENCY = r"usd|us\$|eur|gbp|chf|jpy|inr|rs\.?|kr|a\$|c\$|r\$"
_HINTS = (
    (
        r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$",
        "they look like dates written in several ways; write them in one to model them",
    ),
    (
        r"^\d{1,2}\.? (de )?\pL+\.? (de )?\d{4}$",
        "they look like dates with names of months; write them in numbers to model them",
    ),
    (
        rf"^{_AMOUNT}( ?/ ?|, ?|; ?| ?x ?|-){_AMOUNT}$",
        "they look like two numbers each; part them into two columns to model them",
    ),
    (
        rf"(?i)^[-+(]*(\p{{Sc}}|{_CURRENCY})? ?{_AMOUNT} ?(\p{{Sc}}|{_CURRENCY}|[%kmb])?\)?$",
        "they look like amounts in several units; put the unit into a column of its own to model "
        "them",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceCodec:
    """Code whether a key is there: 0 where it is, then the codes of missing ones."""

    attribute: IdentifierAttribute

    def encode(self, column: pa.Array) -> tuple[np.ndarray, EncodingNote]:
        """Return (rows,) codes; no key is ever bent."""
        attribute = self.attribute
        values, positions = distinct(column)
        absent = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
        codes = np.where(absent & attribute.missing, attribute.size - 1, 0)
        texts = trim(to_texts(values))
        for word in (*attribute.missing_tokens, *attribute.missing_apart):
            apart = attribute.codes_of(word)
            found = pc.equal(texts, word.strip()).fill_null(False).to_numpy(zero_copy_only=False)
            codes[found] = apart[0] if apart else attribute.size - 1
        note = EncodingNote(attribute=attribute.name)
        return codes.astype(code_dtype(attribute.size))[positions], note

    def misfits(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) False: a key is there, or it is not."""
        return np.zeros(len(column), dtype=bool)

    def decode(self, codes: np.ndarray, *, uniform: Uniform) -> pa.Array:
        """Return true where there is a key, null where there is none."""
        del uniform
        return pa.array(np.ones(len(codes), dtype=bool), mask=codes > 0)


def fresh_keys(attribute: IdentifierAttribute, *, rows: int, first_row: int) -> pa.Array:
    """Return running numbers in the form of the key: whole numbers where it has none."""
    return keys_at(attribute, np.arange(first_row, first_row + rows))


def keys_at(attribute: IdentifierAttribute, rows: np.ndarray) -> pa.Array:
    """Return the keys of the rows with these numbers, which count from 0."""
    numbers = pa.array(rows.astype(np.int64) + 1)
    if not (attribute.prefix or attribute.suffix or attribute.digits or attribute.stored_as_text):
        return numbers
    digits = pc.utf8_lpad(numbers.cast(pa.large_string()), attribute.digits, "0")
    return join_texts(attribute.prefix, digits, attribute.suffix).cast(pa.string())


def _allowed(attribute: IdentifierAttribute, value: str) -> np.ndarray:
    raise InvalidArgument(
        f"{attribute.name!r} is a key; synthetic rows have keys of their own",
        hint="ask for rows without one by an empty value",
    )


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose a key where texts differ too much for a list, and say which form they have."""
    if not column.is_text or len(column.values) <= FEW:
        return None
    length = float(pc.mean(pc.utf8_length(column.values)).as_py())
    spaced = float(pc.mean(pc.count_substring(column.values, " ")).as_py())
    if length > _LONG or spaced > 3:
        return None
    why = (
        "every value differs; drafted as an identifier"
        if column.all_differ
        else "too many different texts for a list; drafted as an identifier, list categories to "
        "model it"
    )
    form = form_of(column)
    why = f"{why}; {hint}" if not form and (hint := _hint(column)) else why
    return Proposal(facts={"kind": "identifier", **form}, why=(why,))


def _hint(column: ColumnFacts) -> str | None:
    """Say what texts look like that are modelled once they are written otherwise."""
    return next((hint for shape, hint in _HINTS if column.matches(shape)), None)


def form_of(column: ColumnFacts) -> dict[str, Any]:
    """Return prefix, digits and suffix where all keys have one form."""
    texts = column.trimmed.to_pylist()
    shape = re.match(r"^(\D*)(\d+)(\D*)$", texts[0])
    if shape is None:
        return {}
    prefix, _, suffix = shape.groups()
    pattern = re.compile(rf"{re.escape(prefix)}(\d+){re.escape(suffix)}")
    found = [pattern.fullmatch(text) for text in texts]
    if not all(found):
        return {}
    digits = [m.group(1) for m in found if m]
    padded = any(d.startswith("0") for d in digits) and len({len(d) for d in digits}) == 1
    form: dict[str, Any] = {"prefix": prefix} if prefix else {}
    form |= {"suffix": suffix} if suffix else {}
    return form | ({"digits": len(digits[0])} if padded and len(digits[0]) <= 18 else {})


KIND = Kind(
    accepts=lambda *_: True,
    codec=lambda attribute: PresenceCodec(attribute=attribute),
    spell=lambda _, column: to_texts(column),
    words=lambda _: ["there"],
    allowed=_allowed,
    draft=_draft,
)
