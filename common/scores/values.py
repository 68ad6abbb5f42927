"""Columns as their values are: numbers as numbers, lists as labels, the rest by spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec import (
    distinct,
    flatten,
    is_instant,
    is_number,
    is_text,
    read_numbers,
    to_microseconds,
    to_numbers,
    to_texts,
)
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CodedAttribute, Schema, as_numeric

_READABLE = 0.99
_MANY_LABELS = 1000


class ValueKind(StrEnum):
    """How the values of a column are compared."""

    NUMBER = "number"
    INSTANT = "instant"
    LISTED = "listed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One column of one table.

    ``numbers`` are (rows,) float64 with NaN for missing, empty for a list. ``codes`` are (rows,)
    int64: 0 for missing, above it the place in ``labels``, which all tables share; empty for
    numbers. ``spelled`` is the column as it was stored, for its form.
    """

    name: str
    kind: ValueKind
    numbers: np.ndarray
    codes: np.ndarray
    labels: tuple[str, ...]
    spelled: pa.Array

    @property
    def listed(self) -> bool:
        """Tell whether the column is compared by its labels."""
        return self.kind is ValueKind.LISTED

    @property
    def missing(self) -> np.ndarray:
        """Return (rows,) bool."""
        found: np.ndarray = self.codes == 0 if self.listed else np.isnan(self.numbers)
        return found

    def take(self, places: np.ndarray) -> Column:
        """Return the rows at ``places``; the spelling stays behind."""
        return replace(
            self,
            numbers=self.numbers if self.listed else self.numbers[places],
            codes=self.codes[places] if self.listed else self.codes,
            spelled=self.spelled.slice(0, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """A table of columns that can be compared with another one read beside it."""

    columns: tuple[Column, ...]
    rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(c.name for c in self.columns)

    def take(self, places: np.ndarray) -> Values:
        """Return the rows at ``places``."""
        return Values(columns=tuple(c.take(places) for c in self.columns), rows=len(places))

    def shuffle(self, orders: Sequence[np.ndarray]) -> Values:
        """Return each column in an order of its own."""
        pairs = zip(self.columns, orders, strict=True)
        return Values(columns=tuple(c.take(order) for c, order in pairs), rows=self.rows)


def read_values(
    tables: Sequence[pa.Table], *, schema: Schema | None = None
) -> tuple[tuple[Values, ...], tuple[str, ...]]:
    """Read the columns that the first table, the real one, shares with all others.

    Without a schema the real column says what it is. Keys, free text and nested columns are not
    compared; their names are the second result.

    Raises InvalidTable when a table lacks a column of the real one, or when none is left.
    """
    known = {a.name: a for a in schema.coded} if schema else {}
    names = [n for n in tables[0].column_names if not schema or n in known]
    for table in tables[1:]:
        absent = [n for n in names if n not in table.column_names]
        if absent:
            raise InvalidTable(
                f"column {absent[0]!r} is in the real table and not in every other one",
                hint="compare tables of one schema",
            )
    columns, skipped = [], [n for n in tables[0].column_names if n not in names]
    for name in names:
        read = _read([flatten(t[name]) for t in tables], name=name, attribute=known.get(name))
        if read is None:
            skipped.append(name)
        else:
            columns.append(read)
    if not columns:
        raise InvalidTable(
            "no column can be compared: keys, free text and nested columns are not, and there is "
            f"nothing but {', '.join(map(repr, skipped)) or 'an empty header'}",
            hint="give tables with a column of codes, numbers or dates beside",
        )
    sides = zip(*columns, strict=True)
    return (
        tuple(Values(columns=s, rows=t.num_rows) for s, t in zip(sides, tables, strict=True)),
        tuple(skipped),
    )


def _read(
    stored: list[pa.Array], *, name: str, attribute: CodedAttribute | None
) -> tuple[Column, ...] | None:
    """Return the column of each table, or None where it is not compared."""
    cleaned = [_without_tokens(c, attribute) for c in stored]
    kind = _kind(cleaned[0], attribute)
    if kind is None:
        return None
    if kind is ValueKind.LISTED:
        return _read_labels(cleaned, stored, name=name, declared=attribute is not None)
    return tuple(
        Column(
            name=name,
            kind=kind,
            numbers=_numbers(c, kind=kind, attribute=attribute),
            codes=np.zeros(0, dtype=np.int64),
            labels=(),
            spelled=raw,
        )
        for c, raw in zip(cleaned, stored, strict=True)
    )


def _numbers(column: pa.Array, *, kind: ValueKind, attribute: CodedAttribute | None) -> np.ndarray:
    """Return (rows,) float64, NaN for null: as the schema reads them, or as they stand."""
    declared = None if attribute is None else as_numeric(attribute)
    if declared is not None:
        return read_numbers(declared, column)
    return (
        to_numbers(column)[0]
        if kind is ValueKind.NUMBER
        else to_microseconds(column, format=None)[0]
    )


def _without_tokens(column: pa.Array, attribute: CodedAttribute | None) -> pa.Array:
    """Return the column with null for what its schema takes for missing, and for empty text."""
    tokens = ("", *(attribute.missing_tokens if attribute else ()))
    if pt.is_nested(column.type) and not pt.is_dictionary(column.type):
        return column
    values, positions = distinct(column)
    gone = pc.is_in(to_texts(values), pa.array(tokens, pa.large_string())).to_numpy(
        zero_copy_only=False
    )
    return pc.if_else(pa.array(gone[positions]), pa.scalar(None, column.type), column)


def _kind(column: pa.Array, attribute: CodedAttribute | None) -> ValueKind | None:
    """Say how a column is compared: by its attribute, or by what its values are."""
    declared = None if attribute is None else as_numeric(attribute)
    if declared is not None:
        return ValueKind.INSTANT if declared.kind == "datetime" else ValueKind.NUMBER
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if attribute is not None or pt.is_boolean(kind) or pt.is_null(kind) or pt.is_time(kind):
        return ValueKind.LISTED
    if is_instant(kind):
        return ValueKind.INSTANT
    if is_number(kind):
        return ValueKind.NUMBER
    return _kind_of_text(column) if is_text(kind) else None


def _kind_of_text(column: pa.Array) -> ValueKind:
    """Say whether text holds numbers; digits with a leading zero are codes."""
    values = pc.drop_null(distinct(column)[0].cast(pa.large_string()))
    if len(values) == 0 or pc.any(pc.match_substring_regex(values, r"^\s*0\d")).as_py():
        return ValueKind.LISTED
    readable = np.mean(~np.isnan(to_numbers(values)[0]))
    return ValueKind.NUMBER if readable >= _READABLE else ValueKind.LISTED


def _read_labels(
    cleaned: list[pa.Array], stored: list[pa.Array], *, name: str, declared: bool
) -> tuple[Column, ...] | None:
    """Return label columns that share one list; None for keys and free text."""
    known: dict[str, int] = {}
    coded = [_codes(column, known=known) for column in cleaned]
    used = len(np.unique(coded[0]))
    if not declared and used > _MANY_LABELS and used > len(coded[0]) / 2:
        return None
    labels = tuple(known)
    return tuple(
        Column(
            name=name,
            kind=ValueKind.LISTED,
            numbers=np.zeros(0),
            codes=codes,
            labels=labels,
            spelled=raw,
        )
        for codes, raw in zip(coded, stored, strict=True)
    )


def _codes(column: pa.Array, *, known: dict[str, int]) -> np.ndarray:
    """Return (rows,) int64: 0 for missing, above it the order in which labels were first met."""
    values, positions = distinct(column)
    texts = to_texts(values).to_pylist()
    places = [0 if t is None else known.setdefault(_plain(t), len(known) + 1) for t in texts]
    found: np.ndarray = np.asarray(places, dtype=np.int64)[positions]
    return found


def _plain(text: str) -> str:
    """Return a label without white space around it, and truth values in one spelling."""
    trimmed = text.strip()
    lowered = trimmed.lower()
    return lowered if lowered in ("true", "false") else trimmed
