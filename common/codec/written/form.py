"""Decoded values in the form that the schema declares: as Arrow types, or as text."""

from __future__ import annotations

import re
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.kinds.identifier import fresh_keys
from silosynth.common.codec.kinds.table import codec_of, kind_of, spell_special
from silosynth.common.codec.numeric import NumericCodec
from silosynth.common.codec.written.columns import is_number, is_text
from silosynth.common.codec.written.parsing import to_numbers, to_texts
from silosynth.common.schema import Attribute, NumericAttribute, as_numeric

_UNITS = re.compile(r"^(timestamp|duration|time32|time64)\[(\w+)\]$")
_DECIMAL = re.compile(r"^decimal\((\d+),(\d+)\)$")
_ENCODED = re.compile(r"^dictionary\[(\w+),(.+)\]$")
_MOST_PRECISION = 38


class Form(Enum):
    """What a decoded table holds: each column's own type, or texts as a file spells them."""

    TYPED = "typed"
    SPELLED = "spelled"


def arrow_type(stored: str, *, zone: str | None = None) -> pa.DataType:
    """Return the Arrow type that a schema names."""
    if found := _DECIMAL.match(stored):
        digits, scale = int(found[1]), int(found[2])
        long = digits > _MOST_PRECISION
        return pa.decimal256(digits, scale) if long else pa.decimal128(digits, scale)
    if found := _ENCODED.match(stored):
        return pa.dictionary(pa.type_for_alias(found[1]), arrow_type(found[2], zone=zone))
    if found := _UNITS.match(stored):
        name, unit = found.groups()
        return pa.timestamp(unit, tz=zone) if name == "timestamp" else getattr(pa, name)(unit)
    if stored == "dictionary":
        return _dictionary()
    return pa.type_for_alias(stored)


def stored_name(kind: pa.DataType) -> str | None:
    """Return how a schema names an Arrow type; None where it has no name for it."""
    if pa.types.is_interval(kind):
        return None
    if pa.types.is_dictionary(kind):
        value = stored_name(kind.value_type)
        plain = kind.index_type == pa.int32() and kind.value_type == pa.string()
        return "dictionary" if plain or value is None else f"dictionary[{kind.index_type},{value}]"
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
        if pa.types.is_dictionary(values.type):
            return _with_words(attribute, values, codes=codes)
        if kind.as_text(attribute) or _has_words(attribute):
            return _spelled(attribute, values, codes=codes).cast(pa.string())
        return _with_numbers(attribute, values, codes=codes)
    wanted = arrow_type(attribute.stored, zone=getattr(attribute, "zone", None))
    if attribute.stored_as_text:
        return _spelled(attribute, values, codes=codes).cast(wanted)
    if pa.types.is_dictionary(wanted):
        return _encoded(attribute, values, codes=codes, wanted=wanted)
    if pa.types.is_temporal(values.type) and is_number(wanted):
        texts = _spelled(attribute, values, codes=codes)
        numbers, _ = to_numbers(texts)
        # No word stands in a column of numbers: what is missing in words is null there.
        return pa.array(numbers, mask=np.isnan(numbers)).cast(wanted)
    return _cast(_with_numbers(attribute, values, codes=codes), wanted)


def as_spelled(attribute: Attribute, values: pa.Array) -> pa.Array:
    """Return typed values as a text file would have them; texts, and lists, as they are."""
    spell = kind_of(attribute).spell
    if spell is None or as_numeric(attribute) is None or is_text(values.type):
        return to_texts(values)
    return spell(attribute, values)


def _has_words(attribute: Attribute) -> bool:
    """Say whether values are missing in several ways, some of which no number can stand for.

    A file that tells them apart holds them as text, and so do its synthetic rows.
    """
    words = getattr(attribute, "missing_apart", ())
    return bool(words) and bool(np.isnan(to_numbers(pa.array(words, pa.large_string()))[0]).any())


def _with_words(attribute: Attribute, values: pa.Array, *, codes: np.ndarray) -> pa.Array:
    """Put the words that tell missing values apart behind the categories of a list.

    Where rows have a stored type the one word for missing stands there too, and the order stays.
    """
    apart = [*getattr(attribute, "missing_apart", ())]
    alone = [w for w in [getattr(attribute, "missing_as", None)] if w and attribute.stored]
    if not apart + alone:
        return values
    special = spell_special(attribute, codes)  # type: ignore[arg-type]  # it has codes
    listed, words = values.dictionary, pa.array(apart + alone, pa.large_string())
    place = pc.index_in(special, value_set=words, skip_nulls=True)
    if pa.types.is_integer(listed.type) and not _has_words(attribute):
        words = words.cast(listed.type)
    else:
        listed = listed.cast(pa.large_string())
    index = pc.coalesce(values.indices, pc.add(place, len(listed)).cast(values.indices.type))
    both = pa.concat_arrays([listed, words])
    both = both.cast(pa.string()) if pa.types.is_large_string(both.type) else both
    ordered = values.type.ordered and attribute.stored is not None
    return pa.DictionaryArray.from_arrays(index, both, ordered=ordered)


def _encoded(
    attribute: Attribute, values: pa.Array, *, codes: np.ndarray, wanted: pa.DataType
) -> pa.Array:
    """Return a column as a dictionary of the declared types; a longer index where it needs one."""
    if pa.types.is_dictionary(values.type):
        found = _with_words(attribute, values, codes=codes)
    elif is_text(wanted.value_type):
        found = _spelled(attribute, values, codes=codes).cast(wanted.value_type).dictionary_encode()
    else:
        plain = _cast(_with_numbers(attribute, values, codes=codes), wanted.value_type)
        found = plain.dictionary_encode()
    if wanted == _dictionary():
        return found
    index, listed = found.indices, found.dictionary
    fits = len(listed) <= np.iinfo(wanted.index_type.to_pandas_dtype()).max
    return pa.DictionaryArray.from_arrays(
        index.cast(wanted.index_type) if fits else index,
        listed.cast(wanted.value_type),
        ordered=found.type.ordered,
    )


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
    if number is None or not any(words) or pa.types.is_dictionary(values.type):
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
    if pa.types.is_decimal(wanted):
        if pa.types.is_floating(values.type):
            values = pc.round(values, ndigits=wanted.scale)
        exact = pc.cast(values, pa.decimal128(_MOST_PRECISION, wanted.scale), safe=False)
        return exact.cast(wanted, safe=False)
    if pa.types.is_integer(wanted) and pa.types.is_integer(values.type):
        held = np.iinfo(wanted.to_pandas_dtype())
        # What the type cannot hold would come out as another number.
        low, high = max(held.min, -(2**63)), min(held.max, 2**63 - 1)
        values = pc.min_element_wise(values, high, skip_nulls=False)
        values = pc.max_element_wise(values, low, skip_nulls=False)
    if pa.types.is_float16(wanted):
        return values.cast(pa.float32(), safe=False).cast(wanted, safe=False)
    return pc.cast(values, wanted, safe=False)


def _dictionary() -> pa.DataType:
    """Return the type of listed words."""
    return pa.dictionary(pa.int32(), pa.string())


def read_numbers(attribute: NumericAttribute, column: pa.Array) -> np.ndarray:
    """Return (rows,) float64, what bins are found from, NaN for null; instants in microseconds."""
    codec = codec_of(attribute)
    assert isinstance(codec, NumericCodec)
    return codec.scale.read(attribute, column)[0]
