"""Decoded values in the form that the schema declares: as Arrow types, or as text."""

from __future__ import annotations

import re
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.kinds.identifier import fresh_keys
from silosynth.common.codec.kinds.table import kind_of, read_numbers, spell_special
from silosynth.common.schema import Attribute, as_numeric

_UNITS = re.compile(r"^(timestamp|duration|time32|time64)\[(\w+)\]$")
_DECIMAL = re.compile(r"^decimal\((\d+),(\d+)\)$")


class Form(Enum):
    """What a decoded table holds: each column's own type, or texts as a file spells them."""

    TYPED = "typed"
    SPELLED = "spelled"


def arrow_type(stored: str, *, zone: str | None = None) -> pa.DataType:
    """Return the Arrow type that a schema names."""
    if found := _DECIMAL.match(stored):
        return pa.decimal128(int(found[1]), int(found[2]))
    if found := _UNITS.match(stored):
        name, unit = found.groups()
        return pa.timestamp(unit, tz=zone) if name == "timestamp" else getattr(pa, name)(unit)
    if stored == "dictionary":
        return pa.dictionary(pa.int32(), pa.string())
    return pa.type_for_alias(stored)


def stored_name(kind: pa.DataType) -> str | None:
    """Return how a schema names an Arrow type; None where it has no name for it."""
    if pa.types.is_dictionary(kind):
        return "dictionary"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})" if kind.scale >= 0 else None
    text = re.sub(r", tz=[^\]]*", "", str(kind))
    text = re.sub(r"\[(day|ms)\]$", "", text) if text.startswith("date") else text
    try:
        return text if arrow_type(text) is not None else None
    except (ValueError, TypeError, AttributeError):
        return None


def in_form(
    attribute: Attribute,
    values: pa.Array | None,
    *,
    codes: np.ndarray,
    form: Form,
    first_row: int = 0,
) -> pa.Array | None:
    """Return a column as the schema declares it; None where synthetic rows do not have it.

    Args:
        values: what the attribute's codec decoded, a learnt text, or None.
        codes: (rows,) its codes, zeros where it has none.
    """
    if attribute.kind in ("ignored", "generated"):
        return None
    if attribute.kind == "identifier":
        values = _keys(attribute, values, rows=len(codes), first_row=first_row)
    if values is None:
        if not (attribute.kind == "empty" or getattr(attribute, "blank", False)):
            return None
        kind = arrow_type(attribute.stored) if attribute.stored else pa.string()
        return pa.nulls(len(codes), pa.large_string() if form is Form.SPELLED else kind)
    kind = kind_of(attribute)
    if form is Form.SPELLED:
        return _spelled(attribute, values, codes=codes)
    if attribute.stored is None:
        if kind.as_text(attribute):
            return _spelled(attribute, values, codes=codes).cast(pa.string())
        return _with_numbers(attribute, values, codes=codes)
    if attribute.stored_as_text:
        return _spelled(attribute, values, codes=codes).cast(arrow_type(attribute.stored))
    if attribute.stored == "dictionary":
        if pa.types.is_dictionary(values.type):
            return values
        return _spelled(attribute, values, codes=codes).cast(pa.string()).dictionary_encode()
    wanted = arrow_type(attribute.stored, zone=getattr(attribute, "zone", None))
    return _cast(_with_numbers(attribute, values, codes=codes), wanted)


def _keys(attribute: Attribute, there: pa.Array | None, *, rows: int, first_row: int) -> pa.Array:
    """Return fresh keys, null where a row has none."""
    keys = fresh_keys(attribute, rows=rows, first_row=first_row)  # type: ignore[arg-type]  # of this kind
    return keys if there is None else pc.if_else(there, keys, None)


def _spelled(attribute: Attribute, values: pa.Array, *, codes: np.ndarray) -> pa.Array:
    """Return values as text, with the words of missing ones."""
    if pa.types.is_dictionary(values.type):
        texts = _spell(attribute, values.dictionary).take(values.indices)
    else:
        texts = _spell(attribute, values)
    special = getattr(attribute, "missing_apart", ()) or getattr(attribute, "missing_as", None)
    return pc.coalesce(texts, spell_special(attribute, codes)) if special else texts  # type: ignore[arg-type]  # it has codes


def _with_numbers(attribute: Attribute, values: pa.Array, *, codes: np.ndarray) -> pa.Array:
    """Put numbers that stand for missing values, such as -9, into a column of numbers."""
    words = [*getattr(attribute, "missing_apart", ()), getattr(attribute, "missing_as", None)]
    number = as_numeric(attribute)
    if number is None or not any(words):
        return values
    special = spell_special(number, codes)
    if special.null_count == len(special):
        return values
    found = read_numbers(number, special)
    filled = pa.array(found, mask=np.isnan(found))
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return values
    return pc.coalesce(values, filled.cast(values.type, safe=False))


def _spell(attribute: Attribute, values: pa.Array) -> pa.Array:
    spell = kind_of(attribute).spell
    return values.cast(pa.large_string()) if spell is None else spell(attribute, values)


def _cast(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Cast values to a stored type; what it cannot hold is rounded."""
    if pa.types.is_dictionary(values.type):
        return _cast(values.dictionary, wanted).take(values.indices)
    if pa.types.is_decimal(wanted) and pa.types.is_floating(values.type):
        values = pc.round(values, ndigits=wanted.scale)
        exact = pc.cast(values, pa.decimal128(38, wanted.scale), safe=False)
        return exact.cast(wanted, safe=False)
    if pa.types.is_float16(wanted):
        return values.cast(pa.float32(), safe=False).cast(wanted, safe=False)
    return pc.cast(values, wanted, safe=False)
