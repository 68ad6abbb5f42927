"""Draft a schema beside the data, for its operator to correct.

A draft is read off private data: every attribute is ``unreviewed``, and a plan over it is refused
until a person has vouched for its domain. Its notes are for the operator alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.client.source.table import TableSource, read_untyped
from silosynth.common.codec.columns import is_instant, is_number, is_text
from silosynth.common.codec.parsing import distinct, flatten, to_microseconds, to_numbers, trim
from silosynth.common.errors import InvalidTable
from silosynth.common.schema.schema import Schema, Source, parse_schema

_WARNING = (
    "categories and bounds were read off the data: replace what only the data could tell, "
    "set each source, and do not share the draft before"
)
_TOKENS = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null")
_FEW = 20
_MANY = 1024
_LONG = 50
_LARGEST = 1e300
_SMALLEST = 1e-290
_RESOLUTION = 1e-9
_KEY = re.compile(r"(^|[_\W])(id|uuid|key|nr|nbr|number)$", re.IGNORECASE)
_SEPARATED_DATE = r"^\d{4}-\d{2}-\d{2}"
_PADDED = r"^[+-]?0\d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A schema that nobody has reviewed, and what its reviewer should look at."""

    schema: Schema
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """The distinct values of a column that are there, and how many rows hold each."""

    name: str
    values: pa.Array
    counts: np.ndarray
    missing: bool
    tokens: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def rows(self) -> int:
        """Return the number of rows that hold a value."""
        return int(self.counts.sum())

    @property
    def all_differ(self) -> bool:
        """Say whether no value stands twice, in a column long enough to tell."""
        return self.rows == len(self.values) > _FEW


def draft_schema(source: TableSource, *, name: str) -> Draft:
    """Guess a schema from a table; every attribute comes out ``unreviewed``.

    Bounds are rounded outward. Raises InvalidTable when no column can be drafted.
    """
    table = read_untyped(source)
    attributes, notes = [], []
    for column_name in table.column_names:
        attribute, told = _draft_column(column_name, flatten(table[column_name]))
        attributes += [attribute] if attribute else []
        notes += [f"{column_name}: {line}" for line in told]
    if not attributes:
        raise InvalidTable("the table has no column that can be drafted")
    document = {"name": name, "attributes": attributes}
    return Draft(schema=parse_schema(document, origin="draft"), notes=(_WARNING, *notes))


def _draft_column(name: str, array: pa.Array) -> tuple[dict[str, Any] | None, list[str]]:
    """Return one attribute as plain data, or None where the type has no kind."""
    kind = array.type.value_type if pt.is_dictionary(array.type) else array.type
    if not (is_text(kind) or is_number(kind) or is_instant(kind) or pt.is_null(kind)):
        return None, [f"type {kind} cannot be modelled; left out, so drop the column"]
    column = _summarise(name, array)
    if not len(column.values):
        drafted, notes = {"kind": "text"}, ["holds no value; say what it should hold"]
    elif is_text(kind):
        drafted, notes = _draft_text(column)
    elif pt.is_boolean(kind):
        drafted, notes = {"kind": "boolean"}, []
    elif is_instant(kind):
        drafted, notes = _draft_instants(column), []
    else:
        drafted, notes = _draft_numbers(column)
    if drafted["kind"] in ("text", "identifier"):
        return {"name": name, **drafted, "source": Source.UNREVIEWED}, notes
    missing = {"missing": True} if column.missing else {}
    tokens = {"missing_tokens": column.tokens} if column.tokens else {}
    return {"name": name, **drafted, **missing, **tokens, "source": Source.UNREVIEWED}, notes


def _summarise(name: str, array: pa.Array) -> _Column:
    """Split the distinct values of a column into values and missing ones."""
    values, positions = distinct(array)
    counts = np.bincount(positions, minlength=len(values))
    absent = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    token = np.zeros(len(values), dtype=bool)
    if is_text(values.type):
        values = values.cast(pa.large_string())
        token = pc.is_in(values, value_set=pa.array(_TOKENS, pa.large_string())).to_numpy(False)
        token |= _lone_word(values, absent | token | (counts == 0))
    kept = ~absent & ~token & (counts > 0)
    return _Column(
        name=name,
        values=values.filter(pa.array(kept)),
        counts=counts[kept],
        missing=bool(counts[absent | token].any()),
        tokens=tuple(values.filter(pa.array(token & (counts > 0))).to_pylist()),
        ordered=pt.is_dictionary(array.type) and array.type.ordered,
    )


def _lone_word(texts: pa.Array, ignored: np.ndarray) -> np.ndarray:
    """Mark the one text among numbers that is no number itself, such as N."""
    numbers, unreadable = to_numbers(texts)
    words = unreadable & ~ignored
    readable = ~np.isnan(numbers) & ~ignored
    return words if words.sum() == 1 and readable.sum() > 1 else np.zeros_like(words)


def _draft_text(column: _Column) -> tuple[dict[str, Any], list[str]]:
    trimmed = trim(column.values)
    if set(pc.utf8_lower(trimmed).to_pylist()) == {"true", "false"}:
        return {"kind": "boolean"}, []
    padded = pc.any(pc.match_substring_regex(trimmed, _PADDED)).as_py()
    if not padded and not to_numbers(trimmed)[1].any():
        numbers = pa.array(to_numbers(trimmed)[0])
        return _draft_numbers(_replace(column, values=numbers))
    dated = pc.all(pc.match_substring_regex(trimmed, _SEPARATED_DATE)).as_py()
    if dated and not to_microseconds(trimmed, format=None)[1].any():
        return _draft_instants(column), []
    return _draft_words(column)


def _draft_words(column: _Column) -> tuple[dict[str, Any], list[str]]:
    count = len(column.values)
    length = float(pc.mean(pc.utf8_length(column.values)).as_py())
    if length > _LONG and count > _FEW:
        return {"kind": "text"}, ["long texts; drafted as free text, which is not modelled"]
    if column.all_differ:
        return {"kind": "identifier"}, ["every value differs; drafted as an identifier"]
    if count > _FEW and (count > _MANY or count > column.rows / 2):
        return {"kind": "identifier"}, [
            f"{count} different texts; drafted as an identifier, list categories to model it"
        ]
    texts = column.values.to_pylist()
    categories = texts if column.ordered else sorted(texts)
    notes = ["only one value; is the column of any use?"] if count == 1 else []
    return {"kind": "ordinal" if column.ordered else "categorical", "categories": categories}, notes


def _draft_numbers(column: _Column) -> tuple[dict[str, Any], list[str]]:
    numbers = to_numbers(column.values)[0]
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or np.abs(finite).max() > _LARGEST:
        return {"kind": "text"}, ["holds no usable number; say what it should hold"]
    low, high = float(finite.min()), float(finite.max())
    whole = len(finite) == len(numbers) and bool((finite % 1 == 0).all()) and -low < 2**53 > high
    if not whole:
        bottom, top = _outward(low, high)
        return {"kind": "real", "minimum": bottom, "maximum": top}, []
    running = column.all_differ and high - low + 1 == len(numbers)
    named = _KEY.search(column.name) and (column.all_differ or len(numbers) > _MANY)
    if running or named:
        return {"kind": "identifier"}, ["looks like a key; drafted as an identifier"]
    bottom, top = (int(bound) for bound in _outward(low, high, step=1.0))
    notes = []
    if len(finite) <= _FEW:
        notes.append(
            f"whole numbers with {len(finite)} values; if they are codes, make it categorical "
            "or ordinal and list them"
        )
    return {"kind": "integer", "minimum": bottom, "maximum": top}, notes


def _draft_instants(column: _Column) -> dict[str, Any]:
    """Bound instants by whole years."""
    instants = to_microseconds(column.values, format=None)[0]
    years = np.array([instants.min(), instants.max()]).astype("datetime64[us]")
    first, last = years.astype("datetime64[Y]").astype(int) + 1970
    first, last = max(int(first), 1), min(int(last), 9998)
    return {"kind": "datetime", "minimum": f"{first:04}-01-01", "maximum": f"{last + 1:04}-01-01"}


def _outward(low: float, high: float, *, step: float = 0.0) -> tuple[float, float]:
    """Round bounds outward to the power of ten in their span, and pull them apart."""
    size = max(abs(low), abs(high))
    span = max(high - low, size * _RESOLUTION, _SMALLEST) if size else 1.0
    step = max(step, 10.0 ** math.floor(math.log10(span)))
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    bottom, top = min(float(f"{bottom:.12g}"), low), max(float(f"{top:.12g}"), high)
    return (bottom, top) if bottom < top else (low, high + step)


def _replace(column: _Column, *, values: pa.Array) -> _Column:
    """Return the column with its values read as numbers."""
    return _Column(
        name=column.name,
        values=values,
        counts=column.counts,
        missing=column.missing,
        tokens=column.tokens,
    )
