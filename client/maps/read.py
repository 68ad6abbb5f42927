"""Bring rows of a silo's own table to the schema's columns, before they have codes.

Each value is brought over by itself, so whatever a map says, a row stays one row, and no value can
make it fail: what the map does not lead anywhere becomes a word that the schema does not list,
which the codec counts as it counts all such words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.client.maps.silo_map import (
    ColumnMap,
    SiloMap,
    spell_target,
    spelled_by_silo,
    words_of,
)
from silosynth.common.codec import (
    EncodingNote,
    ListedCodec,
    NumericCodec,
    accepts,
    codec_of,
    distinct,
    flatten,
    is_text,
    readable,
    to_texts,
    trim,
)
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import (
    Attribute,
    CategoricalAttribute,
    NumberAttribute,
    Schema,
    WordedAttribute,
    as_numeric,
    has_unit,
    has_words,
)

FARTHEST, NEAREST = 1e200, 1e-200
"""Numbers are taken to lie within, so that no formula of a map overflows, here or in SQL."""
_NOWHERE = "not in the map"


def read_by(schema: Schema, silo_map: SiloMap) -> Schema:
    """Return the schema as the silo's values are spelled once they are mapped; its codes stay."""
    spelled: dict[str, Attribute] = {}
    for attribute in schema.attributes:
        column = silo_map.column(attribute.name)
        if has_unit(attribute) and (column.calculates or column.words):
            # What was calculated is written plainly.
            spelled[attribute.name] = attribute.model_copy(update={"spelled": None})
        elif column.format is not None:
            spelled[attribute.name] = spelled_by_silo(attribute, column)
    return schema.spelled_as(spelled) if spelled else schema


def seen_as(stored: pa.Schema, *, schema: Schema, silo_map: SiloMap, origin: str) -> pa.Schema:
    """Return the columns of a table as the schema sees them, with their types.

    Columns that the map leads nowhere keep their names. Raises InvalidTable, by the types alone.
    """
    if not silo_map.columns:
        return stored
    fields: dict[str, pa.Field] = {}
    used = set()
    for attribute in schema.attributes:
        name, source = attribute.name, silo_map.origin(attribute.name)
        if name in silo_map.absent:
            fields[name] = pa.field(name, pa.null())
        elif stored.names.count(source) == 1:
            used.add(source)
            kind = _mapped_type(attribute, silo_map.column(name), stored.field(source).type)
            fields[name] = pa.field(name, kind)
        elif source != name:
            raise InvalidTable(
                f"{origin}: column {source!r}, which the map takes for {name!r}, is not there once",
                hint="correct from: in the map",
            )
    rest = [f for f in stored if f.name not in used and f.name not in fields]
    return pa.schema([*fields.values(), *rest])


def map_table(
    table: pa.Table, *, schema: Schema, silo_map: SiloMap, person: str | None
) -> pa.Table:
    """Return a table's columns as the schema names, words and counts them.

    Guarantees: a row of the result is a function of the same row of ``table`` alone; a column that
    the silo lacks is null.
    """
    if not silo_map.columns:
        return table
    columns: dict[str, Any] = {}
    for attribute in schema.attributes:
        name, source = attribute.name, silo_map.origin(attribute.name)
        if name in silo_map.absent:
            columns[name] = pa.nulls(table.num_rows, pa.string())
        elif source in table.column_names:
            columns[name] = map_column(table[source], silo_map.column(name), attribute)
    if person is not None:
        columns[person] = table[person]
    return pa.table(columns)


def map_column(
    column: pa.ChunkedArray | pa.Array, how: ColumnMap, attribute: Attribute
) -> pa.ChunkedArray | pa.Array:
    """Return a column in the schema's words and units; untouched where the map changes nothing."""
    if has_unit(attribute) and (how.calculates or how.words):
        return _calculate(readable(flatten(column)), how, attribute)
    if not how.words:
        return column
    flat = readable(flatten(column))
    if has_words(attribute):
        return _translate(flat, how, attribute)
    values, positions = distinct(flat)
    named = _places(to_texts(values) if not is_text(values.type) else values, how.words) >= 0
    return pc.if_else(pa.array(named[positions]), pa.scalar(None, flat.type), flat)


def lacking(notes: tuple[EncodingNote, ...], *, silo_map: SiloMap) -> tuple[EncodingNote, ...]:
    """Return the notes on columns that the silo holds."""
    return tuple(n for n in notes if n.attribute not in silo_map.absent)


def _mapped_type(attribute: Attribute, how: ColumnMap, stored: pa.DataType) -> pa.DataType:
    """Return the type that a column has once it is mapped; its own where that is refused later."""
    if has_unit(attribute) and (how.calculates or how.words):
        plain = accepts(attribute, stored) and not _textual(stored)
        return pa.float64() if plain else stored
    if how.words and has_words(attribute) and accepts(_listed(("x",)), stored):
        return pa.large_string()
    return stored


def _textual(kind: pa.DataType) -> bool:
    return is_text(kind) or (pt.is_dictionary(kind) and is_text(kind.value_type))


def _listed(words: tuple[str, ...]) -> CategoricalAttribute:
    return CategoricalAttribute(name="words", categories=words, other=True)


def _places(values: pa.Array, words: Mapping[str, Any]) -> np.ndarray:
    """Return (values,) int64, which of the words each distinct value is, -1 for none.

    As the schema's own lists are searched: as text, without white space around it, as a number.
    Null is the empty word, where there is one.
    """
    keys = tuple(words)
    spelled = tuple(k for k in keys if k) or (_NOWHERE,)
    codec = ListedCodec(attribute=_listed(spelled))
    codes: np.ndarray = codec.encode(values)[0]
    order = {k: i for i, k in enumerate(keys)}
    found = np.asarray([*(order.get(s, -1) for s in spelled), -1])[codes]
    absent = np.asarray(pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False))
    places: np.ndarray = np.where(absent | _is_blank(values), order.get("", -1), found)
    return places


def _is_blank(values: pa.Array) -> np.ndarray:
    if not is_text(values.type):
        return np.zeros(len(values), dtype=bool)
    blank = pc.equal(trim(values.cast(pa.large_string())), "")
    return np.asarray(pc.fill_null(blank, False).to_numpy(zero_copy_only=False))


def _translate(flat: pa.Array, how: ColumnMap, attribute: WordedAttribute) -> pa.Array:
    """Return a listed column in the schema's words."""
    values, positions = distinct(flat)
    words = dict(how.words or {})
    targets = [t if t is None else spell_target(t) for t in words.values()]
    nowhere = _unlisted(attribute)
    spelled = list(dict.fromkeys([*(t for t in targets if t is not None), nowhere]))
    place = {t: i for i, t in enumerate(spelled)}
    leads = np.asarray([*(-1 if t is None else place[t] for t in targets), place[nowhere]])
    found = leads[_places(values, words)]
    if "" not in words:
        absent = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
        found = np.where(absent | _is_blank(values), -1, found)
    index = found[positions]
    return pa.DictionaryArray.from_arrays(
        pa.array(np.where(index < 0, 0, index).astype(np.int32), mask=index < 0),
        pa.array(spelled, pa.large_string()),
    )


def _unlisted(attribute: WordedAttribute) -> str:
    """Return a word that the schema lists nowhere, in any spelling."""
    word, known = _NOWHERE, {w.strip().lower() for w in words_of(attribute)}
    while word in known:
        word += "!"
    return word


def _calculate(flat: pa.Array, how: ColumnMap, attribute: NumberAttribute) -> pa.Array:
    """Return numbers by their formula, and those that have a word of the map by that."""
    if pt.is_dictionary(flat.type) and is_text(flat.type.value_type):
        values, positions = distinct(flat)
        return _calculate_texts(values, how, attribute).take(pa.array(positions))
    numbers, _ = _reader(attribute, how)(flat)
    result = formula(numbers, how, attribute)
    for word, target in (how.words or {}).items():
        result[_is_word(numbers, word)] = np.nan if target is None else float(target)
    return pa.array(result, mask=np.isnan(result))


def _is_word(numbers: np.ndarray, word: str) -> np.ndarray:
    number = as_number(word)
    same: np.ndarray = (
        np.isnan(numbers) if not word else np.equal(numbers, np.nan if number is None else number)
    )
    return same


def as_number(word: str) -> float | None:
    """Return a word of a map as a number, if it is one."""
    try:
        return float(word)
    except ValueError:
        return None


def formula(numbers: np.ndarray, how: ColumnMap, attribute: NumberAttribute) -> np.ndarray:
    """Return (rows,) float64 in the schema's unit, whole ones rounded; NaN stays."""
    if not how.calculates:
        return numbers.astype(np.float64, copy=True)
    bounded = np.clip(numbers, -FARTHEST, FARTHEST)
    bounded = np.where(np.abs(bounded) < NEAREST, 0.0, bounded)
    result = bounded * how.scale + how.offset
    whole = attribute.kind == "integer"
    placed: np.ndarray = np.floor(result + 0.5) if whole else result
    return placed


def _reader(attribute: NumberAttribute, how: ColumnMap) -> Any:
    """Return what reads numbers as the silo writes them."""
    spelled = spelled_by_silo(attribute, how)
    number = as_numeric(spelled)
    assert number is not None
    codec = codec_of(number)
    assert isinstance(codec, NumericCodec)
    return lambda column: codec.scale.read(number, column)


def _calculate_texts(values: pa.Array, how: ColumnMap, attribute: NumberAttribute) -> pa.Array:
    """Return distinct texts as plainly written numbers; the schema's words stay words."""
    numbers, _ = _reader(attribute, how)(values)
    result = formula(numbers, how, attribute)
    spelled = pc.cast(pa.array(result, mask=np.isnan(result)), pa.large_string())
    trimmed = trim(values.cast(pa.large_string()))
    tokens = pa.array([*attribute.missing_tokens, *attribute.missing_apart], pa.large_string())
    says = pc.fill_null(pc.not_equal(trimmed, ""), False)
    rest = pc.if_else(pc.is_in(trimmed, value_set=trim(tokens)), trimmed, _NOWHERE)
    spelled = pc.if_else(pc.is_valid(spelled), spelled, pc.if_else(says, rest, None))
    if not how.words:
        return spelled
    targets = [None if t is None else repr(t) for t in how.words.values()]
    found = _places(values, how.words)
    words = pa.array([*targets, None], pa.large_string()).take(pa.array(found % (len(targets) + 1)))
    return pc.if_else(pa.array(found >= 0), words, spelled)
